"""
Objects with attributes: dataclasses, attrs, pydantic, named tuples, enums, exceptions, ORM instances, any class.

What is shown is what lies in the instance (`__dict__`, slots). Properties, lazy columns and `__getattr__` are not asked.
Fields that their author kept out of the repr (`field(repr=False)`) are not read.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from phtrack.frames.values.containers import read
from phtrack.frames.values.node import MASKED, MISSING, NAME, Node
from phtrack.frames.values.static import attribute, instance_dict, lookup, module_name, mro_of, slot, type_name

if TYPE_CHECKING:
    from phtrack.frames.values.formatter import Formatter
    from phtrack.frames.values.shapes import Shape

MAX_ATTRIBUTES = 50
"""Attributes read of one object."""
MAX_FIELDS = 200
HIDDEN_BY_AUTHOR = "repr=False"
"""The rule by which fields that aren't in the repr are masked."""
PARAMETERS = "sql_parameters"
"""The rule by which the parameters of a failed SQL statement are masked."""
_BOOKKEEPING = ("_sa_instance_state", "_state", "__weakref__")
"""What ORMs keep on their instances."""
_args_of = BaseException.__dict__["args"].__get__


def fill_of(cls: type) -> Any:
    """The function that fills a node from an instance of *cls*."""
    if issubclass(cls, BaseException):
        return fill_exception
    if any(base.__name__ == "QuerySet" and module_name(base) == "django.db.models.query" for base in _plain_mro(cls)):
        return fill_query_set
    return fill_object


def _plain_mro(cls: type) -> Any:
    """The bases whose metaclass is `type`: only their `__name__` can be asked without running code."""
    return (base for base in mro_of(cls) if type(base) is type)


def fill_object(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
    """Declared fields in their order, then slots, then what else is in the instance's `__dict__`."""
    attributes = instance_dict(value)
    found: dict[str, Any] = {}
    for name, place in shape.slots:
        if (content := slot(value, name, place)) is not MISSING:
            found[name] = content
    total = len(found)
    if attributes is not None:
        total += dict.__len__(attributes)
        for name, content in read(node, dict.items(attributes), MAX_ATTRIBUTES):
            if type(name) is str:
                found[name] = content
    node.items = items = []
    fields = shape.fields
    if fields:
        for name, may_show in fields.items():
            if (content := found.pop(name, MISSING)) is not MISSING:
                items.append((name, f.named(name, content) if may_show else Node(MASKED, "", HIDDEN_BY_AUTHOR)))
    for name, content in islice(found.items(), MAX_ATTRIBUTES):
        if name[:2] == "__" or name in _BOOKKEEPING:
            total -= 1
        else:
            items.append((name, f.named(name, content)))
    node.length = total


def fill_exception(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
    """`args` as they are stored, then the attributes."""
    fill_object(f, value, node, shape)
    if node.items is not None and node.length is not None:
        names = [name for name, _ in node.items]
        if "params" in names and "statement" in names:
            # A failed SQL statement: which of its parameters are secret only the statement tells. The message, which is read
            # with it, has those that aren't.
            at = names.index("params")
            node.items[at] = ("params", Node(MASKED, "", PARAMETERS))
        node.items.insert(0, ("args", f.visit(_args_of(value))))
        node.length += 1


def fill_query_set(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
    """The rows that were already loaded. Never a query."""
    attributes = instance_dict(value) or {}
    model: Any = attributes.get("model")
    if issubclass(type(model), type):
        node.items = [("model", Node(NAME, "type", f"<class {type_name(model)}>"))]
    rows = attributes.get("_result_cache")
    loaded = Node(NAME, "str", "not loaded") if rows is None else f.visit(rows)
    node.items = [*(node.items or ()), ("rows", loaded)]
    node.length = len(node.items)


def named_tuple_fields(cls: type) -> dict[str, bool] | None:
    """The fields of a named tuple, None for any other type."""
    names = lookup(cls, "_fields") if issubclass(cls, tuple) else MISSING
    if type(names) is not tuple or not all(type(name) is str for name in names):
        return None
    return dict.fromkeys(names[:MAX_FIELDS], True)


def fill_named_tuple(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
    """Fields by name."""
    node.length = tuple.__len__(value)
    parts = tuple.__getitem__(value, slice(MAX_ATTRIBUTES))
    node.items = [(name, f.named(name, part)) for name, part in zip(shape.fields or (), parts)]


def fields_of(cls: type) -> dict[str, bool] | None:
    """Name -> may be shown, of the fields of a dataclass, attrs class or pydantic model (v1, v2); None for others."""
    for mark in ("__dataclass_fields__", "__attrs_attrs__", "__pydantic_fields__", "model_fields", "__fields__"):
        declared = lookup(cls, mark)
        if type(declared) is dict:
            pairs = list(islice(declared.items(), MAX_FIELDS))
        elif issubclass(type(declared), tuple):
            pairs = [(attribute(one, "name"), one) for one in tuple.__getitem__(declared, slice(MAX_FIELDS))]
        else:
            continue
        return {name: _may_show(field) for name, field in pairs if type(name) is str}
    return None


def _may_show(field: Any) -> bool:
    inner = attribute(field, "field_info")  # pydantic v1 keeps the author's wishes one level down
    return not any(attribute(one, "repr") is False for one in (field, inner))
