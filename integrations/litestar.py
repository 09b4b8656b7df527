"""
Litestar: one event for what no exception handler of the application answers, and one that says `handled` for an error that
a handler answers with a server error.

    install(app) -> undo            install_auto() -> undo, for every application

Listens to the application's `after_exception` hooks, and goes around its ASGI handler for the request's context and the
status that is sent.
"""

from __future__ import annotations

import re
from functools import wraps
from typing import TYPE_CHECKING, Any

from litestar import Litestar
from litestar.exceptions import HTTPException, InternalServerException, LitestarException, WebSocketException

from phtrack import _guard

from .asgi import KEY, Exchange, PosthogASGIMiddleware, is_disconnect, lone

if TYPE_CHECKING:
    from collections.abc import Callable

    from .asgi import Receive, Scope, Send

SOURCE = "litestar.after_exception"
HANDLED_SOURCE = "litestar.exception_handler"

_TYPE = re.compile(r":\w+(?=})")
"""The type of a path parameter, which older versions leave in the pattern."""


def install(
    app: Litestar,
    *,
    request_filter: Callable[[Scope], Any] | None = None,
    extra_properties: Callable[[Scope], Any] | None = None,
    capture_exceptions: bool = True,
    **http: Any,
) -> Callable[[], None]:
    """
    Report errors of *app*, and return a function that stops it. Arguments as in `phtrack.integrations.starlette.install`.

    Raises:
        TypeError: an option that there is not.

    Installing again changes nothing and returns the same function.
    """
    installed = _hook_of(app)
    if installed is not None:
        return installed.undo
    inner: Any = app.asgi_handler
    around = Around(
        inner,
        request_filter=request_filter,
        extra_properties=extra_properties,
        capture_exceptions=capture_exceptions,
        **http,
    )

    def undo() -> None:
        if app.asgi_handler is around:
            app.asgi_handler = inner
        if hook in app.after_exception:
            app.after_exception.remove(hook)

    hook = _Hook(around, undo)
    app.after_exception.append(hook)  # type: ignore[arg-type]
    app.asgi_handler = around  # type: ignore[assignment]
    return undo


class _Hook:
    """Our entry among an application's `after_exception` hooks; it also says that we are installed."""

    def __init__(self, around: Around, undo: Callable[[], None]) -> None:
        self.undo = undo
        self._around = around

    async def __call__(self, error: Exception, scope: Scope) -> None:
        """Remember what the framework is about to answer; a websocket gets no answer that would tell us more."""
        exchange = scope.get(KEY)
        if not isinstance(exchange, Exchange):
            return
        if scope["type"] == "http":
            exchange.error = error
        elif not isinstance(error, (WebSocketException, HTTPException)):
            self._around.told(error, scope, exchange)


def _hook_of(app: Litestar) -> _Hook | None:
    return next((hook for hook in app.after_exception if isinstance(hook, _Hook)), None)


_auto: list[Callable[[], None]] = []
"""The undo of `install_auto` while it is in force."""


def install_auto() -> Callable[[], None]:
    """Install on every application when it is first called, and return a function that takes all of it back."""
    if _auto:
        return _auto[0]
    call: Any = Litestar.__call__
    undos: list[Callable[[], None]] = []

    @wraps(call)
    async def call_watched(self: Litestar, scope: Scope, receive: Receive, send: Send) -> None:
        __tracebackhide__ = True
        if KEY not in scope and _hook_of(self) is None:
            with _guard.shield("installing on a Litestar application"):
                undos.append(install(self))
        await call(self, scope, receive, send)

    def undo() -> None:
        if Litestar.__call__ is call_watched:
            Litestar.__call__ = call  # type: ignore[method-assign]
        while undos:
            undos.pop()()
        _auto.clear()

    Litestar.__call__ = call_watched  # type: ignore[assignment,method-assign]
    _auto.append(undo)
    return undo


class Around(PosthogASGIMiddleware):
    """An application's ASGI handler, watched."""

    def answered(self, error: Exception, scope: Scope, exchange: Exchange) -> None:
        """Capture an error that became a server error."""
        if exchange.status is None or exchange.status < 500 or _is_broken_off(error):
            return
        handled = isinstance(error, HTTPException) or _has_handler(error, scope)
        exchange.capture(
            error,
            source=HANDLED_SOURCE if handled else SOURCE,
            handled=handled,
            status=exchange.status,
            route=self.route(scope),
        )

    def told(self, error: Exception, scope: Scope, exchange: Exchange) -> None:
        """Capture an error that the framework told us of, and that has no status."""
        if is_disconnect(error) or not self.captures():
            return
        with _guard.shield("capturing an error of a websocket"):
            exchange.capture(error, source=SOURCE, route=self.route(scope))

    def escaped(self, error: Exception, scope: Scope, exchange: Exchange) -> None:
        """Capture what came after the response had begun: Litestar wraps it, once per layer, and a stream's task group too."""
        while type(error) is LitestarException and isinstance(error.__cause__, Exception):
            error = lone(error.__cause__)
        super().escaped(error, scope, exchange)

    def route(self, scope: Scope) -> str | None:
        """The pattern of the route that was taken."""
        template = scope.get("path_template")
        if template is None:
            paths = getattr(scope.get("route_handler"), "paths", ())
            template = next(iter(paths)) if len(paths) == 1 else None
        return _TYPE.sub("", template) if isinstance(template, str) else None


def _is_broken_off(error: Exception) -> bool:
    """True for what Litestar says of a client that went away in the middle of its body; only the words tell it apart."""
    return isinstance(error, InternalServerException) and error.detail == "client disconnected prematurely"


def _has_handler(error: Exception, scope: Scope) -> bool:
    """True if the application has a handler for just this kind of error; the ones for all errors answer what nobody handles."""
    handler = scope.get("route_handler")
    handlers = handler.resolve_exception_handlers() if handler is not None else {}
    return any(kind in handlers for kind in type(error).__mro__ if kind not in (Exception, BaseException, object))
