"""
aiohttp's server: one event for what escapes an application's handlers, middleware and bodies, with its route and the status.

    install(app) -> undo            install_auto() -> undo, for every application that starts afterwards

A middleware in front of the application's own; aiohttp makes its 500 of an error outside of all middleware. HTTP exceptions
that are raised are answers. An application that runs can't give up its middleware: after the undo it only passes on.
The client side is another integration, `aiohttp_client`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from aiohttp import payload, web

from phtrack import _guard

from . import _http
from ._apps import once
from ._http import HttpOptions, RequestFacts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from phtrack.contexts import carry

    Undo = Callable[[], None]
    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SOURCE = "aiohttp.middleware"
KEY: Any = web.RequestKey("phtrack.exchange", object) if hasattr(web, "RequestKey") else "phtrack.exchange"
"""Where a request holds its `_Exchange`."""


def install(
    app: web.Application,
    *,
    request_filter: Callable[[web.Request], Any] | None = None,
    extra_properties: Callable[[web.Request], Any] | None = None,
    capture_exceptions: bool | None = True,
    **http: Any,
) -> Undo:
    """
    Report errors of *app*, and return a function that stops it. Installing again changes nothing.

    Args:
        request_filter: `f(request) -> bool`; False leaves a request alone.
        extra_properties: `f(request) -> dict`; merged over the request's tags.
        capture_exceptions: False: only the context. None: as the client's `enable_exception_autocapture` says.
        http: Fields of `HttpOptions`: `client`, `capture_body`, `capture_tracing_headers`, `headers`, `trusted_proxies`.

    Raises:
        RuntimeError: the application runs already.
    """
    there = next((one for one in app.middlewares if isinstance(one, _Middleware) and one.active), None)
    if there is not None:
        return there.undo
    if app.pre_frozen:
        raise RuntimeError("phtrack can't be installed on an aiohttp application that runs already")
    options = HttpOptions(capture_exceptions=capture_exceptions, **http)
    middleware = _Middleware(app, options, request_filter, extra_properties)
    app.middlewares.insert(0, middleware)
    app.on_response_prepare.append(_note_status)
    return middleware.undo


@once
def install_auto() -> Undo:
    """Install on every application when it starts, sub-applications too; the undo takes all of it back."""
    freeze = web.Application.pre_freeze
    undos: list[Undo] = []

    @wraps(freeze)
    def pre_freeze(self: web.Application) -> None:
        with _guard.shield("installing on an aiohttp application"):
            if not self.pre_frozen and not any(isinstance(one, _Middleware) for one in self.middlewares):
                undos.append(install(self))
        freeze(self)

    def undo() -> None:
        if web.Application.pre_freeze is pre_freeze:
            web.Application.pre_freeze = freeze  # type: ignore[method-assign]
        while undos:
            undos.pop()()

    web.Application.pre_freeze = pre_freeze  # type: ignore[method-assign]
    return undo


class _Exchange:
    """What is known of one request while it runs."""

    __slots__ = ("status",)

    def __init__(self) -> None:
        self.status: int | None = None
        """The status of the response that has begun."""


async def _note_status(request: web.Request, response: web.StreamResponse) -> None:
    exchange = request.get(KEY)
    if exchange is not None:
        exchange.status = response.status


class _Middleware:
    """The first middleware of an application."""

    __middleware_version__ = 1  # as `aiohttp.web.middleware` marks functions
    active = True

    def __init__(
        self,
        app: web.Application,
        options: HttpOptions,
        request_filter: Callable[[web.Request], Any] | None,
        extra_properties: Callable[[web.Request], Any] | None,
    ) -> None:
        self._app = app
        self._options = options
        self._filter = request_filter
        self._extra = extra_properties

    def undo(self) -> None:
        """Take it away; from an application that runs, only its effect."""
        if self.active:
            self.active = False
            if not self._app.pre_frozen:
                self._app.middlewares.remove(self)
                self._app.on_response_prepare.remove(_note_status)

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Run *handler* in the request's context."""
        __tracebackhide__ = True
        # A sub-application's request is the one of the application around it.
        if not self.active or KEY in request or not self._wanted(request):
            return await handler(request)
        request[KEY] = _Exchange()
        extra = None if self._extra is None else _http.answer_of("extra_properties", self._extra, request)
        context = _http.open_request(facts(request), self._options, extra=extra if isinstance(extra, Mapping) else None)
        with context:
            try:
                response = await handler(request)
            except web.HTTPException:
                raise
            except Exception as error:
                self._failed(error, request)
                raise
        if isinstance(response, web.Response) and isinstance(response.body, payload.Payload):
            self._watch_body(response, request, context)
        return response

    def _wanted(self, request: web.Request) -> bool:
        return self._filter is None or _http.answer_of("request_filter", self._filter, request) is not False

    def _watch_body(self, response: web.Response, request: web.Request, context: carry) -> None:
        """A body that is read or made while it is sent: that happens when the handler and all middleware are long done."""
        write = response.write_eof

        async def write_eof(data: bytes = b"") -> None:
            __tracebackhide__ = True
            with context:
                try:
                    await write(data)
                except Exception as error:
                    self._failed(error, request)
                    raise

        response.write_eof = write_eof  # type: ignore[method-assign]

    def _failed(self, error: Exception, request: web.Request) -> None:
        with _guard.shield("capturing what left an aiohttp handler"):
            if _is_disconnect(error, request) or not _http.captures(self._options):
                return
            if self._options.capture_body:
                _note_body(request)
            # aiohttp answers a handler that timed out with 504.
            status = request[KEY].status or (504 if isinstance(error, TimeoutErrors) else 500)
            _http.capture(error, self._options, source=SOURCE, status=status, route=route_of(request))


def _timeout_errors() -> tuple[type[Exception], ...]:
    import asyncio

    return (TimeoutError, asyncio.TimeoutError)  # two classes before Python 3.11


TimeoutErrors = _timeout_errors()


def _is_disconnect(error: Exception, request: web.Request) -> bool:
    """True for an error of the connection when the client is gone, and for a body that the client broke off."""
    if isinstance(error, web.RequestPayloadError):
        return True
    transport = request.transport
    return isinstance(error, ConnectionError) and (transport is None or transport.is_closing())


def facts(request: web.Request) -> RequestFacts:
    """The facts of a request."""
    path = request.path
    return RequestFacts(
        method=request.method,
        url=f"{request.scheme}://{request.host}{path}",
        path=path,
        route=route_of(request),
        get_header=request.headers.get,
        peer=request.remote,
    )


def route_of(request: web.Request) -> str | None:
    """The pattern of the resource that was found, with the prefixes of sub-applications; None if there is none."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else None


def _note_body(request: web.Request) -> None:
    """What the application has read: aiohttp keeps the bytes, and the fields of uploads."""
    if isinstance(request._read_bytes, bytes):
        _http.note_raw_body(request._read_bytes, request.headers.get("content-type"))
    elif request._post is not None:
        _http.note_body(form=request._post)
