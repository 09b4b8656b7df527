"""
Any WSGI application: middleware that knows whose request it is, and captures what escapes.

    app = PosthogWSGIMiddleware(app)

An application without a framework is an ordinary function, and its server may be any: there is nothing whose import could turn
this on by itself, so it has no automatic form, and the line above is needed.

The frameworks that speak WSGI (`flask`, `bottle`, ...) build on the same class and only add what they know better: the route,
and which errors they answer. What an application hands to the server as the reason of an error page (`exc_info` of
`start_response`) is an error like one that escapes. The input is never read, and what the application answers passes
unchanged: bodies are wrapped only if iterating over them runs code of the application.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from phtrack import _guard

from . import _http
from ._http import HttpOptions, RequestFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from phtrack import Client
    from phtrack.contexts import carry

    Environ = dict[str, Any]
    StartResponse = Callable[..., Any]
    App = Callable[[Environ, StartResponse], Iterable[bytes]]

KEY = "phtrack.exchange"
"""Where the environ of a request holds its `Exchange`, while code of the application runs for it."""

_DISCONNECTS = frozenset(
    (
        "werkzeug.exceptions.ClientDisconnected",
        "gunicorn.http.errors.NoMoreData",
        "gunicorn.http.errors.ChunkMissingTerminator",
        "waitress.channel.ClientDisconnected",
    )
)
"""Exceptions that say that the client went away. Known by name: the servers need not be there."""

_SERVERS = ("gunicorn.http.", "cheroot.", "eventlet.wsgi")
"""Modules of servers that read from the connection when the application reads the body."""


class Exchange:
    """What is known of one request while it runs."""

    __slots__ = ("error", "gone", "off", "request", "route", "sent", "status_line")

    def __init__(self) -> None:
        self.status_line: Any = None
        """The status that the application has decided on, as it says it."""
        self.sent = False
        """True once the status is on its way; before that, the server can still answer an error with a 500."""
        self.route: Any = None
        """The route's pattern, once it is known."""
        self.request: Any = None
        """The framework's own object of the request, where it is needed later."""
        self.gone: BaseException | None = None
        """What the server raised when the application wrote to it: the client went away."""
        self.error: BaseException | None = None
        """What the framework says that it is about to answer; with which status, is seen when the response begins."""
        self.off = False
        """True if the application wants this request left alone."""

    @property
    def status(self) -> int | None:
        """The status that the application has decided on."""
        try:
            return int(self.status_line[:3])
        except (TypeError, ValueError):
            return None


class PosthogWSGIMiddleware:
    """
    A context around each request, and one event for what escapes from it, or from its body.

    Args:
        client: Captures; default the default client, looked up at each error.
        capture_exceptions: False: only the context. None: as the client's `enable_exception_autocapture` says.
        request_filter: `f(environ) -> bool`; False leaves a request alone.
        extra_properties: `f(environ) -> dict`; merged over the built-in tags.
        trust_tracing_headers: The older name of *capture_tracing_headers*.
        capture_tracing_headers: Read PostHog's distinct id and session id headers; default True.
        http: Further fields of `HttpOptions`: `headers`, `trusted_proxies`, `prefer_authenticated_user`.

    The logged-in user is `REMOTE_USER`, which a server sets that has checked who it is.
    """

    source = "wsgi.middleware"
    fresh = False
    """True cuts what surrounds the application."""
    active = True
    """False, after an undo that could not take it out of the way: it only passes on."""

    def __init__(
        self,
        app: App,
        client: Client | None = None,
        capture_exceptions: bool | None = None,
        request_filter: Callable[[Environ], Any] | None = None,
        extra_properties: Callable[[Environ], Any] | None = None,
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

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Run the application with the request's context around it."""
        __tracebackhide__ = True
        outer: Exchange | None = environ.get(KEY)
        if not self.active:
            return self.app(environ, start_response)
        if not self._wanted(environ):
            if outer is not None:
                outer.off = True
                _http.forget_request()
            return self.app(environ, start_response)
        exchange = Exchange()
        if outer is not None:
            self._overrule(outer, environ)
            exchange.off = outer.off  # a framework that is inside captures by what it finds here
        # Middleware inside of middleware: one request has one context, so that what is set inside is seen outside.
        inside = _Inside(self, environ, exchange, None if outer is not None else self._context(environ, exchange))

        def start(status: str, headers: Any, *exc_info: Any, **named: Any) -> Any:
            exchange.status_line = status
            if exchange.error is not None or exc_info:
                with _guard.shield("looking at a WSGI response"):
                    self._answers(environ, exchange, exc_info)
            return _noting(start_response(status, headers, *exc_info, **named), exchange)

        with inside:
            body = self.app(environ, start)
        return body if _is_data(body, environ) else (_SizedBody if _has_length(body) else _Body)(body, inside)

    def _wanted(self, environ: Environ) -> bool:
        return self._filter is None or _http.answer_of("request_filter", self._filter, environ) is not False

    def _overrule(self, outer: Exchange, environ: Environ) -> None:
        """What is put in by hand has the last word over what stands around it, which may have been put in by itself."""
        if self.options.capture_exceptions is False:
            outer.off = True
        if not self.options.capture_tracing_headers:
            _http.forget_tracing_ids(Facts(environ, self.options).get_header)

    def _context(self, environ: Environ, exchange: Exchange) -> carry:
        extra = None if self._extra is None else _http.answer_of("extra_properties", self._extra, environ)
        return _http.open_request(
            Facts(environ, self.options, exchange),
            self.options,
            user_id=environ.get("REMOTE_USER"),
            extra=extra if isinstance(extra, Mapping) else None,
            fresh=self.fresh,
        )

    def _answers(self, environ: Environ, exchange: Exchange, exc_info: Any) -> None:
        """The response begins: capture what a server error is the answer to."""
        told = exc_info[0] if exc_info else None
        error, exchange.error = exchange.error or (told[1] if told else None), None
        if isinstance(error, Exception) and (exchange.status or 0) >= 500:
            self.answered(error, environ, exchange)

    def answered(self, error: Exception, environ: Environ, exchange: Exchange) -> None:
        """Capture what the application or its framework answers with a server error."""
        self.capture(error, environ, exchange, status=exchange.status)

    def capture(
        self,
        error: Exception,
        environ: Environ,
        exchange: Exchange,
        *,
        status: int | None,
        handled: bool = False,
        source: str | None = None,
    ) -> None:
        """Capture *error*, unless it only says that the client went away."""
        if exchange.off or error is exchange.gone or is_disconnect(error) or not _http.captures(self.options):
            return
        if self.options.capture_body:
            self.note_body(environ)
        _http.capture(
            error, self.options, source=source or self.source, handled=handled, status=status, route=exchange.route
        )

    def note_body(self, environ: Environ) -> None:
        """Note what the application has read of the body; of a plain one, that is not known."""


class _Inside:
    """A stretch of a request's code: inside of its context, and what escapes is captured."""

    __slots__ = ("_context", "_environ", "_exchange", "_middleware", "_outer")

    def __init__(
        self, middleware: PosthogWSGIMiddleware, environ: Environ, exchange: Exchange, context: carry | None
    ) -> None:
        self._middleware = middleware
        self._environ = environ
        self._exchange = exchange
        self._context = context

    def __enter__(self) -> None:
        self._outer = self._environ.get(KEY)
        self._environ[KEY] = self._exchange
        if self._context is not None:
            self._context.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, tb: Any) -> None:
        try:
            # The end of a body is raised too.
            if isinstance(error, Exception) and kind is not StopIteration:
                exchange = self._exchange
                with _guard.shield("capturing what left a WSGI application"):
                    status = exchange.status if exchange.sent else 500
                    self._middleware.capture(error, self._environ, exchange, status=status)
        finally:
            if self._outer is None:
                self._environ.pop(KEY, None)
            else:
                self._environ[KEY] = self._outer
            if self._context is not None:
                self._context.__exit__(kind, error, tb)

    def begun(self) -> None:
        """The first bytes are out, and the status with them."""
        self._exchange.sent = True


class _Body:
    """A body whose chunks are made by the application: each is made inside of the request's context."""

    __slots__ = ("_body", "_inside", "_iterator")

    def __init__(self, body: Iterable[bytes], inside: _Inside) -> None:
        self._body = body
        self._inside = inside
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        __tracebackhide__ = True
        with self._inside:
            if self._iterator is None:
                self._iterator = iter(self._body)
            chunk = next(self._iterator)
        if chunk:
            self._inside.begun()
        return chunk

    def close(self) -> None:
        """As the server asks for when it is done, or the client gone."""
        __tracebackhide__ = True
        close = getattr(self._body, "close", None)
        if close is not None:
            with self._inside:
                close()


class _SizedBody(_Body):
    """Servers set `Content-Length` for a body of one chunk."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type]


def _is_data(body: Any, environ: Environ) -> bool:
    """True for a body that is there already, or a file that the server reads in its own way."""
    if isinstance(body, (list, tuple, bytes)) or hasattr(type(body), "read"):
        return True
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


def _has_length(body: Any) -> bool:
    return hasattr(type(body), "__len__")


def _noting(write: Any, exchange: Exchange) -> Any:
    """The server's `write`, whose errors are the client's doing."""
    if not callable(write):
        return write

    def noting(data: bytes) -> Any:
        __tracebackhide__ = True
        exchange.sent = exchange.sent or bool(data)
        try:
            return write(data)
        except Exception as error:
            exchange.gone = error
            raise

    return noting


def is_disconnect(error: BaseException) -> bool:
    """True for an exception that only says that the client went away."""
    if any(f"{kind.__module__}.{kind.__qualname__}" in _DISCONNECTS for kind in type(error).__mro__):
        return True
    return isinstance(error, OSError) and _comes_from_server(error)


def _comes_from_server(error: OSError) -> bool:
    """True for an error of the connection that the application met when it read the body, which is the server's code."""
    tb = error.__traceback__
    while tb is not None:
        if str(tb.tb_frame.f_globals.get("__name__")).startswith(_SERVERS):
            return True
        tb = tb.tb_next
    return False


class Facts(RequestFacts):
    """
    The facts of a WSGI request.

    What is needed is taken at once and made into text when an event asks for it: applications change their environ, and the facts
    must not keep it alive.
    """

    lasting = True

    def __init__(self, environ: Environ, options: HttpOptions, exchange: Exchange | None = None) -> None:
        keys = (*_TAKEN, *map(_key, options.headers)) if options.headers else _TAKEN
        self._taken = {key: environ[key] for key in keys if key in environ}
        self.route = None if exchange is None else partial(getattr, exchange, "route")

    def get_header(self, name: str) -> Any:
        """Of those that are needed."""
        return self._taken.get(_key(name))

    def tags(self, options: HttpOptions) -> dict[str, Any]:
        """The request as properties."""
        taken = self._taken
        self.method = taken.get("REQUEST_METHOD")
        self.path = _text(taken.get("PATH_INFO"))
        self.url = _url(taken, self.path)
        self.peer = taken.get("REMOTE_ADDR")
        return super().tags(options)


_TAKEN = (
    "HTTP_HOST",
    "HTTP_USER_AGENT",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_POSTHOG_DISTINCT_ID",
    "HTTP_X_POSTHOG_SESSION_ID",
    "PATH_INFO",
    "REMOTE_ADDR",
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "SERVER_NAME",
    "SERVER_PORT",
    "wsgi.url_scheme",
)


@lru_cache(128)
def _key(name: str) -> str:
    """Where the environ has a header."""
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def _text(path: Any) -> Any:
    """A path as people read it: WSGI carries UTF-8 in latin-1's clothes."""
    if not isinstance(path, str) or path.isascii():
        return path
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


def _url(environ: Environ, path: Any) -> str | None:
    """Scheme, host, mount and path; None where the environ doesn't say."""
    host = environ.get("HTTP_HOST")
    scheme = environ.get("wsgi.url_scheme", "http")
    if not host:
        host, port = environ.get("SERVER_NAME"), environ.get("SERVER_PORT")
        if not host:
            return None
        if port and port != ("443" if scheme == "https" else "80"):
            host = f"{host}:{port}"
    return f"{scheme}://{host}{_text(environ.get('SCRIPT_NAME')) or ''}{path or ''}"
