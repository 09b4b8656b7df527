"""
Falcon's ASGI applications: as `falcon` is for WSGI, and for websockets and scheduled callbacks too.

    install(app) -> undo            install_auto() -> undo, for every application
"""

from __future__ import annotations

from contextvars import copy_context
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from falcon.asgi import App

from phtrack import _guard

from . import _http, asgi
from ._apps import once
from ._falcon import SOURCE, Calls, Flavour, around, install_on, install_on_all, is_handled

if TYPE_CHECKING:
    from collections.abc import Callable

    Undo = Callable[[], None]

CALLBACK_SOURCE = "falcon.scheduled_callback"


def install(app: Any, *, capture_exceptions: bool | None = True, **options: Any) -> Undo:
    """Report errors of *app*; see `phtrack.integrations.falcon.install`."""
    return install_on(app, FLAVOUR, capture_exceptions=capture_exceptions, **options)


@once
def install_auto() -> Undo:
    """Install on every ASGI application when it is first called; the undo takes all of it back."""
    return install_on_all(FLAVOUR)


def _call(calls: Calls) -> Any:
    @wraps(calls.original)
    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        __tracebackhide__ = True
        serve = around(self, calls)
        await (calls.original(self, scope, receive, send) if serve is None else serve(scope, receive, send))

    return call


class Around(asgi.PosthogASGIMiddleware):
    """A whole application with its middleware."""

    def __init__(self, call: Any, falcon_app: Any, **options: Any) -> None:
        super().__init__(call, **options)
        self.falcon_app = falcon_app

    def exchange(self, req: Any) -> asgi.Exchange | None:
        """What is known of the request."""
        return req.scope.get(asgi.KEY)  # type: ignore[no-any-return]

    def note(self, req: Any, exchange: asgi.Exchange, error: Exception) -> None:
        """Falcon is about to answer *error*; for a websocket, that is all there is to come."""
        if req.scope["type"] != "websocket":
            exchange.error = error
        elif not asgi.is_disconnect(error) and self.captures():
            self.answered(error, req.scope, exchange)

    def answered(self, error: Exception, scope: Any, exchange: asgi.Exchange) -> None:
        """Capture what a handler answers with a server error, and what ends a websocket."""
        if exchange.status is not None and exchange.status < 500:
            return
        handled = is_handled(self.falcon_app, error)
        exchange.capture(error, source=SOURCE, handled=handled, status=exchange.status, route=exchange.route)

    def route(self, scope: Any) -> str | None:
        """As the middleware has told it."""
        exchange = scope.get(asgi.KEY)
        return exchange.route if exchange is not None else None


class Middleware:
    """Tells the route of a request, and watches what is scheduled for after it."""

    def __init__(self, around: Any) -> None:
        self._around = around

    def _tell(self, req: Any) -> None:
        exchange = self._around.exchange(req)
        if exchange is not None:
            exchange.route = req.uri_template
            _http.tell_route(req.uri_template)

    async def process_resource(self, req: Any, resp: Any, resource: Any, params: Any) -> None:
        """Falcon knows the route."""
        self._tell(req)

    async def process_resource_ws(self, req: Any, ws: Any, resource: Any, params: Any) -> None:
        """The same for a websocket."""
        self._tell(req)

    async def process_response(self, req: Any, resp: Any, resource: Any, req_succeeded: bool) -> None:
        """The last of all: all callbacks are scheduled."""
        with _guard.shield("watching what a Falcon response schedules"):
            exchange, callbacks = self._around.exchange(req), resp._registered_callbacks
            if callbacks and exchange is not None and self._around.captures():
                callbacks[:] = [(_watch_callback(call, is_async, exchange), is_async) for call, is_async in callbacks]


def _watch_callback(call: Any, is_async: bool, exchange: asgi.Exchange) -> Any:
    def failed(error: Exception) -> None:
        with _guard.shield("capturing a failed callback"):
            exchange.capture(error, source=CALLBACK_SOURCE, mechanism="task", route=exchange.route)

    if is_async:

        @wraps(call)
        async def watched() -> None:
            __tracebackhide__ = True
            try:
                await call()
            except Exception as error:
                failed(error)
                raise

        return watched

    def inside() -> None:
        __tracebackhide__ = True
        try:
            call()
        except Exception as error:
            failed(error)
            raise

    # Falcon runs it in a thread, to which the request's context doesn't go by itself.
    return partial(copy_context().run, inside)


FLAVOUR = Flavour(App, _call, Around, Middleware)
