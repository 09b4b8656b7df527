"""
Arrays, tables and tensors by shape, dtype and head; queries and schemas of GraphQL by class.

Only where the application has imported the package, and only for the package's own exact types: a subclass may have
overridden anything, a lazy frame would compute, a tensor on a device would wait for it. These are shown by class and
attributes like any object.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from phtrack.frames.values.leaves import by_class, imported, number
from phtrack.frames.values.node import MAPPING, NAME, Node
from phtrack.frames.values.static import module_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack.frames.values.formatter import Formatter
    from phtrack.frames.values.shapes import Shape

    Fill = Callable[[Formatter, Any, Node, Shape], None]

HEAD = 8
"""Elements shown of an array."""
ROWS = 3
"""Rows shown of a table."""
COLUMNS = 10
"""Columns shown of a table."""
_GRAPHQL = ("graphql.language.", "graphql.type.")
"""
Every resolver is handed the query's syntax tree, which holds whatever the client wrote into it under no name that could be
masked, and the schema, which is large and says nothing about a failure. What else a resolver is told are named tuples.
"""


class Known(NamedTuple):
    """How values of a package's type are read: one of the two."""

    leaf: Any = None
    fill: Fill | None = None


def known(cls: type, name: str) -> Known | None:
    """What is special about *cls*, whose name is *name*; None if nothing."""
    package = name.partition(".")[0]
    if package not in sys.modules:
        return None
    if package == "numpy":
        generic = imported("numpy", "generic")
        if generic is not None and issubclass(cls, generic):
            return Known(leaf=_numpy_scalar)
    if package == "graphql" and name.startswith(_GRAPHQL) and not issubclass(cls, tuple):
        return Known(leaf=by_class)
    for module, type_name, fill in _TYPES:
        if module.partition(".")[0] == package and imported(module, type_name) is cls:
            return Known(fill=fill)
    return None


def _numpy_scalar(value: Any, shape: Shape) -> Any:
    plain = value.item()
    if type(plain) is int or type(plain) is float:
        return number(plain, shape.name)
    if type(plain) is bool:
        return Node(NAME, shape.name, str(plain))
    return Node(NAME, shape.name, str(value)[:200]) if type(plain) is not tuple else by_class(value, shape)


def _described(f: Formatter, node: Node, shape: tuple[Any, ...], **more: Any) -> None:
    node.items = [("shape", Node(NAME, "tuple", str(tuple(map(int, shape)))))]
    for name, value in more.items():
        node.items.append((name, value if type(value) is Node else Node(NAME, "dtype", str(value)[:200])))


def _numpy_array(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
    _described(f, node, value.shape, dtype=value.dtype)
    if _is_known(value.dtype):
        _add_head(f, node, value.flat[:HEAD].tolist())


def _is_known(dtype: Any) -> bool:
    """An element type of the package itself, not one that somebody registered."""
    return module_name(type(dtype)).partition(".")[0] in ("numpy", "pandas", "polars", "torch")


def _add_head(f: Formatter, node: Node, head: Any) -> None:
    if node.items is not None:
        node.items.append(("head", f.visit(head)))


def _pandas_column(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
    _described(f, node, value.shape, dtype=value.dtype)
    if _is_known(value.dtype):
        head = value[:HEAD] if imported("pandas", "Series") is not type(value) else value.iloc[:HEAD]
        _add_head(f, node, head.tolist())


def _pandas_table(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
    _described(f, node, value.shape)
    rows = value.iloc[:ROWS, :COLUMNS]
    columns = []
    for place, name in enumerate(rows.columns.tolist()):
        column = rows.iloc[:, place]
        columns.append((name, column.dtype, column.tolist() if _is_known(column.dtype) else None))
    _add_table(f, node, columns)


def _polars_table(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
    _described(f, node, value.shape)
    rows = value.head(ROWS)[:, :COLUMNS]
    _add_table(f, node, [(column.name, column.dtype, column.to_list()) for column in rows.get_columns()])


def _add_table(f: Formatter, node: Node, columns: list[tuple[Any, Any, Any]]) -> None:
    dtypes, head = Node(MAPPING, "dict"), Node(MAPPING, "dict")
    dtypes.items = [(f.visit(name), Node(NAME, "dtype", str(dtype)[:200])) for name, dtype, _ in columns]
    head.items = [(f.visit(name), f.named(name, values)) for name, _, values in columns if values is not None]
    if node.items is not None:
        node.items += [("dtypes", dtypes), ("head", head)]


def _polars_column(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
    _described(f, node, (value.len(),), dtype=value.dtype)
    _add_head(f, node, value.head(HEAD).to_list())


def _torch_tensor(f: Formatter, value: Any, node: Node, shape: Shape) -> None:
    native = imported("torch", "_C")
    # A mode makes even reading an attribute run its author's code. Without these counters we can't tell, so don't look.
    if native._len_torch_function_stack() or native._len_torch_dispatch_stack():
        node.items = []
        return
    device = value.device.type
    _described(f, node, tuple(value.shape), dtype=value.dtype, device=Node(NAME, "device", str(device)))
    if device == "cpu" and str(value.layout) == "torch.strided" and value.is_contiguous():
        _add_head(f, node, value.detach().view(-1)[:HEAD].tolist())  # detached: no part of anybody's graph


_TYPES: tuple[tuple[str, str, Fill], ...] = (
    ("numpy", "ndarray", _numpy_array),
    ("pandas", "DataFrame", _pandas_table),
    ("pandas", "Series", _pandas_column),
    ("pandas", "Index", _pandas_column),
    ("pandas", "DatetimeIndex", _pandas_column),
    ("polars", "DataFrame", _polars_table),
    ("polars", "Series", _polars_column),
    ("torch", "Tensor", _torch_tensor),
    ("torch.nn.parameter", "Parameter", _torch_tensor),
)
