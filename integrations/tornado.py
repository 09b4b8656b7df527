"""
Tornado: one event for what escapes a request handler or a websocket's callbacks, with its route and the status; also for what
they have left on the loop (`IOLoop.add_callback`, `spawn_callback`).

    install(app) -> undo            install_auto() -> undo, for every application

Tornado has no place for others to listen, so that while one is installed three methods are watched: a handler's `_execute`,
which is the whole of a request, the first step of what answers an error, and the loop's running of callbacks; and of a single
handler `log_exception` where it is a websocket's, `data_received` where it reads its body in pieces. `HTTPError` and `Finish`
are answers. What Tornado logs as errors besides, the line of a 5xx in its access log above all, is no event of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, NamedTuple

from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from tornado.log import access_log, gen_log
from tornado.web import Application, Finish, HTTPError, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

import phtrack
from phtrack import _guard
from phtrack.contexts import carry

from . import _http
from ._apps import once
from ._http import HttpOptions
from ._tornado_request import facts, note_body, route_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from logging import LogRecord

    Undo = Callable[[], None]

SOURCE = "tornado.request_handler"
CALLBACK_SOURCE = "tornado.ioloop_callback"

_KEY = "_phtrack"
"""The attribute of applications that holds what is installed there, and of handlers while their request is watched."""

_TOLD = "_phtrack_told"
"""The attribute of a websocket's handler that holds the error that was captured on the loop, until Tornado tells of it again."""

_request: ContextVar[_Request | None] = ContextVar("phtrack_tornado", default=None)
"""The request that runs; copied to what it leaves on the loop."""


def install(
    app: Application,
    *,
    request_filter: Callable[[RequestHandler], Any] | None = None,
    extra_properties: Callable[[RequestHandler], Any] | None = None,
    capture_exceptions: bool | None = True,
    **http: Any,
) -> Undo:
    """
    Report errors of *app*, and return a function that stops it. Installing again changes nothing.

    Args:
        request_filter: `f(handler) -> bool`; False leaves a request alone.
        extra_properties: `f(handler) -> dict`; merged over the request's tags.
        capture_exceptions: False: only the context. None: as the client's `enable_exception_autocapture` says.
        http: Fields of `HttpOptions`: `client`, `capture_body`, `capture_tracing_headers`, `prefer_authenticated_user`,
            `headers`, `trusted_proxies`.
    """
    there: _Watch | None = vars(app).get(_KEY)
    if there is not None:
        return there.undo
    options = HttpOptions(capture_exceptions=capture_exceptions, **http)
    watch = _Watch(options, request_filter, extra_properties)
    _patches.need()

    def undo() -> None:
        if vars(app).get(_KEY) is watch:
            delattr(app, _KEY)
            _patches.unneed()

    watch.undo = undo
    setattr(app, _KEY, watch)
    return undo


@once
def install_auto() -> Undo:
    """Watch every application that has nothing installed itself; the undo takes it back."""
    _patches.need()
    _patches.for_all = _Watch(HttpOptions(capture_exceptions=True), None, None)

    def undo() -> None:
        _patches.for_all = None
        _patches.unneed()

    return undo


class _Watch:
    """What is installed on an application, or on all."""

    undo: Undo

    def __init__(
        self,
        options: HttpOptions,
        request_filter: Callable[[RequestHandler], Any] | None,
        extra_properties: Callable[[RequestHandler], Any] | None,
    ) -> None:
        self.options = options
        self._filter = request_filter
        self._extra = extra_properties

    async def run(self, handler: RequestHandler, execute: Any, args: Any, kwargs: Any) -> None:
        """Run a whole request in its context."""
        __tracebackhide__ = True
        if self._filter is not None and _http.answer_of("request_filter", self._filter, handler) is False:
            await execute(handler, *args, **kwargs)
            return
        setattr(handler, _KEY, self)
        extra = None if self._extra is None else _http.answer_of("extra_properties", self._extra, handler)
        # Each request is a task of its own, with which the variable goes.
        _request.set(_Request(self, handler if isinstance(handler, WebSocketHandler) else None))
        with _http.request_context(facts(handler), self.options, extra=extra if isinstance(extra, Mapping) else None):
            if isinstance(handler, WebSocketHandler):
                self._watch_log(handler)
            elif handler._stream_request_body:
                self._watch_data(handler)
            await execute(handler, *args, **kwargs)

    def _watch_log(self, handler: WebSocketHandler) -> None:
        """A websocket's callbacks tell of their errors in no other way; what a request raises has been seen already."""
        log = handler.log_exception

        def log_exception(kind: Any, error: Any, tb: Any) -> Any:
            if _patches.watch_of(handler) is self:
                self.failed(handler, error)
                vars(handler).pop(_TOLD, None)
            return log(kind, error, tb)

        handler.log_exception = log_exception  # type: ignore[assignment, method-assign]

    def _watch_data(self, handler: RequestHandler) -> None:
        """Pieces of the body come from outside of the request's task; if one is refused by an error, there is no answer."""
        received = handler.data_received
        carried = carry()

        def data_received(chunk: bytes) -> Awaitable[None] | None:
            __tracebackhide__ = True
            with self._taking(handler, carried):
                more = received(chunk)
            return None if more is None else finished(more)

        async def finished(more: Awaitable[None]) -> None:
            __tracebackhide__ = True
            with self._taking(handler, carried):
                await more

        handler.data_received = data_received  # type: ignore[method-assign]

    @contextmanager
    def _taking(self, handler: RequestHandler, carried: carry) -> Iterator[None]:
        __tracebackhide__ = True
        with carried:
            try:
                yield
            except Exception as error:
                if _patches.watch_of(handler) is self:
                    self.failed(handler, error, status=None)
                raise

    def failed(self, handler: RequestHandler, error: BaseException | None, status: int | None = 500) -> None:
        """Capture what Tornado is about to answer, or what ended a websocket's callback."""
        with _guard.shield("capturing what left a Tornado handler"):
            if (
                not isinstance(error, Exception)
                or isinstance(error, (HTTPError, Finish))
                or _is_disconnect(handler, error)
            ):
                return
            if vars(handler).get(_TOLD) is error or not _http.captures(self.options):
                return
            self._identify(handler)
            if self.options.capture_body:
                note_body(handler)
            status = handler.get_status() if handler._headers_written else status
            _http.capture(error, self.options, source=SOURCE, status=status, route=route_of(handler))

    def _identify(self, handler: RequestHandler) -> None:
        """The logged-in user, if the handler has asked for it, and it is a plain id; nothing is asked for by us."""
        user = getattr(handler, "_current_user", None)
        if type(user) in (str, bytes, int):
            who = _http.distinct_id_for(phtrack.get_context_distinct_id(), user, self.options)
            if who is not None:
                phtrack.identify_context(who)

    def callback_failed(self, error: Exception, request: _Request, callback: Any) -> None:
        """Capture what the loop is about to log."""
        if request.socket is not None and _is_websockets_own(callback):
            self.failed(request.socket, error)
            setattr(request.socket, _TOLD, error)
            return
        with _guard.shield("capturing what left a callback of the loop"):
            if _http.captures(self.options):
                _http.capture(error, self.options, source=CALLBACK_SOURCE, mechanism="task")


class _Request(NamedTuple):
    """A request as what it leaves on the loop knows it."""

    watch: _Watch
    socket: WebSocketHandler | None
    """The handler of a websocket."""


def _is_websockets_own(callback: Any) -> bool:
    """
    True for what Tornado before 6.6 does when a websocket's coroutine has ended. It only asks for the result; if that is an
    error, the request gets it a second time, without the frames that it came from: a future tells them once.
    """
    return getattr(getattr(callback, "func", None), "__module__", None) == WebSocketHandler.__module__


def _is_disconnect(handler: RequestHandler, error: Exception) -> bool:
    """True for an error that says that the client is gone, and not somebody whom the handler has called."""
    if isinstance(error, WebSocketClosedError):
        return True
    if not isinstance(error, StreamClosedError):
        return False
    stream = getattr(handler.request.connection, "stream", None)
    return stream is None or stream.closed()


# --- the watched methods -------------------------------------------------------------------------------------------------


class _Observed:
    """A callback of the loop's, watched. Tornado writes callbacks that fail to its log: it looks like the one it stands for."""

    __slots__ = ("_callback", "_request")

    def __init__(self, callback: Any, request: _Request) -> None:
        self._callback = callback
        self._request = request

    def __call__(self) -> Any:
        __tracebackhide__ = True
        try:
            return self._callback()
        except Exception as error:
            self._request.watch.callback_failed(error, self._request, self._callback)
            raise

    def __repr__(self) -> str:
        return repr(self._callback)


class _Patches:
    """The methods of Tornado's that are watched while somebody needs it."""

    def __init__(self) -> None:
        self.for_all: _Watch | None = None
        self._needed = 0
        self._undos: list[Undo] = []

    def watch_of(self, handler: RequestHandler) -> _Watch | None:
        """What watches the application of *handler* now."""
        return vars(handler.application).get(_KEY) or self.for_all

    def need(self) -> None:
        """One more who needs them."""
        self._needed += 1
        if self._needed == 1:
            for owner, name, make in (
                (RequestHandler, "_execute", self._around_execute),
                (RequestHandler, "_handle_request_exception", self._before_answer),
                (IOLoop, "_run_callback", self._around_callback),
            ):
                self._undos.append(_replace(owner, name, make))
            for logger in (access_log, gen_log):
                logger.addFilter(_mark_told)
                self._undos.append(partial(logger.removeFilter, _mark_told))

    def unneed(self) -> None:
        """One less; the last one puts Tornado's own methods back."""
        self._needed -= 1
        while not self._needed and self._undos:
            self._undos.pop()()

    def _around_execute(self, execute: Any) -> Any:
        @wraps(execute)
        async def _execute(handler: RequestHandler, *args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            watch = self.watch_of(handler)
            if watch is None:
                await execute(handler, *args, **kwargs)
            else:
                await watch.run(handler, execute, args, kwargs)

        return _execute

    def _before_answer(self, answer: Any) -> Any:
        @wraps(answer)
        def _handle_request_exception(handler: RequestHandler, error: BaseException) -> Any:
            watch = vars(handler).get(_KEY)
            if watch is not None:
                watch.failed(handler, error)
            return answer(handler, error)

        return _handle_request_exception

    def _around_callback(self, run: Any) -> Any:
        @wraps(run)
        def _run_callback(loop: IOLoop, callback: Any) -> Any:
            request = _request.get()
            return run(loop, callback if request is None else _Observed(callback, request))

        return _run_callback


def _mark_told(record: LogRecord) -> bool:
    """A filter that lets all pass: these lines, which have no exception, are of requests whose errors are captured here."""
    request = _request.get()
    if request is not None and not record.exc_info:
        with _guard.shield("looking at what Tornado logs"):
            if _http.captures(request.watch.options):
                phtrack.PosthogLoggingHandler.ignore(record)
    return True


def _replace(owner: Any, name: str, make: Any) -> Undo:
    original = vars(owner)[name]
    ours = make(original)

    def undo() -> None:
        if vars(owner)[name] is ours:
            setattr(owner, name, original)

    setattr(owner, name, ours)
    return undo


_patches = _Patches()
