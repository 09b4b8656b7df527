"""
What is read of a value, by its type.

    type -> Shape (here, cached) -> `leaf`: a scalar or finished node   or   `fill`: the parts of a container

A shape holds names and functions, never the type: a class that was made in a function can be collected. Packages such
as numpy are described in `foreign` and looked at only where the application has imported them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from phtrack.frames.values import containers, foreign, leaves, objects
from phtrack.frames.values.node import OBJECT
from phtrack.frames.values.static import has_dict, slots_of, type_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack.frames.values.formatter import Formatter
    from phtrack.frames.values.node import Node

MAX_SHAPES = 2048
"""Types remembered; all are forgotten when there are more."""


class Shape:
    """How values of one type are read. One of `leaf` and `fill` is set."""

    __slots__ = ("fields", "fill", "form", "leaf", "name", "owner", "slots")

    def __init__(self, name: str, *, leaf: Any = None, fill: Any = None, form: int = OBJECT) -> None:
        self.name = name
        """The type's name for the reader."""
        self.leaf: Callable[[Any, Shape], Any] | None = leaf
        """Gives the finished value. May raise."""
        self.fill: Callable[[Formatter, Any, Node, Shape], None] | None = fill
        """Puts the parts into a node. May raise; what it has put there until then stays."""
        self.form = form
        """Form of the node that `fill` fills."""
        self.fields: dict[str, bool] | None = None
        """The declared fields in order, and whether their values may be shown."""
        self.slots: list[tuple[str, int]] = []
        """As `static.slots_of` lists them."""
        self.owner: Any = None
        """Weak reference to the type, which tells a new type at the same address from the old one."""


_shapes: dict[int, Shape] = {}


def shape_of(cls: type) -> Shape:
    """The shape of values whose exact type is *cls*."""
    shape = _shapes.get(id(cls))
    if shape is not None and shape.owner() is cls:
        return shape
    if len(_shapes) >= MAX_SHAPES:
        _shapes.clear()
    shape = _describe(cls)
    shape.owner = ref(cls)
    _shapes[id(cls)] = shape
    return shape


def _describe(cls: type) -> Shape:
    name = type_name(cls)
    if (leaf := leaves.leaf_of(cls)) is not None:
        return Shape(name, leaf=leaf)
    if (known := foreign.known(cls, name)) is not None:
        return Shape(name, leaf=known.leaf, fill=known.fill)
    if (fields := objects.named_tuple_fields(cls)) is not None:
        shape = Shape(name, fill=objects.fill_named_tuple)
        shape.fields = fields
        return shape
    if (container := containers.container_of(cls)) is not None:
        return Shape(name, fill=container.fill, form=container.form)
    shape = Shape(name, fill=objects.fill_of(cls))
    shape.fields = objects.fields_of(cls)
    shape.slots = slots_of(cls)
    if not shape.slots and not has_dict(cls):
        shape.leaf = leaves.by_class
    return shape
