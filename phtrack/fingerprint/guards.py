"""
Whether a function is at fault for what it raised, or only told its caller.

    statement + Names -> `raises_for_caller`, `passes_check_on`, `forwards`, `in_handler`

A guard is a `raise` or `assert` decided by nothing but what the function was given: `if qty < 1: raise ...`. A failed
answer of a database or of another service decides nothing about the caller, so a condition that calls something
unknown makes no guard. What can't be judged is no guard: then callers share one issue, which a person can split.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phtrack.fingerprint.names import FUNCTIONS, Names, blocks
from phtrack.fingerprint.normalise import anchor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PURE_FUNCTIONS = frozenset(
    """
    abs all any bool bytes callable chr complex dict divmod enumerate filter float format frozenset getattr hasattr hash
    int isinstance issubclass iter len list map max min next ord pow range repr reversed round set sorted str sum tuple
    type vars zip
    """.split()  # noqa: SIM905 - a list of words reads better
)
_PURE_METHODS = frozenset(
    """
    capitalize casefold count decode difference encode endswith expandtabs find format get hex index intersection
    is_absolute is_finite is_integer is_nan is_signed is_zero isalnum isalpha isascii isdecimal isdigit isdisjoint
    isidentifier islower isnumeric isspace issubset issuperset istitle isupper items join keys ljust lower lstrip match
    partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith
    strip swapcase title total_seconds union upper values zfill
    """.split()  # noqa: SIM905
)
_PURE_MODULES = frozenset(("math", "cmath", "re", "operator", "inspect", "numbers", "decimal", "np", "numpy"))
_PREDICATES = ("is", "has", "valid")
_CONSTANTS = frozenset(("True", "False", "None", "NotImplemented", "Ellipsis", "__debug__"))
_LEAVING = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_MAKING = frozenset(
    ("__init__", "__post_init__", "__new__", "__attrs_post_init__", "model_post_init", "__init_subclass__")
)
"""Methods in which the receiver is nothing but what the caller gave."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be known about a statement at which an exception passed."""

    guard: bool = False
    """It raised for its caller."""
    passes_on: bool = False
    """It called a check with what it was given itself, so that its own caller is next."""
    forwards: bool = False
    """It called what it was given with what it was given: a decorator or middleware, which says nothing about the bug."""
    on_order: bool = False
    """It is a helper that raises what it is given, whenever it is called."""
    in_handler: bool = False
    """It stands inside an `except` block."""


NOTHING = Verdict()


def judge(statement: ast.stmt, names: Names, expression: ast.expr | None, freevars: tuple[str, ...] = ()) -> Verdict:
    """The `Verdict` on *statement*, at which *expression* failed, in the function *names* belongs to."""
    function = names.scope
    path = _path(function, statement)
    if path is None:
        return NOTHING
    handled = any(step.in_handler for step in path)
    if not isinstance(function, FUNCTIONS):
        return Verdict(in_handler=handled)
    if isinstance(statement, (ast.Raise, ast.Assert)) and (expression is None or isinstance(statement, ast.Assert)):
        conditions = list(_conditions(path))
        if isinstance(statement, ast.Assert):
            conditions.append(statement.test)
        elif not conditions and _raises_what_it_is_given(statement, names):
            return Verdict(guard=True, on_order=True)
        return Verdict(guard=not handled and _is_guard(conditions, names), in_handler=handled)
    if any(_forwards(call, names, freevars) for call in _failed_calls(statement, expression)):
        return Verdict(forwards=True, in_handler=handled)
    return Verdict(passes_on=not handled and _passes_on(statement, expression, path, names), in_handler=handled)


# --- the way from the function down to the statement ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    parent: ast.AST
    """The compound statement, or the function itself."""
    block: list[ast.stmt]
    index: int
    """Of the statement that is, or contains, the one looked for."""
    in_handler: bool


def _path(scope: ast.AST | None, statement: ast.stmt) -> list[_Step] | None:
    """The blocks around *statement*, outermost first; None if it isn't found."""
    body = getattr(scope, "body", None)
    if scope is None or not isinstance(body, list):
        return None
    parent: ast.AST = scope
    candidates: list[tuple[list[ast.stmt], bool]] = [(body, False)]
    path: list[_Step] = []
    while True:
        step = _step(parent, candidates, statement)
        if step is None:
            return None
        path.append(step)
        found = step.block[step.index]
        if _same(found, statement):
            return path
        parent = found
        handlers = [handler.body for handler in getattr(found, "handlers", ())]
        candidates = [(block, any(block is body for body in handlers)) for block in blocks(found)]


def _step(parent: ast.AST, candidates: Sequence[tuple[list[ast.stmt], bool]], statement: ast.stmt) -> _Step | None:
    for block, in_handler in candidates:
        for index, one in enumerate(block):
            if _same(one, statement) or _contains(one, statement):
                return _Step(parent, block, index, in_handler)
    return None


def _same(one: ast.stmt, other: ast.stmt) -> bool:
    return one is other or (type(one) is type(other) and anchor(one) == anchor(other))


def _contains(one: ast.stmt, other: ast.stmt) -> bool:
    start, end = (one.lineno, one.col_offset), (one.end_lineno or one.lineno, one.end_col_offset or 0)
    return start <= anchor(other) < end


# --- guards -----------------------------------------------------------------------------------------------------------


def _is_guard(conditions: Sequence[ast.expr | None], names: Names) -> bool:
    used = _inputs(conditions, names)
    return used is not None and _counts(used, names)


def _counts(used: set[str], names: Names) -> bool:
    """Whether the parameters *used* come from the caller. The state of the own object doesn't, save where it is made."""
    if used - {names.receiver}:
        return True
    name = getattr(names.scope, "name", "")
    return bool(used) and (name in _MAKING or (name.startswith("__") and name.endswith("__")))


def _raises_what_it_is_given(statement: ast.Raise, names: Names) -> bool:
    """`raise kind(message)`, `raise error`: without a text of its own."""
    error = statement.exc
    if isinstance(error, ast.Name):
        return error.id in names.parameters and error.id not in names.bindings
    if not isinstance(error, ast.Call):
        return False
    values = [*error.args, *(keyword.value for keyword in error.keywords)]
    values = [value.value if isinstance(value, ast.Starred) else value for value in values]
    return bool(values) and all(
        isinstance(value, ast.Name) and value.id in names.parameters and value.id != names.receiver for value in values
    )


def _conditions(path: list[_Step]) -> Iterator[ast.expr | None]:
    """Everything that decides whether the end of *path* is reached; None for what can't be judged."""
    for step in path:
        parent = step.parent
        if isinstance(parent, (ast.If, ast.While)):
            yield parent.test
        elif isinstance(parent, (ast.For, ast.AsyncFor)):
            yield parent.iter
        elif isinstance(parent, ast.Match):
            yield parent.subject
        for earlier in step.block[: step.index]:
            if isinstance(earlier, (ast.If, ast.While, ast.For, ast.Match, ast.With, ast.AsyncFor)):
                if any(isinstance(node, _LEAVING) for node in ast.walk(earlier)):
                    yield from _decisions(earlier)
            elif isinstance(earlier, ast.Assert):
                yield earlier.test
            elif hasattr(earlier, "handlers") and any(isinstance(node, _LEAVING) for node in ast.walk(earlier)):
                yield None


def _decisions(statement: ast.stmt) -> Iterator[ast.expr | None]:
    for node in ast.walk(statement):
        if isinstance(node, (ast.If, ast.While)):
            yield node.test
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            yield node.iter
        elif isinstance(node, ast.Match):
            yield node.subject
        elif isinstance(node, ast.ExceptHandler):
            yield None


def _inputs(expressions: Sequence[ast.expr | None], names: Names) -> set[str] | None:
    """The parameters that *expressions* are made of; None if anything else has a say."""
    used: set[str] = set()
    pending = list(expressions)
    followed: set[str] = set()
    while pending:
        expression = pending.pop()
        if expression is None:
            return None
        inner = _bound_inside(expression)
        for node in ast.walk(expression):
            if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom)):
                return None
            if isinstance(node, ast.Call) and not _is_pure(node, names):
                return None
            if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load) or node.id in inner:
                continue
            name = node.id
            if name in names.parameters:
                used.add(name)
            if name in names.bindings:
                if name not in followed:
                    followed.add(name)
                    pending.extend(names.bindings[name])
            elif name not in names.parameters and not _is_fixed(name):
                return None
    return used


def _bound_inside(expression: ast.expr) -> set[str]:
    """Names that comprehensions and lambdas within *expression* bind; what they range over is seen anyway."""
    bound: set[str] = set()
    for node in ast.walk(expression):
        if isinstance(node, ast.comprehension):
            bound.update(name.id for name in ast.walk(node.target) if isinstance(name, ast.Name))
        elif isinstance(node, ast.Lambda):
            bound.update(arg.arg for arg in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
    return bound


def _is_pure(call: ast.Call, names: Names) -> bool:
    """Whether the answer of *call* depends on nothing but what stands in it."""
    function = call.func
    if isinstance(function, ast.Name):
        if function.id in names.parameters:
            return False
        return (
            function.id in _PURE_FUNCTIONS
            or function.id.lstrip("_").startswith(_PREDICATES)
            or function.id[:1].isupper()
        )
    if isinstance(function, ast.Attribute):
        if isinstance(function.value, ast.Name) and function.value.id in _PURE_MODULES:
            return True
        return function.attr in _PURE_METHODS
    return False


def _is_fixed(name: str) -> bool:
    """A global that is no input by convention: a constant, a class, a builtin or a module of pure functions."""
    return (
        name[:1].isupper()
        or name.lstrip("_")[:1].isupper()
        or name in _PURE_FUNCTIONS
        or name in _CONSTANTS
        or name in _PURE_MODULES
        or name.lstrip("_").startswith(_PREDICATES)
    )


# --- callers of guards ------------------------------------------------------------------------------------------------


def _failed_calls(statement: ast.stmt, expression: ast.expr | None) -> list[ast.Call]:
    while isinstance(expression, (ast.Await, ast.YieldFrom)):
        expression = expression.value
    if expression is not None:
        return [expression] if isinstance(expression, ast.Call) else []
    if isinstance(statement, (ast.Expr, ast.Return, ast.Assign, ast.AnnAssign)) and statement.value is not None:
        return [node for node in ast.walk(statement.value) if isinstance(node, ast.Call)]
    return []


def _forwards(call: ast.Call, names: Names, freevars: tuple[str, ...]) -> bool:
    """`fn(*args, **kwargs)`, `fn(request)`, `self.app(scope)` in `__call__`: what was called was given, not chosen here."""
    function = call.func
    if isinstance(function, ast.Name):  # a function that was given, or that a decorator closed over
        given = (function.id in names.parameters and function.id not in names.bindings) or function.id in freevars
    elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        given = function.value.id == names.receiver and getattr(names.scope, "name", "") == "__call__"
    else:
        given = isinstance(function, ast.Attribute) and _is_super(function.value) and bool(names.star_parameters)
    if not given:
        return False
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    bare = {_bare(value, names) for value in values}
    if names.star_parameters and names.star_parameters <= bare:
        return True
    return None not in bare


def _bare(value: ast.expr, names: Names) -> str | None:
    """The parameter that *value* hands on untouched, or None."""
    while isinstance(value, ast.Starred):
        value = value.value
    if isinstance(value, ast.Name) and value.id in names.parameters and value.id not in names.bindings:
        return value.id
    return None


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def _passes_on(statement: ast.stmt, expression: ast.expr | None, path: list[_Step], names: Names) -> bool:
    """
    Whether the failed call is a check of what the function itself was given, made before it did anything else.

    A check is called for its own sake (`check(qty)`), or is asked a question (`return require(qty > 0)`). A function
    that computes what it hands on, or that returns what another makes of it, may be at fault itself.
    """
    if not isinstance(statement, (ast.Expr, ast.Return)) or statement.value is None:
        return False
    if any(not _only_checks(earlier, names) for step in path for earlier in step.block[: step.index]):
        return False
    failed = expression or statement.value
    while isinstance(failed, (ast.Await, ast.YieldFrom)):
        failed = failed.value
    if isinstance(failed, ast.Call):
        given = [*failed.args, *(keyword.value for keyword in failed.keywords)]
    else:
        given = [node for node in ast.iter_child_nodes(failed) if isinstance(node, ast.expr)]
    if isinstance(statement, ast.Return) and not any(isinstance(value, _QUESTIONS) for value in given):
        return False
    if not all(_as_given(value, names) or isinstance(value, _QUESTIONS) for value in given):
        return False
    used = _inputs([*given, *_conditions(path)], names)
    return used is not None and _counts(used, names)


_QUESTIONS = (ast.Compare, ast.BoolOp)


def _as_given(value: ast.expr, names: Names) -> bool:
    """A parameter, something in it, or what the programmer wrote there: nothing was computed."""
    while isinstance(value, (ast.Starred, ast.Attribute, ast.Subscript)):
        value = value.value
    if isinstance(value, ast.Name):
        return value.id not in names.bindings
    return isinstance(value, (ast.Constant, ast.JoinedStr)) or (
        isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)
    )


def _only_checks(statement: ast.stmt, names: Names) -> bool:
    """A docstring, an assert, an `if` that raises, another check: what may stand before a check."""
    if isinstance(statement, (ast.Assert, ast.Pass, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)):
        return True
    if isinstance(statement, ast.Expr):
        value = statement.value.value if isinstance(statement.value, ast.Await) else statement.value
        if isinstance(value, ast.Call):
            return _inputs([*value.args, *(keyword.value for keyword in value.keywords)], names) is not None
        return isinstance(value, ast.Constant)
    if isinstance(statement, ast.If):
        inner = [*statement.body, *statement.orelse]
        return all(isinstance(one, ast.Raise) or _only_checks(one, names) for one in inner)
    return False
