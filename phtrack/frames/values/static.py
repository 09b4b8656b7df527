"""
Looking at objects without running their code.

Types are asked through the descriptors of `type` itself, instances through the getters that the interpreter made for
them, dictionaries through `dict`. So an overridden `__getattr__`, `__class__`, `__dict__`, `__eq__`, `__hash__`,
property or metaclass never gets a turn. Types are compared by identity: even as a key of a dict, a class runs the
`__hash__` of its metaclass.
"""

from __future__ import annotations

from itertools import repeat
from operator import is_not
from types import (
    FunctionType,
    GenericAlias,
    GetSetDescriptorType,
    MemberDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from phtrack.frames.values.node import MISSING

mro_of = type.__dict__["__mro__"].__get__
"""The classes of a class, nearest first."""
namespace_of = type.__dict__["__dict__"].__get__
"""The read-only namespace of a class, without those of its bases."""
_qualname_of = type.__dict__["__qualname__"].__get__
_module_of = type.__dict__["__module__"].__get__
_namespace_of_module: Any = vars(ModuleType)["__dict__"]
module_dict = _namespace_of_module.__get__
"""The namespace of a module, its globals."""

MAX_SCANNED = 50_000
"""Keys of a dict looked at before one is looked up in it (some 30 ns each)."""
LARGE = 1_000
"""Keys from which on a dict is looked through but once for all lookups of a statement."""
MAX_LARGE = 2
"""Dicts of that size that are looked through for one statement."""
_MAX_NAME = 200
_GETATTRIBUTE = object.__dict__["__getattribute__"]
_PURE_GETTERS = ("builtins", "collections", "datetime", "decimal")
"""Modules of types whose C getters are known to read and no more."""
_OWN_LOOKUP = (type, ModuleType, super, GenericAlias)
"""Those of them that look attributes up elsewhere."""


def text(value: Any, otherwise: str) -> str:
    """*value* if it is text (an exact copy of a subclass's), cut to the length of a name; else *otherwise*."""
    if type(value) is str:
        return value if len(value) <= _MAX_NAME else value[:_MAX_NAME] + "…"
    if issubclass(type(value), str):
        return text(str.__str__(value), otherwise)
    return otherwise


def type_name(cls: type) -> str:
    """`module.Class` of *cls* as it was made, whatever its metaclass says; builtins without their module."""
    name = text(_qualname_of(cls), "?")
    module = module_name(cls)
    return name if module == "builtins" else f"{module}.{name}"


def module_name(cls: type) -> str:
    """The `__module__` of *cls*, or `?` where that is no text."""
    try:
        return text(_module_of(cls), "?")
    except AttributeError:  # deleted
        return "?"


def lookup(cls: type, name: str) -> Any:
    """What *cls* or its nearest base has under *name*, as it lies there, or MISSING."""
    for base in mro_of(cls):
        namespace = namespace_of(base)
        if name in namespace:
            return namespace[name]
    return MISSING


def instance_dict(value: Any) -> dict[Any, Any] | None:
    """The attributes of *value* by the interpreter's own getter, even where a class hides it; None without any."""
    for base in mro_of(type(value)):
        getter = namespace_of(base).get("__dict__")
        if getter is not None and _is_dict_getter(getter):
            found = getter.__get__(value)
            return found if issubclass(type(found), dict) else None
    return None


def slots_of(cls: type) -> list[tuple[str, int]]:
    """
    `__slots__` (and the members of C types) of *cls*, those of the bases first.

    Returns:
        (name in the namespace, place of the owner in the mro). Not the descriptors: they would keep the class alive.
    """
    mro = mro_of(cls)
    return [
        (name, place)
        for place in range(len(mro) - 1, -1, -1)
        for name, member in namespace_of(mro[place]).items()
        if type(member) is MemberDescriptorType and type(name) is str and name[:2] != "__"
    ]


def slot(value: Any, name: str, place: int) -> Any:
    """Content of one slot listed by `slots_of`, or MISSING while nothing is in it."""
    member = namespace_of(mro_of(type(value))[place]).get(name)
    if type(member) is not MemberDescriptorType:
        return MISSING
    try:
        return member.__get__(value)
    except AttributeError:
        return MISSING


def has_plain_lookup(cls: type) -> bool:
    """True when attributes of instances of *cls* are found the way `object` finds them."""
    found = lookup(cls, "__getattribute__")
    if found is _GETATTRIBUTE:
        return True
    # Builtins carry a slot of their own for the same function.
    if type(found) is not WrapperDescriptorType or module_name(found.__objclass__) not in _PURE_GETTERS:
        return False
    return not issubclass(cls, _OWN_LOOKUP)


def attribute(value: Any, name: str) -> Any:
    """
    `value.name`, if that is a lookup and not a computation; else MISSING.

    Methods, properties and `__getattr__` are computations. The order is the language's: data descriptors of the class
    (only slots are read), the instance, then the class.
    """
    cls = type(value)
    if cls is ModuleType:
        return item_of_dict(module_dict(value), name)
    if issubclass(cls, type):
        return _class_attribute(value, name)
    if not has_plain_lookup(cls):
        return MISSING
    found = lookup(cls, name)
    if found is not MISSING:
        kind = type(found)
        if kind is MemberDescriptorType or (
            kind is GetSetDescriptorType and module_name(found.__objclass__) in _PURE_GETTERS
        ):
            try:
                return found.__get__(value)
            except AttributeError:
                return MISSING
        if kind is not FunctionType and (
            lookup(kind, "__set__") is not MISSING or lookup(kind, "__delete__") is not MISSING
        ):
            return MISSING
    attributes = instance_dict(value)
    if attributes is not None:
        own = item_of_dict(attributes, name)
        if own is not MISSING or not is_plain(attributes, name):
            return own
    if found is MISSING or lookup(type(found), "__get__") is not MISSING:
        return MISSING
    return found


def _class_attribute(cls: type, name: str) -> Any:
    """`cls.name` where neither the metaclass nor a descriptor has a say in it."""
    meta = type(cls)
    if lookup(meta, "__getattribute__") is not type.__dict__["__getattribute__"] or lookup(meta, name) is not MISSING:
        return MISSING
    found = lookup(cls, name)
    return MISSING if lookup(type(found), "__get__") is not MISSING else found


Looked = dict[tuple[int, int], bool]
"""(id of a dict, id of a key's type) -> whether such a key may be looked up in it; as long as the dict is kept."""


def item(container: Any, key: Any, looked: Looked | None = None) -> Any:
    """
    `container[key]` for builtin containers and subclasses that don't change what that means; else MISSING.

    Keys are exact scalars. A dict is searched only when comparing with its keys can't run anybody's code.

    Args:
        looked: What is known of large dicts from earlier lookups of the same statement.
    """
    cls = type(container)
    for base in _SEQUENCES:
        if issubclass(cls, base):
            if type(key) is not int or lookup(cls, "__getitem__") is not base.__dict__["__getitem__"]:
                return MISSING
            try:
                return base.__getitem__(container, key)
            except IndexError:
                return MISSING
    if issubclass(cls, dict) and lookup(cls, "__getitem__") is _DICT_GETITEM:
        if looked is not None and dict.__len__(container) >= LARGE:
            return _item_of_large_dict(container, key, looked)
        return item_of_dict(container, key)
    return MISSING


def _item_of_large_dict(mapping: dict[Any, Any], key: Any, looked: Looked) -> Any:
    known = (id(mapping), id(type(key)))
    if known not in looked:
        looked[known] = len(looked) < MAX_LARGE and is_plain(mapping, key)
    return dict.get(mapping, key, MISSING) if looked[known] else MISSING


_SEQUENCES: tuple[Any, ...] = (list, tuple, str, bytes, bytearray)
_DICT_GETITEM = dict.__dict__["__getitem__"]
_SCALARS = (str, int, float, bool, type(None), bytes)
_PLAIN_KEYS = frozenset(map(id, (*_SCALARS, tuple)))


def is_scalar(value: Any) -> bool:
    """True for the exact types whose comparison and hash are the interpreter's own."""
    kind = type(value)
    return any(kind is scalar for scalar in _SCALARS)


def is_plain(mapping: dict[Any, Any], key: Any) -> bool:
    """True when looking *key* up in *mapping* can't run anybody's code: all keys are scalars (or tuples, which differ)."""
    if dict.__len__(mapping) > MAX_SCANNED or not is_scalar(key):
        return False
    try:
        if not any(map(is_not, map(type, dict.keys(mapping)), repeat(type(key)))):
            return True
        return _PLAIN_KEYS.issuperset(map(id, map(type, dict.keys(mapping))))
    except RuntimeError:  # changed by another thread meanwhile
        return False


def item_of_dict(mapping: dict[Any, Any], key: Any) -> Any:
    """What *mapping* has under the scalar *key*, or MISSING; a `__missing__` isn't asked."""
    return dict.get(mapping, key, MISSING) if is_plain(mapping, key) else MISSING


def has_dict(cls: type) -> bool:
    """True when instances of *cls* can have attributes of their own."""
    return any(_is_dict_getter(namespace_of(base).get("__dict__")) for base in mro_of(cls))


def _is_dict_getter(found: Any) -> bool:
    """True for the interpreter's own ways to an instance's `__dict__`; `SimpleNamespace` has the second."""
    kind = type(found)
    return kind is GetSetDescriptorType or kind is MemberDescriptorType
