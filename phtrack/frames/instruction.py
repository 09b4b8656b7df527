"""
Which expression an instruction belongs to.

    code, instruction, the statement it is in -> the place of the expression, in characters of the file

From Python 3.11 on the compiler tells (`co_positions`, PEP 657), and its answer is made the same for all versions:
the whole call or attribute where it underlines the last name of a chain over several lines, the context manager where
it names the whole `with`. Before that the library `executing` finds out by compiling, on small blocks only; what it
doesn't know (asserts, loops, awaits) is plain where the statement has only one such expression.
"""

from __future__ import annotations

import ast
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from phtrack.frames import trees

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType

HAS_POSITIONS = sys.version_info >= (3, 11)
MAX_LINES = 1_500
"""Lines of a block that is compiled on Python 3.10 to find an expression."""
MAX_BLOCKS = 4
"""Blocks kept for that."""


_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Found(NamedTuple):
    """The place of an expression, or what is known of it."""

    place: tuple[int, int, int, int] | None
    """Line, column, end line, end column; columns in characters."""
    span: trees.Span | None
    """The same in UTF-8 bytes when it is exactly a node of the tree."""


NOTHING = Found(None, None)


def position_at(code: CodeType, lasti: int) -> trees.Span | None:
    """What the code object says about the instruction at offset *lasti*; None when it doesn't, and before 3.11."""
    positions: Any = getattr(code, "co_positions", None)
    if positions is None or lasti < 0:
        return None
    line, end_line, column, end_column = next(islice(positions(), lasti // 2, None), (None,) * 4)
    if line is None or end_line is None or column is None or end_column is None:
        return None
    return (line, column, end_line, end_column)


def opcode_at(code: CodeType, lasti: int) -> str:
    """The name of the instruction at offset *lasti*, past the prefixes of its argument; "" when there is none."""
    from opcode import EXTENDED_ARG, opname

    raw = code.co_code
    while 0 <= lasti < len(raw) and raw[lasti] == EXTENDED_ARG:
        lasti += 2
    return opname[raw[lasti]] if 0 <= lasti < len(raw) else ""


def by_position(
    position: trees.Span, code: CodeType, lasti: int, node: ast.stmt, lines: Sequence[str], first_line: int
) -> Found:
    """
    The expression of *node* at *position*.

    Args:
        code, lasti: The instruction that *position* is of.
        lines: Those of the statement, the first of them being *first_line* of the file.
    """
    if _is_whole(node, position, first_line + len(lines) - 1):
        meant = _meant_by_whole(node)
        return NOTHING if meant is None else found_at(meant, lines, first_line)
    path = trees.path_to(node, position)
    if not trees.TRUE_PLACES_IN_STRINGS:
        while path and isinstance(path[-1], ast.FormattedValue):
            path.pop()
        if any(isinstance(part, ast.JoinedStr) for part in path[:-1]) and not _says(path[-1], lines, first_line):
            return NOTHING
        if not path and any(isinstance(part, ast.JoinedStr) for part in ast.walk(node)):
            return NOTHING
    if path:
        if isinstance(path[-1], _COMPREHENSIONS) and opcode_at(code, lasti) == "GET_ITER":
            path.append(path[-1].generators[0].iter)  # 3.11 names the comprehension, 3.12 what it goes over
            position = trees.span_of(path[-1])
        span = trees.span_of(path[-1])
        if span == position or (span[2:] == position[2:] and isinstance(path[-1], (ast.Attribute, ast.Call))):
            return found_at(path[-1], lines, first_line)
    return Found(_in_characters(position, lines, first_line), None)


def by_executing(
    code: CodeType, lasti: int, lineno: int, lines: Sequence[str], top_level: tuple[int, int], node: ast.stmt
) -> ast.expr | None:
    """
    The node of the expression at offset *lasti*, found by `executing`: for Python 3.10, and not cheap (milliseconds).

    Args:
        lines: Those of the whole file.
        top_level: First and last line (1-based) of the statement at the top of the module that holds *code*.
        node: The statement at *lineno*.

    Keeps a few parsed blocks; leaves nothing in the caches of `executing`, which never shrink by themselves.
    """
    plain = _only_candidate(opcode_at(code, lasti), node)
    if plain is not None or top_level[1] - top_level[0] > MAX_LINES:
        return plain
    from executing import executing as library

    finder: Any = getattr(library, "SentinelNodeFinder", None)
    try:
        source = _executing_source(lines, top_level)
        if finder is None or source is None:
            return None
        statements = source.statements_at_line(lineno)
        result = finder(_Frame(code, lineno), statements, source.tree, lasti, source)
        found = result.decorator or result.result
    except Exception:  # how `executing` says that it doesn't know
        return None
    finally:
        for cached in (library.statement_containing_node, library.Source.statements_at_line):
            if (clear := getattr(cached, "cache_clear", None)) is not None:
                clear()
    if not isinstance(found, ast.expr) or (_is_in_string(found) and not _says(found, lines, 1)):
        return None
    return found


def found_at(node: ast.expr, lines: Sequence[str], first_line: int) -> Found:
    """The place of *node*, an expression of a statement whose *lines* start at *first_line*."""
    span = trees.span_of(node)
    place = _in_characters(span, lines, first_line)
    return NOTHING if place is None else Found(place, span)


def _is_whole(node: ast.stmt, position: trees.Span, last_line: int) -> bool:
    """True when *position* is the whole statement, of a compound one with the body that isn't in *node*."""
    start: Any = node.handlers[0] if isinstance(node, ast.Try) and node.handlers else node
    if isinstance(node, ast.Expr) or position[:2] != (start.lineno, start.col_offset):
        return False
    return position[2] > last_line or position[2:] == (node.end_lineno, node.end_col_offset)


def _meant_by_whole(node: ast.stmt) -> ast.expr | None:
    """The one expression meant where a Python names a statement whole and another one names the expression."""
    if isinstance(node, ast.Assert):
        return node.test
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return node.items[0].context_expr if len(node.items) == 1 else None
    if isinstance(node, (ast.For, ast.AsyncFor)):
        return node.iter
    if isinstance(node, ast.Try) and node.handlers:
        return node.handlers[0].type
    return None


def _says(node: ast.expr, lines: Sequence[str], first_line: int) -> bool:
    """True when the text at the place of *node* is its source: inside f-strings, Python before 3.12 gets places wrong."""
    place = _in_characters(trees.span_of(node), lines, first_line)
    if place is None:
        return False
    there = trees.parse_expression(text_at(place, lines, first_line))
    return there is not None and ast.dump(there) == ast.dump(node)


def _is_in_string(node: Any) -> bool:
    """True inside an f-string; `executing` gives each node its parent."""
    while isinstance(node, ast.AST):
        node = getattr(node, "parent", None)
        if isinstance(node, ast.JoinedStr):
            return True
    return False


def text_at(place: tuple[int, int, int, int], lines: Sequence[str], first_line: int) -> str:
    """The source at *place* (characters) of a statement whose *lines* start at *first_line*."""
    line, column, end_line, end_column = place
    part = list(lines[line - first_line : end_line - first_line + 1])
    part[-1] = part[-1][:end_column]
    part[0] = part[0][column:]
    return "\n".join(part)


def _in_characters(span: trees.Span, lines: Sequence[str], first_line: int) -> tuple[int, int, int, int] | None:
    """None when *span* isn't inside *lines*: then they aren't what was compiled."""
    line, column, end_line, end_column = span
    if not first_line <= line <= end_line < first_line + len(lines):
        return None
    start = _character(lines[line - first_line], column)
    end = _character(lines[end_line - first_line], end_column)
    if start is None or end is None or (line == end_line and start >= end):
        return None
    return (line, start, end_line, end)


def _character(line: str, column: int) -> int | None:
    if line.isascii():
        return column if 0 <= column <= len(line) else None
    data = line.encode("utf-8", "surrogatepass")
    if not 0 <= column <= len(data):
        return None
    return len(data[:column].decode("utf-8", "ignore"))


class _Frame:
    """What `executing` reads of a frame."""

    f_globals: dict[str, Any] = {}

    def __init__(self, code: CodeType, lineno: int) -> None:
        self.f_code = code
        self.f_lineno = lineno


_sources: dict[tuple[int, tuple[int, int]], tuple[Sequence[str], Any]] = {}


def _executing_source(lines: Sequence[str], top_level: tuple[int, int]) -> Any:
    """A `Source` of `executing` that knows one block of the file, at its own lines; None when that is no Python."""
    key = (id(lines), top_level)
    known = _sources.get(key)
    if known is not None and known[0] is lines:
        return known[1]
    from executing import Source

    first, last = top_level
    text = trees.without_unknown_escapes("\n" * (first - 1) + "\n".join(lines[first - 1 : last]) + "\n")
    source = Source("<block>", text.splitlines(True))
    if len(_sources) >= MAX_BLOCKS:
        _sources.clear()
    _sources[key] = (lines, source if source.tree is not None else None)
    return _sources[key][1]


def _only_candidate(opcode: str, node: ast.stmt) -> ast.expr | None:
    """The expression an instruction must mean because the statement holds just one it can belong to."""
    kinds: tuple[type[ast.AST], ...]
    if opcode in ("RAISE_VARARGS", "LOAD_ASSERTION_ERROR"):
        return node.test if isinstance(node, ast.Assert) else None
    if opcode == "JUMP_IF_NOT_EXC_MATCH":
        return _meant_by_whole(node) if isinstance(node, ast.Try) else None
    if opcode in ("GET_ITER", "FOR_ITER", "GET_AITER", "GET_ANEXT"):
        kinds, field = (ast.For, ast.AsyncFor, ast.comprehension), "iter"
    elif opcode in ("SETUP_WITH", "BEFORE_ASYNC_WITH", "SETUP_ASYNC_WITH"):
        kinds, field = (ast.withitem,), "context_expr"
    elif opcode in ("GET_AWAITABLE", "YIELD_FROM", "GET_YIELD_FROM_ITER"):
        kinds, field = (ast.Await, ast.YieldFrom), ""
    elif opcode in ("UNPACK_SEQUENCE", "UNPACK_EX"):
        kinds, field = (ast.Tuple, ast.List), ""
    else:
        return None
    found = [part for part in ast.walk(node) if isinstance(part, kinds) and _is_target_or_no_tuple(part)]
    if len(found) != 1:
        return None
    answer = getattr(found[0], field) if field else found[0]
    return answer if isinstance(answer, ast.expr) else None


def _is_target_or_no_tuple(node: ast.AST) -> bool:
    return not isinstance(node, (ast.Tuple, ast.List)) or isinstance(node.ctx, ast.Store)
