"""
Quart: one event for what no error handler answers, for failed background tasks, websockets, and starts and stops.

    install(app) -> undo            install_auto() -> undo, for every application

Listens to Quart's own signals, and goes around `app.asgi_app`, the place that Quart keeps for middleware, for the request's
context and the status that is sent. Errors that a handler answers are the application's business.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from quart import Quart, has_request_context, has_websocket_context, request, websocket
from quart.signals import (
    got_background_exception,
    got_request_exception,
    got_serving_exception,
    got_websocket_exception,
)

from phtrack import _guard

from . import _http
from .asgi import KEY, Exchange, PosthogASGIMiddleware, is_disconnect

if TYPE_CHECKING:
    from collections.abc import Callable

    from .asgi import Receive, Scope, Send


def install(
    app: Quart,
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
    installed: Callable[[], None] | None = app.extensions.get("phtrack")
    if installed is not None:
        return installed
    before = app.__dict__.get("asgi_app")
    around = Around(
        app.asgi_app,  # type: ignore[arg-type]
        request_filter=request_filter,
        extra_properties=extra_properties,
        capture_exceptions=capture_exceptions,
        **http,
    )
    listeners = [
        (got_request_exception, around.on_request_exception),
        (got_websocket_exception, around.on_websocket_exception),
        (got_background_exception, around.on_background_exception),
        (got_serving_exception, around.on_serving_exception),
    ]

    def undo() -> None:
        for signal, listener in listeners:
            signal.disconnect(listener, app)
        if app.__dict__.get("asgi_app") is around:
            del app.asgi_app
            if before is not None:
                app.asgi_app = before  # type: ignore[method-assign]
        if app.extensions.get("phtrack") is undo:
            del app.extensions["phtrack"]

    for signal, listener in listeners:
        signal.connect(listener, app, weak=False)
    app.asgi_app = around  # type: ignore[assignment,method-assign]
    app.extensions["phtrack"] = undo
    return undo


_auto: list[Callable[[], None]] = []
"""The undo of `install_auto` while it is in force."""


def install_auto() -> Callable[[], None]:
    """Install on every application when it is first called, and return a function that takes all of it back."""
    if _auto:
        return _auto[0]
    call: Any = Quart.__call__
    undos: list[Callable[[], None]] = []

    @wraps(call)
    async def call_watched(self: Quart, scope: Scope, receive: Receive, send: Send) -> None:
        __tracebackhide__ = True
        if "phtrack" not in self.extensions and KEY not in scope:
            with _guard.shield("installing on a Quart application"):
                undos.append(install(self))
        await call(self, scope, receive, send)

    def undo() -> None:
        if Quart.__call__ is call_watched:
            Quart.__call__ = call  # type: ignore[method-assign]
        while undos:
            undos.pop()()
        _auto.clear()

    Quart.__call__ = call_watched  # type: ignore[assignment,method-assign]
    _auto.append(undo)
    return undo


class Around(PosthogASGIMiddleware):
    """An application's `asgi_app`, watched, and what listens to its signals."""

    def route(self, scope: Scope) -> str | None:
        """The rule of the request that Quart is at."""
        return _route()

    def on_request_exception(self, sender: Any, exception: Exception, **_: Any) -> None:
        """An error that Quart answers with a 500, or with what the handler of last resort says."""
        exchange = request.scope.get(KEY) if has_request_context() else None
        if isinstance(exchange, Exchange):
            exchange.error, exchange.route = exception, _route()

    def on_websocket_exception(self, sender: Any, exception: Exception, **_: Any) -> None:
        """An error that closes a websocket."""
        self._told(exception, "quart.got_websocket_exception")

    def on_background_exception(self, sender: Any, exception: Exception, **_: Any) -> None:
        """An error of a task that `app.add_background_task` started."""
        self._told(exception, "quart.got_background_exception", mechanism="task")

    def on_serving_exception(self, sender: Any, exception: Exception, **_: Any) -> None:
        """An error that keeps the application from starting, or that came when it stopped."""
        self._told(exception, "quart.got_serving_exception", mechanism="onuncaughtexception", level="fatal")

    def answered(self, error: Exception, scope: Scope, exchange: Exchange) -> None:
        """Capture what `on_request_exception` was told of."""
        exchange.capture(error, source="quart.got_request_exception", status=exchange.status, route=exchange.route)

    def _told(self, error: Exception, source: str, **about: Any) -> None:
        with _guard.shield("capturing what a signal told"):
            if self.captures() and not is_disconnect(error):
                _http.capture(error, self.options, source=source, route=_route(), **about)


def _route() -> str | None:
    """The rule of the request that Quart is at."""
    if has_request_context():
        rule = request.url_rule
    elif has_websocket_context():
        rule = websocket.url_rule
    else:
        rule = None
    return rule.rule if rule is not None else None
