"""
Which values of a frame are shown, and in which order.

    Site -> its statement, its bytecode -> `Plan` (once, kept on the site)

First what the failing statement mentions, in the order of its text, with the condition that governs it; then the other
locals, nearest first: the one that was used last before the failing instruction leads. A module's frame shows only what the statement
mentions, never all its globals.
"""

from __future__ import annotations

import ast
import sys
from opcode import opmap
from typing import TYPE_CHECKING, Any

from phtrack.frames.values.expressions import GLOBAL, Compiler, Shown, Step
from phtrack.frames.values.simple import names_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

    from phtrack.frames.site import Site

MAX_SHOWN = 24
"""Expressions shown of one statement."""
MAX_NAMES = 64
"""Locals shown of one frame."""
CO_OPTIMIZED = 1
"""`co_flags`: locals are in fast slots, so it is a function."""
_COMPREHENSIONS = {
    "<listcomp>": ast.ListComp,
    "<setcomp>": ast.SetComp,
    "<dictcomp>": ast.DictComp,
    "<genexpr>": ast.GeneratorExp,
}
_SCOPES = (*_COMPREHENSIONS.values(), ast.Lambda)
_LOAD = ast.Load()


class Plan:
    """What to take of every frame at one site."""

    __slots__ = ("fast", "is_local", "names", "shown", "steps", "view", "with_source")

    def __init__(
        self, steps: list[Step], shown: list[Shown], names: list[str], fast: tuple[str, ...], with_source: bool
    ) -> None:
        self.steps = tuple(steps)
        """The statement's expressions, as `expressions.evaluate` takes them."""
        self.is_local = all(step.code != GLOBAL for step in steps)
        """True if they need nothing but the frame's own names."""
        self.shown = tuple(shown)
        """What to show of them, in order."""
        self.names = tuple(names)
        """The other locals, nearest first."""
        self.fast = fast
        """All names that a function keeps in fast slots; empty outside of functions."""
        self.with_source = with_source
        """False if there was no time for the statement."""
        self.view: Any = (None,)
        """A scrubber, and `shown` and `names` with its rules; made by `snapshot`. One tuple, since threads share a plan."""


def make_plan(site: Site, *, with_source: bool) -> Plan:
    """
    The plan for frames at *site*.

    Args:
        with_source: False leaves the source alone: no expressions, and the locals by nearness in the bytecode, where those of
            the failing statement come first as well. For when there is no time.
    """
    code = site.code
    fast = fast_names(code) if code.co_flags & CO_OPTIMIZED else ()
    locals_ = frozenset(fast)
    is_function = bool(fast) or bool(code.co_flags & CO_OPTIMIZED)
    compiler = Compiler(locals_.__contains__ if is_function else (lambda name: True), _mangler(code))
    try:
        for root in _roots(site) if with_source else ():
            compiler.add(root)
    except (RecursionError, AttributeError, TypeError, ValueError):
        pass  # an odd tree costs the expressions, not the locals
    if not is_function and not compiler.shown:
        for name in dict.fromkeys(_names_on_line(code, site.lineno)):
            compiler.add(ast.Name(name, ast.Load()))
    shown = list(compiler.shown.values())[:MAX_SHOWN]
    names: list[str] = []
    if is_function:
        first = {one.text for one in shown if one.is_name}
        names = [name for name in nearest_names(code, site.lasti, fast) if name not in first and name[:1] != "."]
    else:
        names = [name for name in compiler.roots() if name not in compiler.shown]
    return Plan(compiler.steps, shown, names[:MAX_NAMES], fast, with_source)


# --- from the statement -----------------------------------------------------------------------------------------------


def _roots(site: Site) -> Iterator[ast.AST]:
    """The syntax trees whose expressions are evaluated in this frame."""
    from phtrack.frames.statement import raise_at, statement_of

    if site.statement is None and (plain := raise_at(site)) is not None and (names := names_in(plain[0])) is not None:
        yield from _named(names)
        yield from _condition_parts(plain[1])
        return
    statement = statement_of(site)
    if not statement:
        return
    node = statement.node
    failing = statement.expression_node_at_once
    name = site.code.co_name
    if name in _COMPREHENSIONS or name == "<lambda>":
        inner = _inner(node, site.code, failing)
        if isinstance(inner, ast.Lambda):
            yield inner.body
        elif inner is not None:
            yield from _own_parts(inner)
        return
    if failing is not None and not (_has_inner(site.code) and _is_in_scope(node, failing)):
        yield failing
    yield from header_of(node)
    yield from _condition_parts(statement.condition)


def _has_inner(code: CodeType) -> bool:
    """Whether there are lambdas, comprehensions or functions in *code* at all."""
    return any(type(constant) is type(code) for constant in code.co_consts) or _INLINES


def _is_in_scope(node: ast.AST, failing: ast.AST) -> bool:
    """True when *failing* is in a part of *node* where names mean something else."""
    return any(_holds(one, failing) for one in ast.walk(node) if isinstance(one, _SCOPES))


def header_of(node: ast.AST) -> list[ast.AST]:
    """The parts of a statement that run before its body does; all of a simple one, the value before its target."""
    if isinstance(node, (ast.Expr, ast.Return, ast.Raise)):
        return [node]
    if isinstance(node, (ast.If, ast.While)):
        return [node.test]
    if isinstance(node, (ast.For, ast.AsyncFor)):
        return [node.iter, node.target]
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return list(node.items)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [*node.decorator_list, *node.args.defaults, *(one for one in node.args.kw_defaults if one is not None)]
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)]
    if isinstance(node, ast.Match):
        return [node.subject]
    if isinstance(node, ast.Try) or type(node).__name__ == "TryStar":
        return [handler.type for handler in node.handlers if handler.type is not None]  # type: ignore[attr-defined]
    if isinstance(node, ast.Assign):
        return [node.value, *node.targets]
    if isinstance(node, ast.AugAssign):
        return [_loaded(node.target), node.value]
    if isinstance(node, ast.AnnAssign):
        return [one for one in (node.value, node.target) if one is not None]
    return [node]


def _loaded(target: ast.expr) -> ast.expr:
    """The target of `x += 1` as the expression that is read first."""
    if isinstance(target, ast.Name):
        return ast.Name(target.id, ast.Load())
    if isinstance(target, ast.Attribute):
        return ast.Attribute(target.value, target.attr, ast.Load())
    if isinstance(target, ast.Subscript):
        return ast.Subscript(target.value, target.slice, ast.Load())
    return target


def _named(names: list[str]) -> list[ast.AST]:
    return [ast.Name(name, _LOAD) for name in names]


def _condition_parts(condition: str | None) -> Iterator[ast.AST]:
    """The expressions of `statement.condition_above`."""
    if condition is None:
        return
    names = names_in(condition[:-1])
    if names is not None:
        yield from _named(names)
        return
    try:
        tree = ast.parse(condition + " pass").body[0]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    yield from header_of(tree)


def _inner(node: ast.AST, code: CodeType, failing: ast.AST | None) -> Any:
    """The comprehension or lambda in the statement whose frame this is; None when that can't be told."""
    wanted: Any = _COMPREHENSIONS.get(code.co_name, ast.Lambda)
    found = [one for one in ast.walk(node) if isinstance(one, wanted) and (failing is None or _holds(one, failing))]
    if wanted is ast.Lambda:
        parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        found = [one for one in found if _parameters(one) == parameters]
    else:
        bound = {*code.co_varnames, *code.co_cellvars}
        found = [one for one in found if _targets(one) <= bound]
    if failing is not None:
        return found[-1] if found else None  # the innermost: a walk goes outside in
    return found[0] if len(found) == 1 else None


def _holds(outer: Any, inner: Any) -> bool:
    """True when the place of *inner* lies within that of *outer*."""
    return (outer.lineno, outer.col_offset) <= (inner.lineno, inner.col_offset) and (
        inner.end_lineno,
        inner.end_col_offset,
    ) <= (outer.end_lineno, outer.end_col_offset)


def _parameters(function: ast.Lambda) -> tuple[str, ...]:
    arguments = function.args
    return tuple(one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))


def _targets(comprehension: Any) -> set[str]:
    return {
        name.id for made in comprehension.generators for name in ast.walk(made.target) if isinstance(name, ast.Name)
    }


def _own_parts(comprehension: Any) -> Iterator[ast.AST]:
    """What a comprehension evaluates in its own frame: all but the first iterable."""
    for name, child in ast.iter_fields(comprehension):
        if name != "generators":
            yield child
    for place, made in enumerate(comprehension.generators):
        if place:
            yield made.iter
        yield from made.ifs


# --- from the bytecode ------------------------------------------------------------------------------------------------


def fast_names(code: CodeType) -> tuple[str, ...]:
    """Names in the fast slots of a function, in the order of their slots since Python 3.11."""
    variables = code.co_varnames
    return (*variables, *(name for name in code.co_cellvars if name not in variables), *code.co_freevars)


def nearest_names(code: CodeType, lasti: int, fast: tuple[str, ...]) -> list[str]:
    """*fast* in the order of nearness: last mentioned before the instruction first, then those of later ones."""
    before: list[str] = []
    after: list[str] = []
    deref = fast if _UNIFIED else (*code.co_cellvars, *code.co_freevars)
    kind_of = _SLOTS.get
    for offset, operation, argument in _instructions(code):
        kind = kind_of(operation)
        if kind is None:
            continue
        mentioned = before if offset <= lasti else after
        if kind == 2:
            mentioned += [fast[place] for place in (argument >> 4, argument & 15) if place < len(fast)]
        else:
            table = fast if kind else deref
            if argument < len(table):
                mentioned.append(table[argument])
    before.reverse()
    return list(dict.fromkeys((*before, *after, *fast)))


def _names_on_line(code: CodeType, line: int | None) -> Iterator[str]:
    """Names that the instructions of *line* look up, for code without source."""
    spans = [(start, end) for start, end, at in code.co_lines() if at == line]
    for offset, operation, argument in _instructions(code):
        if operation == _LOAD_NAME and argument < len(code.co_names) and any(a <= offset < b for a, b in spans):
            yield code.co_names[argument]


def _instructions(code: CodeType) -> Iterator[tuple[int, int, int]]:
    raw = code.co_code
    extended = 0
    for offset in range(0, len(raw), 2):
        operation = raw[offset]
        argument = raw[offset + 1] | extended
        if operation == _EXTENDED:
            extended = argument << 8
            continue
        extended = 0
        yield offset, operation, argument


def _slot_operations() -> dict[int, int]:
    """Operation -> 1: one fast slot, 2: two of them, 0: a cell."""
    kinds = {}
    for name, number in opmap.items():
        if "_FAST" in name and number < 256:
            kinds[number] = min(name.count("_FAST"), 2)
        elif name.endswith("_DEREF"):
            kinds[number] = 0
    return kinds


def _unify() -> bool:
    """True where cells share the numbering of the fast slots (Python 3.11+)."""
    return hasattr(_unify.__code__, "co_exceptiontable")


_SLOTS = _slot_operations()
_UNIFIED = _unify()
_INLINES = sys.version_info >= (3, 12)
"""Whether comprehensions leave no code object of their own (PEP 709)."""
_EXTENDED = opmap["EXTENDED_ARG"]
_LOAD_NAME = opmap["LOAD_NAME"]


def _mangler(code: CodeType) -> Any:
    """`self.__total` inside of class Cart reads `_Cart__total`, as the compiler wrote it down in the code's names."""
    private = {name: name[name.index("__", 1) :] for name in code.co_names if name[:1] == "_" and "__" in name[1:]}
    mangled = {short: name for name, short in private.items() if not short.endswith("__")}
    return lambda name: mangled.get(name, name) if name[:2] == "__" else name
