"""
JSON, once per event: any Python value in, UTF-8 bytes out, whatever the value.

    value -> dumps: fast encoder, which refuses odd values -> clean -> fast encoder again

`clean` is the rule of what becomes what (wire contract, capture.md §9); `dumps` agrees with it. orjson does the work where it
is installed, the standard library elsewhere. Neither raises on any value, calls `repr` or `str` of an unknown object, or
consumes an iterator. Nothing here knows what an event is.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections import deque
from typing import Any

MAX_DEPTH = 64
"""Containers inside containers; what lies deeper becomes null."""
MAX_INT_DIGITS = 4000
_BIG = 10**MAX_INT_DIGITS

orjson: Any
try:
    import orjson
except ImportError:  # another interpreter, or a platform without wheels
    orjson = None


def clean(value: Any) -> Any:
    """
    *value* as plain JSON data: dict with str keys, list, str, int, float, bool, None. A copy; the value is not touched.

    Cycles and what lies deeper than `MAX_DEPTH` become None, so do values that JSON and we have no form for.
    """
    return _clean(value, 0, set())


def dumps(value: Any) -> bytes:
    """*value* as compact UTF-8 JSON. Equal to encoding `clean(value)`, faster. Never raises."""
    if orjson is None:
        return _dumps_plain(clean(value))
    try:
        # orjson hands out its whole buffer, 8 KB for an event of 1 KB; what waits in a queue should take what it needs.
        body: bytes = b"%b" % orjson.dumps(value, _odd, _FLAGS)
    except Exception:  # an odd key, a lone surrogate, a huge int, a cycle: the slow way round
        return _dumps_plain(clean(value))
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _too_deep(value):
        return _dumps_plain(clean(value))
    return body


def loads(body: bytes | str) -> Any:
    """
    The value that *body* encodes.

    Raises:
        ValueError: not JSON.
    """
    if orjson is not None:
        return orjson.loads(body)
    import json

    return json.loads(body)


if orjson is not None:
    # Dataclasses come to `_odd`, which reads their fields; the encoder itself would leave out those with an underscore.
    _FLAGS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def _dumps_plain(value: Any) -> bytes:
    """Encode cleaned data; big integers are the one thing left that orjson refuses."""
    if orjson is not None:
        try:
            body: bytes = orjson.dumps(value)
            return body
        except (TypeError, ValueError, RecursionError):
            pass
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _odd(value: Any) -> Any:
    """The encoder's question about a type it doesn't know: one level of cleaning, it asks again for what is inside."""
    convert = _CONVERT.get(type(value))
    if convert is None:
        return _convert_by_base(value)
    try:
        return convert(value)
    except Exception:
        return None


def _clean(value: Any, depth: int, above: set[int]) -> Any:
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _text(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return _int(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if depth >= MAX_DEPTH:
        return None
    if isinstance(value, dict):
        return _clean_items(value, dict.items(value), depth, above)
    if isinstance(value, _SEQUENCES):
        return _clean_sequence(value, depth, above)
    plain = _odd(value)
    if plain is None or plain is value:
        return None
    if id(value) in above:
        return None
    above.add(id(value))
    try:
        return _clean(plain, depth if isinstance(plain, (dict, list)) else depth + 1, above)
    finally:
        above.discard(id(value))


def _clean_items(owner: Any, items: Any, depth: int, above: set[int]) -> Any:
    if id(owner) in above:
        return None
    above.add(id(owner))
    try:
        return {_key(key): _clean(item, depth + 1, above) for key, item in list(items)}
    except RuntimeError:  # changed by another thread while we read
        return None
    finally:
        above.discard(id(owner))


def _clean_sequence(owner: Any, depth: int, above: set[int]) -> Any:
    if id(owner) in above:
        return None
    above.add(id(owner))
    try:
        return [_clean(item, depth + 1, above) for item in _read(owner)]
    except RuntimeError:
        return None
    finally:
        above.discard(id(owner))


def _read(sequence: Any) -> list[Any]:
    """The items of a builtin sequence or set, read through the builtin's own iterator (a subclass may lie)."""
    for base in _SEQUENCES:
        if isinstance(sequence, base):
            return list(base.__iter__(sequence))
    return []


_SEQUENCES: tuple[Any, ...] = (list, tuple, set, frozenset, deque)


def _key(key: Any) -> str:
    if type(key) is str:
        return key if key.isascii() else _text(key)
    try:
        return _text(str(key))
    except Exception:
        return f"<{type(key).__name__}>"


def _text(value: str) -> str:
    """*value* without lone surrogates, which are not UTF-8 and would cost the whole batch."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return str.__str__(value)


def _int(value: int) -> int | str:
    return "<int>" if value >= _BIG or value <= -_BIG else value


def _bytes(value: Any) -> str | None:
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _decimal(value: Any) -> float | None:
    return float(value) if value.is_finite() else None


def _seconds(value: dt.timedelta) -> float:
    return value.total_seconds()


_CONVERT: dict[type, Any] = {
    set: list,
    frozenset: list,
    deque: list,
    bytes: _bytes,
    bytearray: _bytes,
    dt.datetime: dt.datetime.isoformat,
    dt.date: dt.date.isoformat,
    dt.time: dt.time.isoformat,
    dt.timedelta: _seconds,
}


def _convert_by_base(value: Any) -> Any:
    """One level of plain data for an unusual *value*, or None. Remembers how for its exact type where that is certain."""
    kind = type(value)
    try:
        for base, convert in _by_base():
            if issubclass(kind, base):
                _remember(kind, convert)
                return convert(value)
        names = _field_names(kind)
        if names is not None:
            return {name: _field(value, name) for name in names}
        return _model(value, kind)
    except Exception:
        return None


def _remember(kind: type, convert: Any) -> None:
    if len(_CONVERT) < 500:
        _CONVERT[kind] = convert


def _by_base() -> list[tuple[type, Any]]:
    """Base type -> conversion, in order; types of modules that nobody imported can't occur."""
    found: list[tuple[type, Any]] = []
    for module, name, convert in _LAZY_BASES:
        loaded = sys.modules.get(module)
        base = getattr(loaded, name, None) if loaded is not None else None
        if isinstance(base, type):
            found.append((base, convert))
    found += [
        (bool, bool.__bool__), (int, lambda one: _int(int.__int__(one))), (float, float.__float__), (str, str.__str__),
        (dict, dict.copy), (list, list.copy), (tuple, lambda one: list(tuple.__iter__(one))),
        (set, lambda one: list(set.__iter__(one))), (frozenset, lambda one: list(frozenset.__iter__(one))),
        (deque, lambda one: list(deque.__iter__(one))), (bytes, _bytes), (bytearray, _bytes),
        (dt.datetime, dt.datetime.isoformat), (dt.date, dt.date.isoformat), (dt.time, dt.time.isoformat),
        (dt.timedelta, _seconds),
    ]  # fmt: skip
    return found


def _uuid(value: Any) -> str:
    digits = f"{value.int:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_LAZY_BASES: tuple[tuple[str, str, Any], ...] = (
    ("enum", "Enum", lambda one: object.__getattribute__(one, "_value_")),
    ("decimal", "Decimal", _decimal),
    ("uuid", "UUID", _uuid),
    ("pathlib", "PurePath", str),
)
"""Types whose module is looked up, not imported: module, name, conversion."""


def _field_names(kind: type) -> tuple[str, ...] | None:
    """Names of a dataclass's fields, or None."""
    declared = kind.__dict__.get("__dataclass_fields__")
    if declared is None:
        for base in kind.__mro__[1:]:
            declared = base.__dict__.get("__dataclass_fields__")
            if declared is not None:
                break
    return tuple(declared) if type(declared) is dict else None


def _field(value: Any, name: str) -> Any:
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return None


def _model(value: Any, kind: type) -> Any:
    """A pydantic model's own dump (v2, then v1); other objects have no form."""
    if "pydantic" not in sys.modules or not (hasattr(kind, "model_fields") or hasattr(kind, "__fields__")):
        return None
    dump = getattr(kind, "model_dump", None) or getattr(kind, "dict", None)
    return dump(value) if callable(dump) else None


def _too_deep(value: Any) -> bool:
    """True if builtin containers nest deeper than `MAX_DEPTH`. What the encoder accepted has no cycle among them."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += dict.values(one)
            elif isinstance(one, (list, tuple)):
                below += one
        if not below:
            return False
        level = below
    return True
