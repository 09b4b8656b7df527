"""
Types whose values have no parts to look into: numbers, text, dates, functions, classes, handles.

Builtins and types of the standard library are formatted by their own code only where the exact type is known to be
pure; everything with a name is shown by its name, and handles (locks, files, sockets) by their class.
"""

from __future__ import annotations

import sys
from math import log10
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MethodType,
    ModuleType,
)
from typing import TYPE_CHECKING, Any

from phtrack.frames.values.node import NAME, NUMBER, TEXT, Node
from phtrack.frames.values.static import (
    instance_dict,
    item_of_dict,
    module_dict,
    module_name,
    mro_of,
    slot,
    slots_of,
    text,
    type_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack.frames.values.shapes import Shape

    Leaf = Callable[[Any, Shape], Any]

MAX_TEXT = 2048
"""Characters up to which text is held whole: what is longer is not scanned for secrets as a whole (wire contract)."""
TEXT_HEAD = 1024
"""Characters held of a longer one."""
BYTES_HEAD = 256
"""Bytes held of binary data."""
MAX_INT = 1 << 4096
"""Integers up to here (1,233 digits) are held as they are."""

SHORTEST_CARD = 13
"""Digits from which on a number may be a card's."""

_HANDLES = ("_io", "_thread", "_socket", "socket", "_ssl", "ssl", "mmap", "select", "selectors", "_queue", "queue")
"""Modules whose objects say nothing but their class."""


def leaf_of(cls: type) -> Leaf | None:
    """How to show values of exact type *cls*, if they have no parts."""
    leaf = _EXACT.get(id(cls)) or _of_standard(cls)
    if leaf is not None:
        return leaf
    if issubclass(cls, type):
        return _class
    if (enum := imported("enum", "Enum")) is not None and any(base is enum for base in mro_of(cls)):
        return _enum
    for base, leaf in _BASES:
        if issubclass(cls, base):
            return leaf
    if module_name(cls) in _HANDLES:
        return by_class
    if type_name(cls).startswith(("pydantic.types.Secret", "starlette.datastructures.Secret")):
        return by_class
    return None


def by_class(value: Any, shape: Shape) -> Node:
    """`<module.Class>`."""
    return Node(NAME, shape.name, f"<{shape.name}>")


def imported(module: str, name: str) -> Any:
    """A type of the standard library, if the application has its module; never imports."""
    found = sys.modules.get(module)
    return None if found is None else item_of_dict(module_dict(found), name)


def _of_standard(cls: type) -> Leaf | None:
    for module, name, leaf in _STANDARD:
        if imported(module, name) is cls:
            return leaf
    return None


# --- numbers and text -------------------------------------------------------------------------------------------------


def number(value: Any, type_name: str) -> Node:
    """An exact int or float under the name of the type it came from."""
    if type(value) is int and not -MAX_INT < value < MAX_INT:
        return big_int(value, type_name)
    return Node(NUMBER, type_name, value)


def big_int(value: int, type_name: str = "int") -> Node:
    """`≈ 1.2345e+9999`: writing all digits would take quadratic time, and Python refuses to."""
    bits = value.bit_length()
    exponent = log10(abs(value) >> (bits - 64)) + (bits - 64) * log10(2)
    digits = int(exponent)
    sign = "-" if value < 0 else ""
    return Node(
        NAME, type_name, f"≈ {sign}{10 ** (exponent - digits):.4f}e+{digits}", length=digits + 1, note="too long"
    )


def long_text(value: str, type_name: str = "str") -> Node:
    """Text of any length by its head."""
    length = str.__len__(value)
    if length <= MAX_TEXT:
        return Node(TEXT, type_name, str.__str__(value), length)
    return Node(TEXT, type_name, str.__getitem__(value, slice(TEXT_HEAD)), length)


def _text(value: Any, shape: Shape) -> Node:
    return long_text(value, shape.name)


def _int(value: Any, shape: Shape) -> Any:
    return number(int.__index__(value), shape.name)


def _float(value: Any, shape: Shape) -> Any:
    return number(float.__float__(value), shape.name)


def _complex(value: Any, shape: Shape) -> Node:
    return Node(NAME, shape.name, complex.__repr__(value))


def _bytes(value: Any, shape: Shape) -> Node:
    base: Any = bytes if issubclass(type(value), bytes) else bytearray
    return _binary(bytes(base.__getitem__(value, slice(BYTES_HEAD))), base.__len__(value), shape)


def _binary(head: bytes, length: int, shape: Shape) -> Node:
    note = f"first {BYTES_HEAD} of {length:,} bytes" if length > BYTES_HEAD else None
    return Node(TEXT, shape.name, repr(head), length, note)


def _memoryview(value: Any, shape: Shape) -> Node:
    length = value.nbytes
    if value.ndim != 1 or value.format not in ("B", "b", "c") or not value.contiguous:
        return Node(NAME, shape.name, f"<memoryview of format {value.format!r}>", length)
    return _binary(bytes(value[:BYTES_HEAD]), length, shape)


def _range(value: Any, shape: Shape) -> Node:
    numbers = [int.__index__(one) for one in (value.start, value.stop, value.step)]
    if not all(-MAX_INT < one < MAX_INT for one in numbers):
        return by_class(value, shape)
    start, stop, step = numbers
    return Node(NAME, shape.name, f"range({start}, {stop}{f', {step}' if step != 1 else ''})")


def _constant(value: Any, shape: Shape) -> Node:
    return Node(NAME, shape.name, "..." if value is ... else "NotImplemented")


# --- the standard library's values ------------------------------------------------------------------------------------


def _date(value: Any, shape: Shape) -> Node:
    return Node(NAME, shape.name, value.isoformat())


def _moment(value: Any, shape: Shape) -> Node:
    """A datetime or time; the offset only where the zone is not somebody's own code."""
    zone = value.tzinfo
    if zone is None or _is_known_zone(type(zone)):
        return Node(NAME, shape.name, value.isoformat())
    return Node(NAME, shape.name, f"{value.replace(tzinfo=None).isoformat()} <{type_name(type(zone))}>")


def _is_known_zone(cls: type) -> bool:
    return cls is imported("datetime", "timezone") or cls is imported("zoneinfo", "ZoneInfo")


def _str_of(value: Any, shape: Shape) -> Node:
    """Exact types whose `str` computes from immutable C data."""
    return Node(NAME, shape.name, str(value))


def _uuid(value: Any, shape: Shape) -> Node:
    digits = f"{int.__index__(_slot(value, 'int')):032x}"
    return Node(NAME, shape.name, "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])))


def _decimal(value: Any, shape: Shape) -> Node:
    size = sys.getsizeof(value)
    if size >= 1000:
        return Node(NAME, shape.name, f"<{shape.name} of {size} bytes>")
    shown = str(value)
    return Node(NAME if len(shown) < SHORTEST_CARD else TEXT, shape.name, shown)


def _fraction(value: Any, shape: Shape) -> Node:
    above, below = (int.__index__(_slot(value, name)) for name in ("_numerator", "_denominator"))
    if not -MAX_INT < above < MAX_INT or below >= MAX_INT:
        return by_class(value, shape)
    return Node(NAME, shape.name, f"{above}/{below}")


def _slot(value: Any, name: str) -> Any:
    return next(slot(value, own, place) for own, place in slots_of(type(value)) if own == name)


def _path(value: Any, shape: Shape) -> Node:
    return long_text(str(value), shape.name)


def _pattern(value: Any, shape: Shape) -> Node:
    pattern = value.pattern
    if issubclass(type(pattern), str):
        return long_text(pattern, shape.name)
    return _bytes(pattern, shape) if issubclass(type(pattern), bytes) else by_class(value, shape)


def _logger(value: Any, shape: Shape) -> Node:
    name = (instance_dict(value) or {}).get("name")
    return Node(NAME, shape.name, f"<Logger {text(name, '?')}>")


def _enum(value: Any, shape: Shape) -> Node:
    """`<Color.RED: 1>`."""
    attributes = instance_dict(value) or {}
    name, content = attributes.get("_name_"), attributes.get("_value_")
    shown = text(name, "?")
    label = f"{shape.name.rpartition('.')[2]}.{shown}"
    if type(content) is int and -MAX_INT < content < MAX_INT:
        return Node(TEXT, shape.name, f"<{label}: {content}>")
    if type(content) is str:
        return Node(TEXT, shape.name, f"<{label}: {content[:TEXT_HEAD]!r}>")
    return Node(TEXT, shape.name, f"<{label}>")


# --- what has a name --------------------------------------------------------------------------------------------------

_function_qualname = FunctionType.__dict__["__qualname__"].__get__
_function_module = FunctionType.__dict__["__module__"].__get__


def _function_name(value: Any) -> str:
    return f"{text(_function_module(value), '?')}.{text(_function_qualname(value), '?')}"


def _function(value: Any, shape: Shape) -> Node:
    return Node(NAME, shape.name, f"<function {_function_name(value)}>")


def _method(value: Any, shape: Shape) -> Node:
    inner = value.__func__
    name = _function_name(inner) if type(inner) is FunctionType else type_name(type(inner))
    return Node(NAME, shape.name, f"<bound method {name}>")


def _builtin(value: Any, shape: Shape) -> Node:
    return Node(NAME, shape.name, f"<built-in function {text(value.__name__, '?')}>")


def _class(value: Any, shape: Shape) -> Node:
    return Node(NAME, shape.name, f"<class {type_name(value)}>")


def _module(value: Any, shape: Shape) -> Node:
    name = item_of_dict(module_dict(value), "__name__")
    return Node(NAME, shape.name, f"<module {text(name, '?')}>")


def _routine(value: Any, shape: Shape) -> Node:
    return Node(NAME, shape.name, f"<{shape.name} {text(value.__qualname__, '?')}>")


def _frame(value: Any, shape: Shape) -> Node:
    return Node(NAME, shape.name, f"<frame {value.f_code.co_name}>")


def _code(value: Any, shape: Shape) -> Node:
    return Node(NAME, shape.name, f"<code {value.co_name}>")


_EXACT: dict[int, Leaf] = {
    id(cls): leaf
    for cls, leaf in (
        (int, _int),
        (complex, _complex),
        (memoryview, _memoryview),
        (range, _range),
        (type(...), _constant),
        (type(NotImplemented), _constant),
        (FunctionType, _function),
        (MethodType, _method),
        (BuiltinFunctionType, _builtin),
        (GeneratorType, _routine),
        (CoroutineType, _routine),
        (AsyncGeneratorType, _routine),
        (FrameType, _frame),
        (CodeType, _code),
    )
}
_BASES: tuple[tuple[type, Leaf], ...] = (
    (str, _text),
    (int, _int),
    (float, _float),
    (complex, _complex),
    (bytes, _bytes),
    (bytearray, _bytes),
    (ModuleType, _module),
)
_STANDARD: tuple[tuple[str, str, Leaf], ...] = (
    ("datetime", "datetime", _moment),
    ("datetime", "time", _moment),
    ("datetime", "date", _date),
    ("datetime", "timedelta", _str_of),
    ("decimal", "Decimal", _decimal),
    ("fractions", "Fraction", _fraction),
    ("uuid", "UUID", _uuid),
    ("pathlib", "PosixPath", _path),
    ("pathlib", "WindowsPath", _path),
    ("pathlib", "PurePosixPath", _path),
    ("pathlib", "PureWindowsPath", _path),
    ("re", "Pattern", _pattern),
    ("logging", "Logger", _logger),
    ("logging", "RootLogger", _logger),
)
