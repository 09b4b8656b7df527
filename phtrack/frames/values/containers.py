"""
The builtin containers and their subclasses, read by head and length through the methods of the builtin type itself.

What a subclass overrides (`__len__`, `__iter__`, `items`) isn't called.
"""

from __future__ import annotations

import collections
import gc
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from phtrack.frames.values.node import CHANGED, MAPPING, SEQUENCE

if TYPE_CHECKING:
    from phtrack.frames.values.formatter import Formatter
    from phtrack.frames.values.node import Node
    from phtrack.frames.values.shapes import Shape

MAX_ITEMS = 50
"""A container with more entries is read at its head only (the wire contract shows none of them)."""
HEAD = 10
"""Entries read of such a one."""
MAX_KEY = 64
"""Characters of a key or text that is taken as it is."""
SHORT_INT = 1 << 62
"""Below it a whole number is taken as it is."""


class Container(NamedTuple):
    """How a builtin container is read."""

    base: Any
    form: int
    fill: Any


def container_of(cls: type) -> Container | None:
    """The builtin container that *cls* is or derives from."""
    return next((container for container in _CONTAINERS if issubclass(cls, container.base)), None)


def head_of(length: int) -> int:
    """How many entries of a container of *length* are read."""
    return length if length <= MAX_ITEMS else HEAD


def _fill_list(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
    node.length = length = list.__len__(value)
    node.items = entries(f, list.__getitem__(value, slice(head_of(length))))


def _fill_tuple(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
    node.length = length = tuple.__len__(value)
    if length == 2:
        # A header, a row of a form: ("authorization", "Bearer ...") is a name and its value.
        name, second = tuple.__getitem__(value, slice(2))
        node.items = [f.visit(name), f.named(name, second)]
    else:
        node.items = entries(f, tuple.__getitem__(value, slice(head_of(length))))


def entries(f: Formatter, values: Any) -> list[Any]:
    """The entries of a list; what follows an option such as `--password` is known by that name."""
    found: list[Any] = []
    option = None
    for value in values:
        found.append(f.visit(value) if option is None else f.named(option, value))
        option = value if type(value) is str and value[:1] == "-" and "=" not in value else None
    return found


def _fill_iterable(length_of: Any, iterate: Any) -> Any:
    def fill(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
        node.length = length = length_of(value)
        node.items = [f.visit(entry) for entry in read(node, iterate(value), head_of(length))]

    return fill


def fill_dict(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
    """Keys and values of a dict or of any subclass of it. A change by another thread meanwhile raises `RuntimeError`."""
    node.length = length = dict.__len__(value)
    visit, rules = f.visit, f.rules
    node.items = items = []
    pairs = dict.items(value)
    for key, entry in pairs if length <= MAX_ITEMS else islice(pairs, HEAD):
        if type(key) is str and len(key) <= MAX_KEY:
            rule = rules[key] if key in rules else f.rule_for(key)
            if rule is not None:
                entry = f.masked(rule, entry)
            elif not (
                (kind := type(entry)) is float
                or (kind is str and len(entry) <= MAX_KEY)
                or (kind is int and -SHORT_INT < entry < SHORT_INT)
            ):
                entry = visit(entry)
            items.append((key, entry))
        else:
            items.append((visit(key), f.named(key, entry)))


def _fill_proxy(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
    # The mapping behind it may be anybody's; the garbage collector hands it over without asking it.
    for behind in gc.get_referents(value):
        if issubclass(type(behind), dict):
            fill_dict(f, behind, node, shape)


def read(node: Node, values: Any, limit: int) -> list[Any]:
    """At most *limit* of *values*; those before it, and a note, where another thread changed the container meanwhile."""
    try:
        return list(islice(values, limit))
    except RuntimeError:
        pass
    found: list[Any] = []
    try:
        for value in islice(values, limit):
            found.append(value)
    except RuntimeError:
        pass
    node.note = CHANGED
    return found


_ITERABLE: tuple[Any, ...] = (
    set,
    frozenset,
    collections.deque,
    type({}.keys()),
    type({}.values()),
    type({}.items()),
)
_CONTAINERS = (
    Container(dict, MAPPING, fill_dict),
    Container(list, SEQUENCE, _fill_list),
    Container(tuple, SEQUENCE, _fill_tuple),
    *(Container(base, SEQUENCE, _fill_iterable(base.__len__, base.__iter__)) for base in _ITERABLE),
    Container(type(type.__dict__), MAPPING, _fill_proxy),
)
