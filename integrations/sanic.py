"""
Sanic: one event for what no exception handler of the application answers, for failed background tasks (`app.add_task`),
websockets, response middleware, handlers that fail themselves, and starts and stops.

    install(app) -> undo            install_auto() -> undo, for every application

The framework's own extension points: a request middleware opens the request's context, and signals tell of exceptions. Only
of those of response middleware there is no signal: Sanic sends the response as if nothing had been, and writes the exception
to its logger `sanic.error`, where a filter of ours looks on; an application that turns that logger off keeps them to itself.
Nor is there one when an exception handler fails: Sanic answers 500, and of a coroutine says nothing anywhere, so that the
method which calls the handlers is watched from the first time that one is about to answer.
A handler of the application's own signals that fails in the background of a request is told to asyncio alone
(`enable_exception_autocapture`).

A connection's requests follow each other in one task, so each starts a fresh context in place of the last one's. To be
installed before the application runs, as Sanic wants it for middleware and signals.
"""

from __future__ import annotations

from functools import wraps
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from sanic import Request, Sanic
from sanic.exceptions import SanicException, ServerError
from sanic.log import error_logger, logger

import phtrack
from phtrack import _guard

from . import _http
from ._http import HttpOptions, RequestFacts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from logging import LogRecord

HANDLER_SOURCE = "sanic.exception_handler"
_FIRST = 1_000_000
"""Priority of the middleware: Sanic runs the highest first, so that the application's own runs in the context."""


def install(
    app: Sanic[Any, Any],
    *,
    request_filter: Callable[[Request], bool] | None = None,
    extra_properties: Callable[[Request], dict[str, Any]] | None = None,
    capture_exceptions: bool = True,
    **http: Any,
) -> Callable[[], None]:
    """
    Report errors of *app*, and return a function that stops it.

    Args:
        request_filter: `f(request) -> bool`; False leaves a request alone.
        extra_properties: `f(request) -> dict`; merged over the request's tags.
        capture_exceptions: False: only the context, no events.
        http: Fields of `HttpOptions`: `client`, `capture_tracing_headers`, `headers`, `trusted_proxies`.

    Raises:
        TypeError: an option that there is not.

    Installing again changes nothing and returns the same function.
    """
    installed: Callable[[], None] | None = getattr(app.ctx, "phtrack", None)
    if installed is not None:
        return installed
    watch = _Watch(app, HttpOptions(capture_exceptions=capture_exceptions, **http), request_filter, extra_properties)
    app.register_middleware(watch.on_request, "request", priority=_FIRST)
    app.add_signal(watch.on_exception, "http.lifecycle.exception")
    app.add_signal(watch.on_websocket_exception, "websocket.handler.exception")
    app.add_signal(watch.on_report, "server.exception.report")
    for log in (error_logger, logger):
        log.addFilter(watch)

    def undo() -> None:
        # Sanic keeps what a running application was given; from now on it does nothing.
        watch.active = False
        for log in (error_logger, logger):
            log.removeFilter(watch)
        watch.leave_handlers()
        for middleware in [one for one in app.request_middleware if getattr(one, "func", None) == watch.on_request]:
            app.request_middleware.remove(middleware)
        if getattr(app.ctx, "phtrack", None) is undo:
            del app.ctx.phtrack

    app.ctx.phtrack = undo
    return undo


_auto: list[Callable[[], None]] = []
"""The undo of `install_auto` while it is in force."""


def install_auto() -> Callable[[], None]:
    """Install on the applications there are, and on each that is made, and return a function that takes all of it back."""
    if _auto:
        return _auto[0]
    init: Any = Sanic.__init__
    undos: list[Callable[[], None]] = []

    @wraps(init)
    def init_watched(self: Sanic[Any, Any], *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        with _guard.shield("installing on a Sanic application"):
            undos.append(install(self))

    def undo() -> None:
        if Sanic.__init__ is init_watched:
            Sanic.__init__ = init  # type: ignore[method-assign]
        while undos:
            undos.pop()()
        _auto.clear()

    for app in list(getattr(Sanic, "_app_registry", {}).values()):
        if not app.state.is_running:
            undos.append(install(app))
    Sanic.__init__ = init_watched  # type: ignore[method-assign]
    _auto.append(undo)
    return undo


class _Watch:
    """What an application was given."""

    def __init__(self, app: Any, options: HttpOptions, request_filter: Any, extra_properties: Any) -> None:
        self.active = True
        self._app = app
        self._options = options
        self._filter = request_filter
        self._extra = extra_properties
        self._handlers: Any = None
        """The application's `ErrorHandler` that is watched, once it is."""
        self._own_response: Any = None
        """Its own `response`, if it is the instance's."""

    def on_request(self, request: Request) -> None:
        """Open the request's context, in the connection's task."""
        if not self.active:
            return
        with _guard.shield("opening a request's context"):
            wanted = self._filter is None or _http.answer_of("request_filter", self._filter, request) is not False
            phtrack.new_context(
                fresh=True, capture_exceptions=False, client=self._options.client, shared=True
            ).__enter__()
            request.ctx.phtrack = wanted
            if wanted:
                extra = None if self._extra is None else _http.answer_of("extra_properties", self._extra, request)
                _http.enter_request(_facts(request), self._options, extra=extra if isinstance(extra, dict) else None)

    async def on_exception(self, request: Request | None = None, exception: Any = None, **_: Any) -> None:
        """Capture an error that Sanic answers with a server error, or that comes after the response has begun."""
        if not self.active or request is None or not isinstance(exception, Exception):
            return
        with _guard.shield("capturing an exception of a request"):
            if self._is_error(request, exception):
                started = bool(request.responded)
                status = getattr(request.stream.response, "status", None) if started and request.stream else None
                status = status or getattr(exception, "status_code", None) or 500
                self._capture(exception, "sanic.http_lifecycle_exception", request, status)
            elif not request.responded:
                self._watch_handlers(request.app.error_handler)

    async def on_websocket_exception(self, request: Request | None = None, exception: Any = None, **_: Any) -> None:
        """Capture an error of a websocket's handler."""
        if not self.active or request is None or not isinstance(exception, Exception):
            return
        with _guard.shield("capturing an exception of a websocket"):
            self._capture(exception, "sanic.websocket_handler_exception", request, None)

    async def on_report(self, exception: Any = None, **_: Any) -> None:
        """
        Capture an error of a background task, or of a listener outside of any request.

        Sanic says this of everything; the other errors are those of requests, of which we know more elsewhere.
        """
        if not self.active or not isinstance(exception, Exception):
            return
        with _guard.shield("capturing an exception outside of requests"):
            if _is_of_task(exception) or _current_request() is None:
                _http.capture(exception, self._options, source="sanic.server_exception_report", mechanism="task")

    def filter(self, record: LogRecord) -> bool:
        """
        Look on what Sanic logs: capture an error of a response middleware, or of an exception handler that is a plain function.
        That there will be no answer is said of an exception that a signal has told. Answers as a filter that lets all pass.
        """
        if self.active and record.funcName == "handle_exception" and not record.exc_info:
            if self._options.capture_exceptions is not False:
                phtrack.PosthogLoggingHandler.ignore(record)
            return True
        place = (record.module, record.funcName)
        if self.active and record.exc_info and (place[1] == "respond" or place == ("error", "response")):
            with _guard.shield("capturing an exception of a response middleware"):
                exception, request = record.exc_info[1], _current_request()
                if isinstance(exception, Exception) and request is not None and request.app is self._app:
                    if place[1] == "response":
                        self._capture(exception, HANDLER_SOURCE, request, 500)
                    else:
                        status = getattr(request.stream and request.stream.response, "status", None)
                        self._capture(exception, "sanic.response_middleware", request, status)
        return True

    def _watch_handlers(self, handlers: Any) -> None:
        if handlers is self._handlers:
            return
        self.leave_handlers()
        self._own_response = vars(handlers).get("response")
        respond = handlers.response

        def response(request: Request, exception: Exception) -> Any:
            __tracebackhide__ = True
            answer = respond(request, exception)
            return self._answered(request, answer) if isawaitable(answer) else answer

        handlers.response = response
        self._handlers = handlers

    def leave_handlers(self) -> None:
        """Take back what `_watch_handlers` did."""
        if self._handlers is not None:
            del self._handlers.response
            if self._own_response is not None:
                self._handlers.response = self._own_response
            self._handlers = None

    async def _answered(self, request: Request, answer: Awaitable[Any]) -> Any:
        """What a handler that is a coroutine says; what it raises instead is captured."""
        __tracebackhide__ = True
        try:
            return await answer
        except Exception as error:
            with _guard.shield("capturing an exception of an exception handler"):
                status = getattr(error, "status_code", None) or 500 if isinstance(error, SanicException) else 500
                if self.active and status >= 500:
                    self._capture(error, HANDLER_SOURCE, request, status)
            raise

    def _capture(self, exception: Exception, source: str, request: Any, status: int | None) -> None:
        if getattr(request.ctx, "phtrack", True):
            if self._options.capture_body:
                _http.note_raw_body(request.body, request.headers.get("content-type"))
            _http.capture(exception, self._options, source=source, status=status, route=_route(request))

    def _is_error(self, request: Request, exception: Exception) -> bool:
        """False for what the application has a handler for, and for answers below 500 that are raised as exceptions."""
        if isinstance(exception, SanicException) and (exception.status_code or 500) < 500:
            return False
        if request.responded:
            return True
        handlers = request.app.error_handler.cached_handlers
        return not any(
            handlers.get((kind, name))
            for kind in type(exception).__mro__
            if kind not in (Exception, SanicException, BaseException)
            for name in (request.name, None)
        )


def _is_of_task(exception: Exception) -> bool:
    """True for what leaves the coroutine that Sanic puts around a background task."""
    tb = exception.__traceback__
    frame = tb.tb_frame if tb is not None else None
    return frame is not None and frame.f_code.co_name == "do" and frame.f_globals.get("__name__") == "sanic.app"


def _current_request() -> Any:
    """The request that this code runs for, or None."""
    try:
        return Request.get_current()
    except ServerError:
        return None


def _facts(request: Request) -> RequestFacts:
    def get_header(name: str) -> Any:
        return next((value for value in request.headers.getall(name, ()) if _http.clean_text(value)), None)

    return RequestFacts(
        method=request.method,
        url=request.url,
        path=request.path,
        route=_route(request),
        get_header=get_header,
        peer=request.conn_info.client if request.conn_info is not None else None,
    )


def _route(request: Request) -> str | None:
    """The route's pattern, as it was written."""
    return request.uri_template
