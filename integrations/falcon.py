"""
Falcon, WSGI and ASGI: one event for what no error handler of the application answers, and one that says `handled` for an
error that a handler answers with a server error; for streamed bodies, and in ASGI for websockets and scheduled callbacks too.

    install(app) -> undo            install_auto() -> undo, for every application

Falcon tells us of errors (`set_error_reporter`, before Falcon 4.4 its handler of last resort), a middleware of ours tells the
route. Applications have no place for the context around a request, so that `App.__call__` is watched while one is installed.
"""

from __future__ import annotations

import json
from contextvars import copy_context
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import falcon

from phtrack import _guard
from phtrack._imports import when_imported

from . import _http, asgi, wsgi
from ._apps import once

if TYPE_CHECKING:
    from collections.abc import Callable

    Undo = Callable[[], None]

SOURCE = "falcon.error_handler"
CALLBACK_SOURCE = "falcon.scheduled_callback"

_ANSWERS = (falcon.HTTPError, falcon.HTTPStatus, falcon.WebSocketDisconnected)
"""What is raised in the normal course of things."""


def install(app: Any, *, capture_exceptions: bool | None = True, **options: Any) -> Undo:
    """
    Report errors of *app*, a `falcon.App` or `falcon.asgi.App`, and return a function that stops it. Installing again changes
    nothing.

    Args:
        options: As for `PosthogWSGIMiddleware` or `PosthogASGIMiddleware`; `capture_body` tells media that the app has read.

    Falcon has room for one error reporter: an application that sets one later should do so before.
    """
    there = _installed_on(app)
    if there is not None:
        return there.undo
    kind, call = _call_of(app)
    is_asgi = kind.__module__.startswith("falcon.asgi")
    watch = _Asgi if is_asgi else _Wsgi
    around: Any = watch(partial(call, app), app, capture_exceptions=capture_exceptions, **options)
    take_back = _listen(app, around)
    unwatch = _watch_calls(kind)

    def undo() -> None:
        if app._error_handlers.get(_Mark) is installed:
            del app._error_handlers[_Mark]
            take_back()
            app._unprepared_middleware.remove(middleware)
            app.add_middleware([])  # prepares what is left
            unwatch()

    installed = _Installed(around, undo)
    middleware: Any = (_AsgiMiddleware if is_asgi else _Middleware)(around)
    app._unprepared_middleware.insert(0, middleware)  # outside of all others, so that they see the route in the context
    app.add_middleware([])
    app._error_handlers[_Mark] = installed
    return undo


@once
def install_auto() -> Undo:
    """Install on every application when it is first called; the undo takes all of it back."""
    auto = _Auto()
    undos = [_watch_calls(falcon.App, auto)]
    undos.append(when_imported("falcon.asgi.app", lambda module: _watch_calls(module.App, auto)))

    def undo() -> None:
        for one in [*undos, *auto.undos]:
            one()

    return undo


class _Mark(Exception):
    """
    Never raised: the key under which an application holds its `_Installed` among its error handlers. Applications have no
    attributes besides Falcon's own, and can't be held weakly.
    """


class _Installed:
    def __init__(self, around: Any, undo: Undo) -> None:
        self.around = around
        self.undo = undo


def _installed_on(app: Any) -> _Installed | None:
    there: _Installed | None = app._error_handlers.get(_Mark)
    return there


# --- the context around a request --------------------------------------------------------------------------------------


class _Auto:
    """What `install_auto` has installed."""

    def __init__(self) -> None:
        self.undos: list[Undo] = []

    def install(self, app: Any) -> None:
        with _guard.shield("installing on a Falcon application"):
            self.undos.append(install(app))


class _Calls:
    """A watched `__call__` of a Falcon class, and who needs it."""

    def __init__(self, call: Any) -> None:
        self.original = call
        self.needed = 0
        self.auto: _Auto | None = None


_watched: dict[type, _Calls] = {}


def _call_of(app: Any) -> tuple[type, Any]:
    """The class of Falcon's own whose `__call__` serves *app*, and that method."""
    kind = next(one for one in type(app).__mro__ if one.__module__.startswith("falcon.") and "__call__" in vars(one))
    there = _watched.get(kind)
    return kind, there.original if there is not None else vars(kind)["__call__"]


def _watch_calls(kind: Any, auto: _Auto | None = None) -> Undo:
    """Let requests of applications of *kind* pass through what is installed on them."""
    calls = _watched.get(kind)
    if calls is None:
        calls = _watched[kind] = _Calls(vars(kind)["__call__"])
        kind.__call__ = (_asgi_call if kind.__module__.startswith("falcon.asgi") else _wsgi_call)(calls)
    ours = calls
    ours.needed += 1
    ours.auto = auto or ours.auto

    def undo() -> None:
        ours.needed -= 1
        if auto is not None and ours.auto is auto:
            ours.auto = None
        if not ours.needed and _watched.get(kind) is ours:
            del _watched[kind]
            kind.__call__ = ours.original

    return undo


def _around(app: Any, calls: _Calls) -> Any:
    """What goes around a request to *app*; None: nothing."""
    there = _installed_on(app)
    if there is None and calls.auto is not None:
        calls.auto.install(app)
        there = _installed_on(app)
    return there and there.around


def _wsgi_call(calls: _Calls) -> Any:
    @wraps(calls.original)
    def call(self: Any, env: Any, start_response: Any) -> Any:
        __tracebackhide__ = True
        around = _around(self, calls)
        return calls.original(self, env, start_response) if around is None else around(env, start_response)

    return call


def _asgi_call(calls: _Calls) -> Any:
    @wraps(calls.original)
    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        __tracebackhide__ = True
        around = _around(self, calls)
        await (calls.original(self, scope, receive, send) if around is None else around(scope, receive, send))

    return call


class _Wsgi(wsgi.PosthogWSGIMiddleware):
    def __init__(self, call: Any, falcon_app: Any, **options: Any) -> None:
        super().__init__(call, **options)
        self.falcon_app = falcon_app

    def exchange(self, req: Any) -> wsgi.Exchange | None:
        """What is known of the request."""
        return req.env.get(wsgi.KEY)  # type: ignore[no-any-return]

    def answered(self, error: Exception, environ: Any, exchange: wsgi.Exchange) -> None:
        """Capture what a handler answers with a server error."""
        handled = _is_handled(self.falcon_app, error)
        self.capture(error, environ, exchange, status=exchange.status, handled=handled, source=SOURCE)


class _Asgi(asgi.PosthogASGIMiddleware):
    def __init__(self, call: Any, falcon_app: Any, **options: Any) -> None:
        super().__init__(call, **options)
        self.falcon_app = falcon_app

    def exchange(self, req: Any) -> asgi.Exchange | None:
        """What is known of the request."""
        return req.scope.get(asgi.KEY)  # type: ignore[no-any-return]

    def answered(self, error: Exception, scope: Any, exchange: asgi.Exchange) -> None:
        """Capture what a handler answers with a server error, and what ends a websocket."""
        if exchange.status is not None and exchange.status < 500:
            return
        handled = _is_handled(self.falcon_app, error)
        exchange.capture(error, source=SOURCE, handled=handled, status=exchange.status, route=exchange.route)

    def route(self, scope: Any) -> str | None:
        """As the middleware has told it."""
        exchange = scope.get(asgi.KEY)
        return exchange.route if exchange is not None else None


# --- errors ------------------------------------------------------------------------------------------------------------


def _listen(app: Any, around: Any) -> Undo:
    """Let Falcon tell *around* of the errors that it answers; returns what stops that."""
    if hasattr(app, "set_error_reporter"):
        before = app._report_error

        def reporter(req: Any, error: Exception, params: Any, handled: bool) -> None:
            if handled:
                _note(around, req, error)
            if before is not None:
                before(req, error, params, handled)

        app.set_error_reporter(reporter)

        def stop() -> None:
            if app._report_error is reporter:
                app.set_error_reporter(before)

        return stop
    handler = app._error_handlers[Exception]

    @wraps(handler)
    def watched(req: Any, resp: Any, error: Exception, params: Any, **more: Any) -> Any:
        __tracebackhide__ = True
        _note(around, req, error)
        return handler(req, resp, error, params, **more)

    def stop_watching() -> None:
        if app._error_handlers.get(Exception) is watched:
            app._error_handlers[Exception] = handler

    app._error_handlers[Exception] = watched
    return stop_watching


def _note(around: Any, req: Any, error: Exception) -> None:
    """Remember an error that is about to be answered; with which status, is seen when the response begins."""
    with _guard.shield("looking at an error of Falcon's"):
        exchange = around.exchange(req)
        if exchange is None or isinstance(error, _ANSWERS):
            return
        if around.options.capture_body and isinstance(around, _Wsgi):
            _note_media(req)
        exchange.route = req.uri_template
        if isinstance(around, _Asgi) and req.scope["type"] == "websocket":
            if not asgi.is_disconnect(error) and around.captures():
                around.answered(error, req.scope, exchange)
        else:
            exchange.error = error


def _is_handled(app: Any, error: Exception) -> bool:
    """True if a handler of the application's, and not Falcon's of last resort, answers *error*."""
    handlers = app._error_handlers
    handler = next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
    return getattr(handler, "__name__", None) != "_python_error_handler"


def _note_media(req: Any) -> None:
    """The media that the application has asked for, as far as it is data."""
    media = req._media
    if type(media) is dict and "json" not in (req.content_type or ""):
        _http.note_body(form=media)
    elif type(media) in (dict, list):
        try:
            _http.note_body(raw=json.dumps(media).encode(), content_type=req.content_type)
        except (TypeError, ValueError):  # media of the application's own kind
            return


# --- the route, and callbacks --------------------------------------------------------------------------------------------


class _Middleware:
    """Tells the route of a request."""

    def __init__(self, around: Any) -> None:
        self._around = around

    def process_resource(self, req: Any, resp: Any, resource: Any, params: Any) -> None:
        """Falcon knows the route."""
        exchange = self._around.exchange(req)
        if exchange is not None:
            exchange.route = req.uri_template
            _http.tell({"$request_route": req.uri_template})


class _AsgiMiddleware:
    """Tells the route of a request, and watches what is scheduled for after it."""

    def __init__(self, around: Any) -> None:
        self._tell = _Middleware(around).process_resource
        self._around = around

    async def process_resource(self, req: Any, resp: Any, resource: Any, params: Any) -> None:
        """Falcon knows the route."""
        self._tell(req, resp, resource, params)

    async def process_resource_ws(self, req: Any, ws: Any, resource: Any, params: Any) -> None:
        """The same for a websocket."""
        self._tell(req, None, resource, params)

    async def process_response(self, req: Any, resp: Any, resource: Any, req_succeeded: bool) -> None:
        """The last of all: all callbacks are scheduled."""
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
