"""
What the recipe is told, and what it answers: plain data, no frames, no files.

Whoever walks tracebacks fills these in; the recipe only reads them, so it can be tested without an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import ast
    from collections.abc import Sequence

    from phtrack.fingerprint.recipe import FramePart


Relation = Literal["cause", "context", "member"]


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """One level of a stack. Nothing in it may differ between two machines that run the same source."""

    in_app: bool
    file: str
    """Relative to the project root or package root, with forward slashes; a pseudo name such as `<string>` as it is."""
    function: str
    """`co_name`."""
    qualname: str
    """Class-qualified: `Cart.pay`. `<locals>` in it is ignored."""
    module: str | None = None
    statement: ast.stmt | None = None
    """The statement that was running, or None without source."""
    scope: ast.AST | None = None
    """
    Whose code it is, whole: the function, class body or module; for a frame of a lambda or comprehension that expression.
    None when unknown: then names are kept as they are written. Positions must fit those of the statement, whose node
    may come from another tree, and may lack its body.
    """
    expression: ast.expr | None = None
    """The exact expression that failed, from the same tree as the statement, if known."""
    freevars: tuple[str, ...] = ()
    """`co_freevars`: names that belong to an enclosing function, which are anonymous like locals."""


@dataclass(frozen=True, slots=True)
class ExceptionFacts:
    """One exception of a chain or group."""

    type: str
    """`type(exc).__qualname__`."""
    message: str
    frames: Sequence[FrameFacts | FramePart]
    """Oldest call first, as Python prints them. Finished parts (see `frame_part`) may stand in for the facts."""
    relation: Relation | None = None
    """How it hangs on its parent; None for the root."""
    parent: int | None = None
    """Index of the parent in the sequence of exceptions."""
    is_group: bool = False
    is_cut: bool = False
    """What it came from was left out, the list being full: nobody knows whether it stands for itself."""
    folded: Sequence[tuple[int, int, int]] = ()
    """
    Recursion that was cut out: (index in `frames` of the first frame of a cycle, frames in the cycle, how often it ran).
    """


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Under which key an event is grouped, and why."""

    value: str
    """At most 64 characters; begins with the version of the recipe (`v1:`), except when the user chose it."""
    parts: list[str]
    """What the key was made of, readable. String literals of the source are left out, except keys and raise messages."""
    rule: str
    """
    `site`: the innermost frame of the application. `guard`: that and its callers, since it only checks what it is
    given. `cause`, `group`: the same of another exception in the tree, or of several. `recursion`: the functions on the
    cycle. `function`: as `site`, without source. `message`: no frame of the application. `explicit`: the user's choice.
    """
