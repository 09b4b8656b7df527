"""Carrying a context on: to a thread, a callback, or the next step of a generator, where it is entered again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phtrack.context.scope import Scope, scope_var

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType


class carry:  # noqa: N801 - reads as a statement: `with carried:`
    """
    The context in force where this was made, to be entered again elsewhere.

        carried = carry()
        ...
        with carried:       # in another thread, task or callback, as often as needed, one at a time
            ...

    What is set inside stays: the next time it is entered, it is there. Outside of any context it carries "no context".
    Captures nothing.
    """

    __slots__ = ("_before", "_scope", "_token")

    def __init__(self) -> None:
        self._scope: Scope | None = scope_var.get()

    def __enter__(self) -> None:
        self._before = scope_var.get()
        self._token: Token[Scope | None] = scope_var.set(self._scope)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._scope = scope_var.get()
        try:
            scope_var.reset(self._token)
        except ValueError:  # entered in another task or thread
            scope_var.set(self._before)
