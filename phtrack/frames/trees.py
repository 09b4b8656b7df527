"""
Small syntax trees: of one statement cut out of its file, of one function.

    lines of a piece -> the statements in it, with line numbers as in the file

Compound headers come without their body and stand for themselves: `elif x:` becomes an `if`, `except E:` a `try` with
that one handler, `case P:` a `match` with that one case. Columns are UTF-8 bytes, as `ast` has them.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING

from phtrack.frames import pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

Span = tuple[int, int, int, int]
"""Line, column, end line, end column, columns in UTF-8 bytes: how the compiler and `ast` tell a place."""

MAX_LINES = 300
"""Lines of a statement that are still parsed; a longer one is a table of data."""
MAX_CHARACTERS = 30_000
MAX_BLOCK_LINES = 2_000
"""Lines of a function or module that are parsed as a whole."""
_MAX_EMPTY = 400
MAX_BLOCKS = 32
"""Syntax trees of functions kept in memory."""

TRUE_PLACES_IN_STRINGS = sys.version_info >= (3, 12)
"""Whether the places of expressions inside f-strings can be trusted."""

_first_word = re.compile(r"\s*([a-z]+)").match
_escape = re.compile(r"\\(?s:(.))")
_KNOWN_ESCAPES = frozenset("\n\\'\"abfnrtvx0123")
# As long as the word they replace, so that columns stay.
_STAND_INS = {"elif": "  if", "else": "if 1", "finally": "while 1"}
_HOLDERS = (ast.stmt, ast.ExceptHandler, ast.match_case)
_blocks: OrderedDict[tuple[int, int], tuple[Sequence[str], ast.AST | None]] = OrderedDict()


def parse(lines: Sequence[str], first_line: int, is_header: bool) -> list[ast.stmt]:
    """
    The statements in *lines*, which is one piece of a file: more than one only where semicolons part them.

    Args:
        first_line: 1-based line of the file that ``lines[0]`` is.
        is_header: As `pieces.Piece` has it.

    Returns an empty list for what is no Python, and for more than `MAX_LINES` or `MAX_CHARACTERS`.
    """
    text = "\n".join(lines)
    if len(lines) > MAX_LINES or len(text) > MAX_CHARACTERS:
        return []
    indent = text[: len(text) - len(text.lstrip())]
    match = _first_word(text)
    word = match[1] if match else ""
    below = f"\n{indent}    pass" if is_header else ""
    above = "if 1:\n" if indent or word == "elif" else ""
    if stand_in := _STAND_INS.get(word):
        return _statements(text.replace(word, stand_in, 1) + below, above, first_line)
    if word == "try":
        return _statements(f"{text}{below}\n{indent}finally: pass", above, first_line)
    if word == "except":
        return _statements(text + below, f"{above}{indent}try: pass\n", first_line, bool(indent))
    if word == "case" and (found := _statements(text + below, "match 0:\n", first_line, False)):
        return found
    if word == "match" and is_header and (found := _statements(f"{text}\n{indent} case _: pass", above, first_line)):
        return found
    return _statements(text + below, above, first_line)


def _statements(text: str, above: str, first_line: int, is_wrapped: bool | None = None) -> list[ast.stmt]:
    """
    Parse *text* below the lines *above*, which make it complete.

    Args:
        is_wrapped: Whether *above* opens a block around it (by default, when there is something above at all).
    """
    shift = first_line - 1 - above.count("\n")
    # The compiler skips an empty line much faster than we count up the lines of a tree.
    empty = shift if 0 < shift < _MAX_EMPTY else 0
    tree = _compiled("\n" * empty + above + text)
    if tree is None:
        return []
    body = tree.body[0].body if (bool(above) if is_wrapped is None else is_wrapped) else tree.body  # type: ignore[attr-defined]
    if shift != empty:
        for statement in body:
            _shift(statement, shift)
    return list(body)


def _compiled(text: str) -> ast.Module | None:
    text = without_unknown_escapes(text)
    try:
        tree = compile(text, "<statement>", "exec", ast.PyCF_ONLY_AST, True)
    except (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError):
        return None
    return tree if isinstance(tree, ast.Module) else None


def without_unknown_escapes(text: str) -> str:
    """*text* with places and meaning kept, that compiles without the warnings that each parse would print again."""
    return _escape.sub(_tame, text) if "\\" in text else text


def parse_expression(text: str) -> ast.expr | None:
    """The expression *text* is, also over several lines; None when it is none."""
    tree = _compiled(f"(\n{text}\n)")
    only = tree.body[0] if tree is not None and len(tree.body) == 1 else None
    return only.value if isinstance(only, ast.Expr) else None


def _tame(match: re.Match[str]) -> str:
    """
    Escapes that Python doesn't know make the compiler warn, on the host's stderr, on each parse; so they become
    something of the same length. Only constants in the tree differ then; the text shown is the file's.
    """
    return match[0] if match[1] in _KNOWN_ESCAPES else "/" + match[1]


def _shift(node: ast.AST, by: int) -> None:
    """
    `ast.increment_lineno`, at half the price.

    Goes by `_fields`, never by `__dict__`: nodes such as `Load()` are shared by all trees of the process, and whoever
    hangs a `parent` on each node (`executing` does) hangs it on those as well.
    """
    stack = [node]
    while stack:
        node = stack.pop()
        own = node.__dict__
        for name in node._fields:
            value = own.get(name)
            if type(value) is list:
                stack.extend(item for item in value if isinstance(item, ast.AST))
            elif isinstance(value, ast.AST) and value._fields:
                stack.append(value)
        if "end_lineno" in own:
            own["lineno"] += by
            own["end_lineno"] += by


def pick(statements: Sequence[ast.stmt], place: tuple[int, int] | None) -> ast.stmt:
    """
    The innermost of *statements* at a line and column: of `a; b` and `if x: return y` the part that is there.

    Without a place, the first.
    """
    found = statements[0]
    if place is None:
        return found
    inside: Sequence[ast.AST] = statements
    while True:
        for node in inside:
            if _covers(node, (*place, *place)):
                break
        else:
            return found
        if isinstance(node, ast.stmt):
            found = node
        inside = [child for child in ast.iter_child_nodes(node) if isinstance(child, _HOLDERS)]
        if not inside:
            return found


def span_of(node: ast.AST) -> Span:
    """The place of *node*, which must be one that has a place."""
    return (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]


def path_to(root: ast.AST, span: Span) -> list[ast.expr]:
    """The expressions below *root* that hold all of *span*, the outermost first."""
    found: list[ast.expr] = []
    node: ast.AST | None = root
    while node is not None:
        if not TRUE_PLACES_IN_STRINGS and isinstance(node, ast.JoinedStr):
            return found + _longest_path(node, span)
        node = _child_at(node, span)
        if isinstance(node, ast.expr):
            found.append(node)
    return found


def _child_at(node: ast.AST, span: Span) -> ast.AST | None:
    """The nearest node below *node* with a place of its own, which holds *span*. Such nodes never overlap."""
    own = node.__dict__
    for name in node._fields:
        value = own.get(name)
        for child in value if type(value) is list else (value,):
            if not isinstance(child, ast.AST):
                continue
            place = child.__dict__
            if "end_lineno" not in place:  # arguments, comprehensions, and the empty ones such as Load()
                if child._fields and (inner := _child_at(child, span)) is not None:
                    return inner
            elif _covers(child, span):
                return child
    return None


def _longest_path(node: ast.AST, span: Span) -> list[ast.expr]:
    """Inside f-strings before Python 3.12, where all parts claim the place of the whole string."""
    longest: list[ast.expr] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr) and _covers(child, span):
            path = [child, *_longest_path(child, span)]
            longest = max(longest, path, key=len)
    return longest


def block_at(lines: Sequence[str], first_line: int, is_module: bool) -> ast.AST | None:
    """
    The function or class that starts at *first_line* (its decorators count), or the whole module, with all inside.

    Returns None beyond `MAX_BLOCK_LINES` and for what is no Python.
    """
    key = (id(lines), 0 if is_module else first_line)
    known = _blocks.get(key)
    if known is not None and known[0] is lines:
        return known[1]
    block = _parsed_module(lines) if is_module else _parsed_function(lines, first_line)
    _blocks[key] = (lines, block)
    while len(_blocks) > MAX_BLOCKS:
        try:
            _blocks.popitem(last=False)
        except KeyError:  # another thread was faster
            break
    return block


def _parsed_module(lines: Sequence[str]) -> ast.AST | None:
    return _compiled("\n".join(lines)) if len(lines) <= MAX_BLOCK_LINES else None


def _parsed_function(lines: Sequence[str], first_line: int) -> ast.AST | None:
    if not 0 < first_line <= len(lines):
        return None
    last = pieces.end_of_block(lines, first_line, first_line + MAX_BLOCK_LINES)
    if last is None:
        return None
    text = "\n".join(lines[first_line - 1 : last])
    indent = text[: len(text) - len(text.lstrip())]
    found = _statements(text, "if 1:\n" if indent else "", first_line)
    return found[0] if len(found) == 1 else None


def _covers(node: ast.AST, span: Span) -> bool:
    if "lineno" not in node.__dict__:
        return True
    line, column, end_line, end_column = span_of(node)
    return (line, column) <= (span[0], span[1]) and (span[2], span[3]) <= (end_line, end_column)
