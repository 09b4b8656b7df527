"""
The statement a site stands in, and the exact expression that was being evaluated there.

    Site -> lines (`source`) -> the piece around its line (`pieces`) -> a small syntax tree (`trees`) -> Statement

Never a syntax tree of a whole file: the lines of one statement are enough, which makes this cheap enough for the
thread that raised. The tree of the function around it is made only when someone asks for it. On Python 3.11+ the
expression comes from the code object's positions, before that from the library `executing` (both in `instruction`).

When the text on disk is not the text that runs (another name stands where the function began), there is no statement.
"""

from __future__ import annotations

import ast
import re
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Any

from phtrack.frames import instruction, pieces, trees
from phtrack.frames.site import Site
from phtrack.frames.source import ABSENT, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType

MAX_TREES = 512
"""Statements whose syntax tree stays in memory; others parse theirs again when asked."""

_FROM_TOP = 400
"""Up to this line the code of a module is scanned from its first line on."""
_ANCHORS = 4
"""Guesses at most, per kind, where a statement starts when the code object doesn't tell."""

_named = re.compile(r"\s*(?:async\s+)?(?:def|class)\s+(\w+)").match
_NAMES_INSIDE = frozenset(("<lambda>", "<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>"))
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPOUND = (
    *_FUNCTIONS, ast.ClassDef, ast.If, ast.While, ast.For, ast.AsyncFor, ast.With, ast.AsyncWith, ast.Try, ast.Match,
)  # fmt: skip
_anonymous = (ast.Lambda, ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)


class Statement:
    """
    One statement as it stands in the file. Made by `statement_of`; holds text and positions, no frame and no value.

    Of a compound statement this is the header alone: its `node` has a single `pass` for a body.
    """

    __slots__ = (
        "_found",
        "_is_header",
        "_node",
        "_origin",
        "_position",
        "_unsure",
        "condition",
        "first_line",
        "last_line",
        "lines",
    )

    def __init__(
        self, origin: Site, piece: pieces.Piece, lines: tuple[str, ...], nodes: list[ast.stmt], condition: str | None
    ) -> None:
        self.first_line: int = piece.first
        """1-based line in the file."""
        self.last_line: int = piece.last
        """The last line, included."""
        self.lines = lines
        """The lines as they stand in the file."""
        self.condition = condition
        """As `condition_above` has it."""
        self._is_header = piece.is_header
        self._origin = origin
        self._position = instruction.position_at(origin.code, origin.lasti)
        self._found: instruction.Found | None = None
        self._node: ast.stmt | None = self._pick(nodes)
        self._unsure = not instruction.HAS_POSITIONS and (
            len(nodes) > 1 or (not piece.is_header and isinstance(self._node, _COMPOUND))
        )
        _keep(self)

    @property
    def text(self) -> str:
        """The lines without the indentation of the first, joined by newlines."""
        first = self.lines[0]
        indent = first[: len(first) - len(first.lstrip())]
        return "\n".join(line[len(indent) :] if line.startswith(indent) else line.lstrip() for line in self.lines)

    @property
    def node(self) -> ast.stmt:
        """
        Its syntax tree; line numbers as in the file, columns in UTF-8 bytes as `ast` has them.

        Kept for the latest `MAX_TREES` statements and parsed again for others, so don't rely on its identity.
        """
        if self._unsure:  # Python 3.10, several statements on the line: only the expression tells them apart
            self._unsure = False
            self._look()
            self._node = None
        node = self._node
        if node is None:
            node = self._node = self._pick(trees.parse(self.lines, self.first_line, self._is_header))
            _keep(self)
        return node

    @property
    def expression(self) -> tuple[int, int, int, int] | None:
        """
        Where the expression stands that was being evaluated: line, column, end line, end column.

        Lines 1-based in the file, columns 0-based in characters, the end excluded. None when it is the statement
        itself that failed (`raise`, `import`, `a += b`) or when the interpreter doesn't tell.

        On Python 3.10 the first look takes milliseconds; don't take it on a thread that has to go on.
        """
        return self._look().place

    @property
    def expression_text(self) -> str | None:
        """The source of `expression`, lines joined by newlines."""
        place = self._look().place
        return None if place is None else instruction.text_at(place, self.lines, self.first_line)

    @property
    def expression_node(self) -> ast.expr | None:
        """The node of `expression` inside `node`; None when the place is no expression of the grammar."""
        return self._node_at(self._look().span)

    @property
    def expression_node_at_once(self) -> ast.expr | None:
        """Like `expression_node` where that is cheap; on Python 3.10 None until someone had the time to ask for it."""
        found = self._found
        if found is None and instruction.HAS_POSITIONS:
            found = self._look()
        return None if found is None else self._node_at(found.span)

    def _node_at(self, span: trees.Span | None) -> ast.expr | None:
        """The innermost expression with exactly this place."""
        if span is None:
            return None
        exact = [node for node in trees.path_to(self.node, span) if trees.span_of(node) == span]
        return exact[-1] if exact else None

    @property
    def function(self) -> ast.AST | None:
        """
        The whole function, lambda, class or module the statement belongs to, with its body; None when unknown.

        Parsed when asked (some 8 µs a line), kept for the latest few. Line numbers as in the file.
        """
        code = self._origin.code
        if _is_inside(code):
            return next(_anonymous_at(self.node, code.co_firstlineno), None)
        lines = lines_of(self._origin)
        return None if lines is None else trees.block_at(lines, code.co_firstlineno, _is_module(code))

    def _pick(self, nodes: list[ast.stmt]) -> ast.stmt:
        known = self._position
        if known is None and not instruction.HAS_POSITIONS:
            code = self._origin.code
            first = nodes[0]
            if not self._is_header and isinstance(first, _FUNCTIONS) and first.name == code.co_name:
                nodes = first.body  # `def f(): return x`, and it runs
            if instruction.opcode_at(code, self._origin.lasti) == "RAISE_VARARGS":
                raises = [one for node in nodes for one in ast.walk(node) if isinstance(one, ast.Raise)]
                if len(raises) == 1:
                    return raises[0]
            if self._found is not None:
                known = self._found.span
        return trees.pick(nodes, known[:2] if known is not None else None)

    def _look(self) -> instruction.Found:
        found = self._found
        if found is None:
            found = self._found = self._search()
        return found

    def _search(self) -> instruction.Found:
        if self._position is not None:
            origin = self._origin
            return instruction.by_position(
                self._position, origin.code, origin.lasti, self.node, self.lines, self.first_line
            )
        if instruction.HAS_POSITIONS:
            return instruction.NOTHING
        code, lines, lineno = self._origin.code, lines_of(self._origin), self._origin.lineno
        if lines is None or lineno is None:
            return instruction.NOTHING
        top = (1, len(lines)) if _is_module(code) else pieces.top_level_block(lines, code.co_firstlineno)
        if top is None:
            return instruction.NOTHING
        node = instruction.by_executing(code, self._origin.lasti, lineno, lines, top, self.node)
        return instruction.NOTHING if node is None else instruction.found_at(node, self.lines, self.first_line)


def statement_of(site: Site) -> Statement | None:
    """
    The statement *site* stands in, or None. Looked for once; kept as `site.statement`.

    None without source (`source.lines_of`), in templates, where the source doesn't fit the code, and for statements
    beyond `trees.MAX_LINES`. Never raises, except `KeyboardInterrupt`.
    """
    found = site.statement
    if found is None:
        found = site.statement = _find(site) or ABSENT
    return found or None


def qualname_of(site: Site) -> str:
    """The qualified name of the code (`Cart.pay`, `f.<locals>.g`): its own from Python 3.11 on, else by indentation."""
    if site.template is not None and site.template.function is not None:
        return site.template.function
    code: Any = site.code
    name = getattr(code, "co_qualname", None)
    if type(name) is str:
        return name
    name = str.__str__(code.co_name)
    if name == "<module>":
        return name
    lines = lines_of(site)
    return name if lines is None else ".".join([*_outer_names(lines, code.co_firstlineno), name])


_kept: OrderedDict[int, Statement] = OrderedDict()


def _keep(statement: Statement) -> None:
    """Remember whose tree is in memory, and let the trees of the oldest go."""
    _kept[id(statement)] = statement
    if len(_kept) > MAX_TREES:
        try:
            _, oldest = _kept.popitem(last=False)
        except KeyError:  # another thread was faster
            return
        oldest._node = None


def _find(site: Site) -> Statement | None:
    lineno = site.lineno
    if lineno is None or site.template is not None:
        return None
    lines = lines_of(site)
    if lines is None:
        return None
    for start in _starts(site.code, lines, lineno):
        piece = pieces.piece_at(lines, start, lineno)
        if piece is None:
            continue
        cut = tuple(lines[piece.first - 1 : piece.last])
        nodes = trees.parse(cut, piece.first, piece.is_header)
        if not nodes or not _fits(site.code, nodes):
            continue
        return Statement(_bare(site), piece, cut, nodes, condition_above(lines, piece.first))
    return None


def raise_at(site: Site) -> tuple[str, str | None] | None:
    """
    The text of the `raise` that *site* stands in, if it begins a line, and the condition around it. For a quick look.

    Of a statement over several lines it is the first line.
    """
    lineno = site.lineno
    if lineno is None or site.template is not None or instruction.opcode_at(site.code, site.lasti) != "RAISE_VARARGS":
        return None
    lines = lines_of(site)
    if lines is None:
        return None
    text = lines[lineno - 1].strip()
    code = site.code
    if not text.startswith("raise") or not (_is_module(code) or _begins(lines, code.co_firstlineno, code.co_name)):
        return None
    return text, condition_above(lines, lineno)


def condition_above(lines: Sequence[str], first_line: int) -> str | None:
    """
    The `if ...:` or `while ...:` that decided that the statement at *first_line* (1-based) runs, where it is one line.

    An `elif` is given as an `if`. Why we are here is often in it, above all for a `raise`.
    """
    line = lines[first_line - 1]
    depth = len(line) - len(line.lstrip())
    for at in range(first_line - 2, max(-1, first_line - 60), -1):
        line = lines[at]
        bare = line.strip()
        indent = len(line) - len(line.lstrip())
        if not bare or bare[0] == "#" or indent >= depth:
            continue
        if bare.startswith(("if ", "elif ", "while ", "if(", "while(")):
            return bare.removeprefix("el") if bare.endswith(":") else None
        if not bare.startswith("else:"):
            return None
        depth = indent + 1  # the `if` it belongs to stands at the same depth, further up
    return None


def _bare(site: Site) -> Site:
    """*site* without its caches: a statement that held the site it hangs on would be a cycle."""
    about = {"__name__": site.module, "__file__": site.file, "__loader__": site.loader}
    return Site(site.code, site.lasti, site.lineno, about)


def _starts(code: CodeType, lines: Sequence[str], lineno: int) -> Iterator[int]:
    """Lines where a statement starts from which the scan to *lineno* may begin, the likeliest first."""
    first = code.co_firstlineno
    if _is_module(code):
        if lineno <= _FROM_TOP:
            yield 1
        else:
            yield from islice(_top_level_lines(lines, lineno), _ANCHORS)
    elif _is_inside(code):
        yield from islice(_definitions(lines, first), _ANCHORS)
        yield from islice(_top_level_lines(lines, first), _ANCHORS)
    elif _begins(lines, first, code.co_name):
        yield first


def _is_module(code: CodeType) -> bool:
    return code.co_name.startswith(("<module>", "<cell line"))


def _is_inside(code: CodeType) -> bool:
    """True for code that starts within a statement: lambdas, comprehensions, generator expressions."""
    return code.co_name.startswith("<") and not _is_module(code)


def _begins(lines: Sequence[str], first: int, name: str) -> bool:
    """True when a function or class called *name* starts at line *first*, perhaps with decorators."""
    if not 0 < first <= len(lines):
        return False
    line = lines[first - 1]
    if line.lstrip().startswith("@"):
        header = pieces.piece_at(lines, first, first)
        if header is None:
            return False
        names = [match[1] for match in map(_named, lines[first - 1 : header.last]) if match]
    else:
        names = [match[1] for match in [_named(line)] if match]
    return name in names or (bool(names) and not name.isascii())


def _fits(code: CodeType, nodes: list[ast.stmt]) -> bool:
    """True unless *code* is a lambda or a comprehension and none starts where it does."""
    if not code.co_name.startswith("<") or code.co_name not in _NAMES_INSIDE:
        return True
    return any(True for node in nodes for _ in _anonymous_at(node, code.co_firstlineno))


def _anonymous_at(node: ast.AST, line: int) -> Iterator[ast.AST]:
    return (part for part in ast.walk(node) if isinstance(part, _anonymous) and part.lineno == line)


def _top_level_lines(lines: Sequence[str], line: int) -> Iterator[int]:
    """Lines at the left margin from *line* upwards that look like the start of a statement."""
    return (at for at in range(min(line, len(lines)), 0, -1) if pieces.starts_at_margin(lines, at))


def _definitions(lines: Sequence[str], line: int) -> Iterator[int]:
    """Lines from *line* upwards where a function or class starts around it, or looks like it."""
    for at in range(min(line, len(lines)), max(0, line - trees.MAX_BLOCK_LINES), -1):
        if _named(lines[at - 1]):
            yield at


def _outer_names(lines: Sequence[str], first: int) -> list[str]:
    """Names of the functions and classes around the one that starts at line *first*, outermost first."""
    names: list[str] = []
    if not 0 < first <= len(lines):
        return names
    line = lines[first - 1]
    depth = len(line) - len(line.lstrip())
    for at in range(first - 1, 0, -1):
        if depth == 0:
            break
        line = lines[at - 1]
        bare = line.lstrip()
        if not bare or bare[0] in "#)]}" or len(line) - len(bare) >= depth:
            continue
        depth = len(line) - len(bare)
        if match := _named(line):
            names[:0] = [match[1]] if bare.startswith("class") else [match[1], "<locals>"]
    return names
