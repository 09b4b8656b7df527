"""The block: `with new_context():` opens a scope, and captures what escapes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from phtrack import _guard
from phtrack.context.scope import SWITCHES, Scope, base_var, default_client, scope_var

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from types import TracebackType

F = TypeVar("F", bound="Callable[..., Any]")


class new_context:  # noqa: N801 - the name of the public API
    """
    A context around a block: what is set inside applies inside, and what escapes it is captured.

    Args:
        fresh: True inherits nothing from the surrounding context.
        capture_exceptions: False leaves escaping exceptions alone. Default: an `Exception` that leaves the block is
            captured with the block's tags and ids, and raised on unchanged.
        client: Captures what escapes; default the surrounding context's, then the default client.
        shared: True for one unit of work that may go through several threads or tasks, such as a request: what any of them
            sets in this context, all of them see.
        keep_switches: With *fresh*, inherit what says which values are shown and which are masked, and nothing else.

    Works with `with` and `async with`, and as a decorator see `scoped`.
    """

    __slots__ = ("_before", "_capture", "_client", "_fresh", "_keep_switches", "_shared", "_token")

    def __init__(
        self,
        fresh: bool = False,
        capture_exceptions: bool | None = None,
        client: Any = None,
        *,
        shared: bool = False,
        keep_switches: bool = False,
    ) -> None:
        self._fresh = fresh
        self._capture = capture_exceptions
        self._client = client
        self._shared = shared
        self._keep_switches = keep_switches

    def __enter__(self) -> None:
        before = scope_var.get()
        parent = None if self._fresh else before
        if parent is None and not self._fresh and not self._shared:
            # What only describes the surroundings (steps, flag reads) is inherited from outside of any context too; but a
            # unit of work in a worker's thread has nothing to do with what that thread did between units.
            parent = base_var.get()
        scope = Scope() if parent is None else parent.copy()
        if self._fresh and self._keep_switches and before is not None:
            for name in SWITCHES:
                setattr(scope, name, getattr(before, name))
        if self._client is not None:
            scope.client = self._client
        scope.capture_exceptions = self._capture
        scope.shared = self._shared
        self._before = before
        self._token: Token[Scope | None] = scope_var.set(scope)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if error is not None and self._capture is not False and isinstance(error, Exception):
                _capture_escaped(error)
        finally:
            self._leave()

    def _leave(self) -> None:
        try:
            scope_var.reset(self._token)
        except ValueError:  # entered in another task or thread (async generators, fixtures)
            scope_var.set(self._before)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, tb)

    def __call__(self, function: F) -> F:
        from phtrack.context.decorator import scoped

        return scoped(fresh=self._fresh, capture_exceptions=self._capture, client=self._client)(function)


def _capture_escaped(error: Exception) -> None:
    """Hand *error* to the scope's client, else to the default one if it was made; phtrack is not started by a crash."""
    with _guard.shield("capturing what left a context"):
        scope = scope_var.get()
        client = (scope.client if scope is not None else None) or default_client()
        if client is not None:
            client.capture_exception(error)
