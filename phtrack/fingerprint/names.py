"""
What a name means inside one function: a parameter, a local, or something with a meaning beyond it.

    scope (ast) -> Names: parameters by position, locals and what they were bound to

Renaming a parameter or a local must not change a fingerprint, so neither name appears in one; names that are imported or
defined keep theirs, wherever the `import` or `def` stands.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*FUNCTIONS, ast.Lambda, ast.ClassDef)
_RECEIVERS = frozenset(("self", "cls", "mcs", "mcls"))
MAX_KEPT = 128


class Names:
    """The names of one scope. Made once per function and reused for each statement in it."""

    __slots__ = ("bindings", "locals", "parameters", "receiver", "scope", "star_parameters")

    def __init__(self, scope: ast.AST | None) -> None:
        self.scope = scope
        self.parameters: dict[str, str] = {}
        """Parameter -> what stands for it: `$0`, `$1`, …, `*$`, `**$`."""
        self.star_parameters: frozenset[str] = frozenset()
        self.receiver: str | None = None
        """The first parameter if it is the object or class of a method (by its customary name), else None."""
        self.bindings: dict[str, list[ast.expr | None]] = {}
        """Local or parameter -> what it was bound to in the body; None stands for a value that can't be traced."""
        self.locals: frozenset[str] = frozenset()
        if isinstance(scope, ast.Lambda):
            self._read_parameters(scope.args)
        elif isinstance(scope, FUNCTIONS):
            self._read_parameters(scope.args)
            self._read_body(scope)

    def _read_parameters(self, args: ast.arguments) -> None:
        plain = [*args.posonlyargs, *args.args]
        for position, arg in enumerate([*plain, *args.kwonlyargs]):
            self.parameters[arg.arg] = f"${position}"
        stars = []
        for star, text in ((args.vararg, "*$"), (args.kwarg, "**$")):
            if star is not None:
                self.parameters[star.arg] = text
                stars.append(star.arg)
        self.star_parameters = frozenset(stars)
        if plain and plain[0].arg in _RECEIVERS:
            self.receiver = plain[0].arg

    def _read_body(self, scope: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        meaningful: set[str] = set()
        for node in own_nodes(scope):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._bind(target, node.value)
            elif isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.NamedExpr)):
                if node.value is not None:
                    self._bind(node.target, node.value)
            elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
                self._bind(node.target, node.iter)
            elif isinstance(node, (ast.With, ast.AsyncWith)):
                for item in node.items:
                    if item.optional_vars is not None:
                        self._bind(item.optional_vars, None)
            elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
                if node.name:
                    self.bindings.setdefault(node.name, []).append(None)
            elif isinstance(node, ast.MatchMapping):
                if node.rest:
                    self.bindings.setdefault(node.rest, []).append(None)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                meaningful.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                meaningful.add(node.name)
            elif isinstance(node, ast.Global):
                meaningful.update(node.names)
        self.locals = frozenset(self.bindings) - meaningful

    def _bind(self, target: ast.expr, value: ast.expr | None) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.bindings.setdefault(node.id, []).append(value)


def own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of *scope*'s body that run in its own frame (comprehensions count as that), and the heads of inner scopes."""
    stack = list(_body(scope))
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, _SCOPES):
            continue
        stack.extend(ast.iter_child_nodes(node))


def own_statements(scope: ast.AST) -> Iterator[ast.stmt]:
    """The statements of *scope*'s body in source order, without those of inner functions and classes."""
    for statement in _body(scope):
        if isinstance(statement, ast.stmt):
            yield statement
            if not isinstance(statement, _SCOPES):
                for block in blocks(statement):
                    yield from _statements(block)


def _statements(block: list[ast.stmt]) -> Iterator[ast.stmt]:
    stack = block[::-1]
    while stack:
        statement = stack.pop()
        yield statement
        if not isinstance(statement, _SCOPES):
            for inner in reversed(list(blocks(statement))):
                stack.extend(inner[::-1])


def blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The blocks of a compound statement, in source order."""
    for field in ("body", "handlers", "orelse", "finalbody", "cases"):
        inner = getattr(statement, field, None)
        if not inner or not isinstance(inner, list):
            continue
        if isinstance(inner[0], ast.stmt):
            yield inner
        else:
            for part in inner:  # except handlers, cases of a match
                yield part.body


def _body(scope: ast.AST) -> list[ast.AST]:
    body = getattr(scope, "body", [])
    return body if isinstance(body, list) else [body]


_kept: dict[int, Names] = {}


def names_of(scope: ast.AST | None) -> Names:
    """The `Names` of *scope*; the last few functions are remembered."""
    names = _kept.get(id(scope))
    if names is None or names.scope is not scope:
        if len(_kept) >= MAX_KEPT:
            for key in list(_kept)[: MAX_KEPT // 2]:
                _kept.pop(key, None)
        names = _kept[id(scope)] = Names(scope)
    return names
