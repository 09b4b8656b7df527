"""
A database statement as a step: its text without literals, and how long it took.

    "SELECT * FROM users WHERE email = 'ann@example.com' AND id IN (1, 2)"
    -> "SELECT * FROM users WHERE email = ? AND id IN (?)"

Literals are a user's data; the shape of a statement is what a reader needs, and what makes repeated statements look alike.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from time import perf_counter
from typing import TYPE_CHECKING, Any
from weakref import ref

from phtrack import _guard
from phtrack.contexts import step

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_STATEMENT = 1_000
"""Characters of a statement that are told."""
_MAX_READ = 10_000

# One alternative per kind of token that may hide a literal. Comments and quoted names are matched so that a quote inside
# them starts no literal. Each alternative is linear: nothing inside a repetition can match in two ways.
_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*(?:[^*]|\*(?!/))*(?:\*/)? | \#[^\n]*(?=\n|$) )
    | (?P<name> "(?:[^"]|"")*"? | `[^`]*`? )
    | (?P<text> \b[eEbBnNxX]?'(?:[^'\\]|\\.|'')*'? | '(?:[^'\\]|\\.|'')*'? | \$(?P<tag>\w*)\$(?:(?!\$(?P=tag)\$).)*(?:\$(?P=tag)\$)? )
    | (?P<number> (?<![\w.$:%])[-+]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\b )
    """,
    re.VERBOSE | re.DOTALL,
)
_LIST = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_ROWS = re.compile(r"\(\?\)(?:\s*,\s*\(\?\))+")


def without_literals(statement: Any, system: str = "") -> str:
    """
    *statement* with each literal as `?`, white space joined, lists of literals as one; cut. Comments are left out.

    Args:
        system: The database's name; double quotes are literals in MySQL and MariaDB, and names elsewhere.
    """
    text = statement if isinstance(statement, str) else str(statement)
    masked = _masked_in_mysql if system.startswith(("mysql", "mariadb")) else _masked
    text = _TOKEN.sub(masked, text[:_MAX_READ])
    text = _LIST.sub("(?)", text)
    return _ROWS.sub("(?)", " ".join(text.split()))[:MAX_STATEMENT]


def _masked(match: re.Match[str]) -> str:
    if match["name"] is not None:
        return match[0]
    return " " if match["comment"] is not None else "?"


def _masked_in_mysql(match: re.Match[str]) -> str:
    name = match["name"]
    return "?" if name is not None and name[0] == '"' else _masked(match)


_NONE: Callable[[], Query | None] = lambda: None  # noqa: E731 - a dead weak reference
_outer: ContextVar[Callable[[], Query | None]] = ContextVar("phtrack_outer_query", default=_NONE)
"""
The statement that a library above the driver executes: what its driver does is the same statement, and told once. Held weakly,
since a statement that another listener keeps from being executed has no end.
"""


class Query:
    """One statement that is being executed. `end` notes it."""

    __slots__ = ("__weakref__", "_started", "_statement", "_system")

    def __init__(self, system: str, statement: Any) -> None:
        self._system = system
        self._statement = statement
        self._started = perf_counter()

    def end(self, error: BaseException | None = None) -> None:
        """Note the step. Never raises."""
        if _outer.get()() is self:
            _outer.set(_NONE)
        with _guard.shield("noting a statement"):
            about: dict[str, Any] = {"kind": "sql", "system": self._system}
            if error is not None:
                about["error"] = type(error).__name__
            took = (perf_counter() - self._started) * 1000
            step(without_literals(self._statement, self._system), ms=round(took, 1), **about)


def start(system: str, statement: Any, *, above_driver: bool = False) -> Query | None:
    """
    Begin a statement; None while phtrack does its own work, and for what a library above the driver has begun already.

    Args:
        above_driver: This is such a library, whose driver may have an integration of its own.
    """
    if _guard.is_quiet() or (_outer.get()() is not None and not above_driver):
        return None
    query = Query(system, statement)
    if above_driver:
        _outer.set(ref(query))
    return query
