"""
Any ASGI application: middleware that knows whose request it is, and captures what escapes.

    app = PosthogASGIMiddleware(app)

Without a framework nothing can turn this on by itself; the line above is needed.

The frameworks that speak ASGI (`starlette`, `quart`, ...) build on the same class and only add what they know better: the
route, and where errors turn into responses. Bodies are never read, and messages pass unchanged. Rules: wire contract,
context-and-headers.md §5.
"""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import phtrack
from phtrack import _guard

from . import _http
from ._http import HttpOptions, RequestFacts, clean_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from phtrack import Client

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

KEY = "phtrack"
"""Where the scope of a request holds its `Exchange`."""

_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}

_DISCONNECTS = frozenset(
    (
        "starlette.requests.ClientDisconnect",
        "starlette.websockets.WebSocketDisconnect",
        "litestar.exceptions.websocket_exceptions.WebSocketDisconnect",
        "uvicorn.protocols.utils.ClientDisconnected",
    )
)
"""Exceptions that say that the client went away. Known by name: the frameworks need not be there."""


class Exchange:
    """What is known of one request while it runs, and the way of its errors."""

    __slots__ = ("_body", "content_type", "error", "find_route", "off", "options", "route", "status")

    def __init__(self, options: HttpOptions) -> None:
        self.options = options
        self.find_route: Callable[[], str | None] | None = None
        """Knows the route as far as the framework has come; only while the request runs, since it holds the scope."""
        self.status: int | None = None
        """The status that went out, once the response has begun."""
        self.error: Exception | None = None
        """What the framework told us that it is about to answer; what it answers is seen when the response begins."""
        self.route: str | None = None
        """The route's pattern, where the framework told it with the error."""
        self.content_type: bytes | None = None
        self.off = False
        """True if middleware further in says that nothing of this request is captured."""
        self._body: bytearray | None = None

    def route_now(self) -> str | None:
        """The route's pattern, where it is known by now."""
        return self.route if self.route is not None or self.find_route is None else self.find_route()

    def listen(self, receive: Receive) -> Receive:
        """*receive* that remembers what the application reads of the body; what it doesn't read is never asked for."""
        body = self._body = bytearray()

        async def receive_and_remember() -> Message:
            message = await receive()
            if message["type"] == "http.request" and len(body) <= _http.MAX_BODY:
                body.extend(message.get("body", b"")[: _http.MAX_BODY + 1])
            return message

        return receive_and_remember

    def capture(self, error: BaseException, **about: Any) -> None:
        """Capture *error* of this request; *about* as in `_http.capture`."""
        if self.off:
            return
        if self._body:
            _http.note_raw_body(bytes(self._body), self.content_type)
            self._body = None
        _http.capture(error, self.options, **about)


class PosthogASGIMiddleware:
    """
    A context around each HTTP request and websocket, and one event for what escapes from it.

    Args:
        client: Captures; default the default client, looked up at each error.
        capture_exceptions: False: only the context. None: as the client's `enable_exception_autocapture` says.
        request_filter: `f(scope) -> bool`, may be async; False leaves a request alone.
        extra_properties: `f(scope) -> dict`, may be async; merged over the built-in tags.
        trust_tracing_headers: The older name of *capture_tracing_headers*.
        capture_tracing_headers: Read PostHog's distinct id and session id headers; default True.
        http: Further fields of `HttpOptions`: `headers`, `trusted_proxies`.
    """

    source = "asgi.middleware"

    def __init__(
        self,
        app: App,
        client: Client | None = None,
        capture_exceptions: bool | None = None,
        request_filter: Callable[[Scope], Any] | None = None,
        extra_properties: Callable[[Scope], Any] | None = None,
        trust_tracing_headers: bool | None = None,
        *,
        capture_tracing_headers: bool | None = None,
        **http: Any,
    ) -> None:
        self.app = app
        self.options = HttpOptions(
            client=client,
            capture_exceptions=capture_exceptions,
            capture_tracing_headers=_http.headers_wanted(capture_tracing_headers, trust_tracing_headers),
            **http,
        )
        self._filter = request_filter
        self._extra = extra_properties

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with the request's context around it."""
        __tracebackhide__ = True
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        outer: Exchange | None = scope.get(KEY)
        if not await self._wanted(scope):
            if outer is not None:
                outer.off = True
                _http.forget_request()
            await self.app(scope, receive, send)
            return
        extra = None if self._extra is None else await _answer("extra_properties", self._extra, scope)
        exchange = Exchange(self.options)
        inside_ours = outer is not None
        scope[KEY] = exchange
        exchange.find_route = partial(self.route, scope)
        about = facts(scope)
        about.route = exchange.route_now
        if outer is not None:
            self._overrule(outer, about)
        if self.options.capture_body:
            exchange.content_type = about.get_header("content-type")
            receive = exchange.listen(receive)

        def note_status(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                exchange.status = message.get("status")
                if exchange.error is not None:
                    self._answered(exchange, scope)
            return send(message)

        # Middleware inside of middleware: one request has one context, so that what is set inside is seen outside.
        with (
            nullcontext()
            if inside_ours
            else phtrack.new_context(capture_exceptions=False, client=self.options.client, shared=True)
        ):
            if not inside_ours:
                _http.enter_request(about, self.options, extra=extra if isinstance(extra, dict) else None)
            elif isinstance(extra, dict):
                _http.tell(extra)
            try:
                await self.app(scope, receive, note_status)
            except Exception as error:
                with _guard.shield("capturing what left an ASGI application"):
                    self.escaped(error, scope, exchange)
                raise
            finally:
                exchange.find_route = None

    def _overrule(self, outer: Exchange, about: RequestFacts) -> None:
        """What is put in by hand has the last word over what stands around it, which may have been put in by `install_auto`."""
        if self.options.capture_exceptions is False:
            outer.off = True
        if not self.options.capture_tracing_headers and outer.options.capture_tracing_headers:
            _http.forget_tracing_ids(about.get_header)

    def escaped(self, error: Exception, scope: Scope, exchange: Exchange) -> None:
        """Capture what left the application."""
        if is_disconnect(error) or not self.captures():
            return
        if exchange.status is not None:
            error = lone(error)  # streams are sent in a task group by many frameworks
        status = exchange.status if scope["type"] == "websocket" else exchange.status or 500
        exchange.capture(error, source=self.source, status=status, route=self.route(scope))

    def answered(self, error: Exception, scope: Scope, exchange: Exchange) -> None:
        """Capture what the framework answers; called once the status is known. Plain ASGI is never told of it."""

    def _answered(self, exchange: Exchange, scope: Scope) -> None:
        error, exchange.error = exchange.error, None
        with _guard.shield("capturing what a framework answered"):
            if error is not None and not is_disconnect(error) and self.captures():
                self.answered(error, scope, exchange)

    def captures(self) -> bool:
        """True if what escapes is to be captured."""
        return _http.captures(self.options)

    def route(self, scope: Scope) -> str | None:
        """The route's pattern; plain ASGI knows of none."""
        return None

    async def _wanted(self, scope: Scope) -> bool:
        return self._filter is None or await _answer("request_filter", self._filter, scope) is not False


async def _answer(what: str, ask: Callable[[Scope], Any], scope: Scope) -> Any:
    """What a user's callback says; None if it raises, which is said in the log and nowhere else."""
    try:
        answer = ask(scope)
        return await answer if inspect.isawaitable(answer) else answer
    except Exception as error:
        _guard.say("warning", "%s raised %s; the request goes on without it", what, type(error).__name__, every=60)
        return None


def is_disconnect(error: BaseException) -> bool:
    """True for an exception that only says that the client went away, alone or as all of a group."""
    members = getattr(error, "exceptions", None)
    if isinstance(members, tuple) and members:
        return all(is_disconnect(member) for member in members if isinstance(member, BaseException))
    return any(f"{kind.__module__}.{kind.__qualname__}" in _DISCONNECTS for kind in type(error).__mro__)


def lone(error: Exception) -> Exception:
    """The only member of an exception group that a framework's task group made of one error; else *error* itself."""
    members = getattr(error, "exceptions", None)
    if isinstance(members, tuple) and len(members) == 1 and isinstance(members[0], Exception):
        return members[0]
    return error


def facts(scope: Scope) -> RequestFacts:
    """The facts of an HTTP or websocket scope, as it is now: routers change it on the way."""
    headers = scope.get("headers") or ()

    def get_header(name: str) -> bytes | None:
        wanted = name.encode()
        for key, value in headers:
            if key == wanted and clean_text(value):
                return value  # type: ignore[no-any-return]
        return None

    path, kind, scheme = scope.get("path"), scope["type"], scope.get("scheme")
    client, server = scope.get("client"), scope.get("server")
    return RequestFacts(
        method=scope.get("method"),
        url=lambda: _url(kind, scheme, get_header("host"), server, path),
        path=path,
        get_header=get_header,
        peer=client[0] if client else None,
        lasting=True,
    )


def _url(kind: str, scheme: str | None, host_header: bytes | None, server: Any, path: Any) -> str | None:
    """Scheme, host and path; None where the scope doesn't say."""
    scheme = scheme or ("ws" if kind == "websocket" else "http")
    host = clean_text(host_header)
    if host is None:
        if not server or not server[0] or server[0].startswith("/"):  # a Unix socket is named by its path
            return None
        name, port = server[0], server[1]
        host = f"[{name}]" if ":" in name else name
        if port is not None and port != _DEFAULT_PORTS.get(scheme):
            host = f"{host}:{port}"
    return f"{scheme}://{host}{path}"
