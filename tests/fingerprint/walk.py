"""
Exceptions to facts, as the recipe takes them, by the shortest way: whole files parsed, frames held.

Stands beside phtrack's own walker so that the recipe can be judged without it. In-app is what lies under *root*, but not
under a folder named `site-packages`.
"""

from __future__ import annotations

import ast
import os
from functools import lru_cache
from types import TracebackType

import executing

from phtrack.fingerprint import ExceptionFacts, FrameFacts


def facts_of(error: BaseException, root: str) -> list[ExceptionFacts]:
    """The tree of *error*, parents first."""
    found: list[ExceptionFacts] = []
    seen: set[int] = set()
    pending: list[tuple[BaseException, str | None, int | None]] = [(error, None, None)]
    while pending:
        exception, relation, parent = pending.pop(0)
        if id(exception) in seen:
            continue
        seen.add(id(exception))
        members = getattr(exception, "exceptions", ()) if hasattr(exception, "exceptions") else ()
        found.append(
            ExceptionFacts(
                type=type(exception).__qualname__,
                message=str(exception),
                frames=frames_of(exception.__traceback__, root),
                relation=relation,  # type: ignore[arg-type]
                parent=parent,
                is_group=bool(members),
            )
        )
        here = len(found) - 1
        if exception.__suppress_context__:
            if exception.__cause__ is not None:
                pending.append((exception.__cause__, "cause", here))
        elif exception.__context__ is not None:
            pending.append((exception.__context__, "context", here))
        pending.extend((member, "member", here) for member in members)
    return found


def frames_of(tb: TracebackType | None, root: str) -> list[FrameFacts]:
    frames = []
    while tb is not None:
        frames.append(frame_of(tb, root))
        tb = tb.tb_next
    return frames


def frame_of(tb: TracebackType, root: str) -> FrameFacts:
    code = tb.tb_frame.f_code
    path = code.co_filename
    in_app = path.startswith(root + os.sep) and "site-packages" not in path
    file = os.path.relpath(path, root).replace(os.sep, "/") if path.startswith(root) else path
    if not in_app:
        return FrameFacts(in_app=False, file=file, function=code.co_name, qualname=code.co_name)
    found = executing.Source.executing(tb)
    tree = _tree(path)
    node = found.node
    if tree is None:
        return FrameFacts(in_app=True, file=file, function=code.co_name, qualname=code.co_name)
    expression = _twin(tree, node) if isinstance(node, ast.expr) else None
    statement = _statement(tree, tb.tb_lineno, expression, code.co_name)
    scopes = _scopes(tree, statement, code.co_name, expression) if statement is not None else [tree]
    return FrameFacts(
        in_app=True,
        file=file,
        function=code.co_name,
        qualname=_qualname(scopes, code.co_name),
        statement=statement,
        scope=scopes[-1],  # type: ignore[arg-type]
        expression=expression,
        freevars=code.co_freevars,
    )


@lru_cache(maxsize=64)
def _tree(path: str) -> ast.Module | None:
    try:
        with open(path, encoding="utf-8") as file:
            return ast.parse(file.read())
    except OSError:
        return None


def _twin(tree: ast.Module, node: ast.expr) -> ast.expr | None:
    where = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
    for other in ast.walk(tree):
        if type(other) is type(node) and where == (
            other.lineno, other.col_offset, other.end_lineno, other.end_col_offset,  # type: ignore[attr-defined]
        ):  # fmt: skip
            return other  # type: ignore[return-value]
    return None


def _statement(tree: ast.Module, lineno: int, expression: ast.expr | None, function: str) -> ast.stmt | None:
    """The innermost statement whose lines hold the failing line."""
    best: ast.stmt | None = None
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            holds = first <= lineno <= (node.end_lineno or node.lineno)
            if expression is not None:
                holds = holds and any(child is expression for child in ast.walk(node))
            if holds and (best is None or _size(node) <= _size(best)):
                best = node
    return best


def _size(node: ast.stmt) -> tuple[int, int, int]:
    return ((node.end_lineno or node.lineno) - node.lineno, -node.lineno, -node.col_offset)


def _scopes(tree: ast.Module, statement: ast.stmt, function: str, expression: ast.expr | None) -> list[ast.AST]:
    """The module, classes and functions around *statement*, outermost first; a lambda last if the frame is one's."""
    way: list[ast.AST] = [tree]

    def descend(node: ast.AST, scopes: list[ast.AST]) -> bool:
        for child in ast.iter_child_nodes(node):
            if child is statement:
                way[:] = scopes
                return True
            inner = [*scopes, child] if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) else scopes
            if descend(child, inner):
                return True
        return False

    descend(tree, [tree])
    if function == "<lambda>":
        lambdas = [node for node in ast.walk(statement) if isinstance(node, ast.Lambda)]
        held = [node for node in lambdas if expression is None or any(child is expression for child in ast.walk(node))]
        way.extend(held[-1:])
    return way


def _qualname(scopes: list[ast.AST], function: str) -> str:
    names = [scope.name for scope in scopes if hasattr(scope, "name")]
    if function.startswith("<") and function != "<module>":
        names.append(function)
    return ".".join(names) or function
