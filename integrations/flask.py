"""
Flask: one event for what escapes a view, with its route and the request's user; also for errors in the application's WSGI
middleware, in teardown and in streamed bodies, and a fatal one for what escapes a command of `app.cli`.

    PosthogFlaskIntegration(app, client=client)     or, from a factory:     integration.init_app(app)
    install(app) -> undo                            install_auto() -> undo, for every application

Listens to Flask's own signals; around them stands the WSGI middleware, so that the context reaches from the first line of
the application's middleware to the last chunk of a body. Errors that a handler of the application answers are its decision
and no events. Rules: wire contract, context-and-headers.md §6.
"""

from __future__ import annotations

from collections.abc import Mapping
from logging import getLogger
from typing import TYPE_CHECKING, Any

import click
from flask import Flask, appcontext_pushed, got_request_exception, has_request_context, request, request_started
from flask.cli import ScriptInfo
from flask.globals import request_ctx

import phtrack
from phtrack import _guard

from . import _http
from ._apps import each_app, once
from ._click import watch_commands
from .wsgi import KEY, Exchange, Facts, PosthogWSGIMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import LogRecord

    from flask import Request

    from phtrack import Client

    Undo = Callable[[], None]

SOURCE = "flask.got_request_exception"
_SERVER_LOG = getLogger("werkzeug")


class PosthogFlaskIntegration:
    """
    The extension object; `init_app` may be called for several applications.

    Args:
        client: Captures; default the default client, looked up at each error.
        capture_exceptions: False: only the context. None: as the client's `enable_exception_autocapture` says.
        request_filter: `f(request) -> bool`; False leaves a request alone.
        extra_properties: `f(request) -> dict`; merged over the built-in tags.
        trust_tracing_headers: The older name of *capture_tracing_headers*.
        capture_tracing_headers: Read PostHog's distinct id and session id headers; default True.
        http: Further fields of `HttpOptions`: `capture_body`, `headers`, `trusted_proxies`, `prefer_authenticated_user`.

    Raises:
        RuntimeError: an application that it is on already.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        client: Client | None = None,
        capture_exceptions: bool | None = None,
        request_filter: Callable[[Request], Any] | None = None,
        extra_properties: Callable[[Request], Mapping[str, Any]] | None = None,
        trust_tracing_headers: bool | None = None,
        capture_tracing_headers: bool | None = None,
        **http: Any,
    ) -> None:
        self._options: dict[str, Any] = {
            "client": client,
            "capture_exceptions": capture_exceptions,
            "request_filter": request_filter,
            "extra_properties": extra_properties,
            "capture_tracing_headers": _http.headers_wanted(capture_tracing_headers, trust_tracing_headers),
            **http,
        }
        _Watched(None, **self._options)  # what is wrong with the options shows now, not at the first application
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Report errors of *app*."""
        there = app.extensions.get("phtrack")
        if there is not None and not there.automatic:
            raise RuntimeError(f"phtrack is on this Flask application already: {app.name!r}")
        install(app, **self._options)


class _Installed:
    """What an application remembers in `app.extensions`."""

    def __init__(self, undo: Undo, automatic: bool) -> None:
        self.undo = undo
        self.automatic = automatic
        """True if `install_auto` did it; the application's own words replace that."""


def install(app: Flask, *, capture_exceptions: bool | None = True, **options: Any) -> Undo:
    """
    Report errors of *app*, and return a function that stops it.

    Args:
        options: As for `PosthogFlaskIntegration`.

    Installing again changes nothing and returns the same function. WSGI middleware of the application is best put around
    `app.wsgi_app` before: what stands outside is not seen.
    """
    return _install(app, False, capture_exceptions=capture_exceptions, **options)


@once
def install_auto() -> Undo:
    """Install on every application when it is first called or its commands are loaded; the undo takes all of it back."""

    def put_on(app: Flask) -> Undo:
        return _install(app, True, capture_exceptions=True)

    undo_requests = each_app(Flask, _is_on, put_on)
    load_app = ScriptInfo.load_app
    undos: list[Undo] = []

    def on_context(sender: Flask, **_: Any) -> None:
        with _guard.shield("installing on a Flask command line"):
            appcontext_pushed.disconnect(on_context)
            if not _is_on(sender):
                undos.append(put_on(sender))

    if click.get_current_context(silent=True) is not None:
        # `flask --app shop ...` is loading the application that has called us: the next thing it does with it.
        appcontext_pushed.connect(on_context, weak=False)

    def load_watched(self: ScriptInfo) -> Flask:
        app = load_app(self)
        with _guard.shield("installing on a Flask command line"):
            if not _is_on(app):
                undos.append(put_on(app))
        return app

    def undo() -> None:
        if ScriptInfo.load_app is load_watched:
            ScriptInfo.load_app = load_app  # type: ignore[method-assign]
        appcontext_pushed.disconnect(on_context)
        while undos:
            undos.pop()()
        undo_requests()

    ScriptInfo.load_app = load_watched  # type: ignore[method-assign]
    return undo


def _is_on(app: Flask) -> bool:
    return "phtrack" in app.extensions


def _install(app: Flask, automatic: bool, **options: Any) -> Undo:
    there = app.extensions.get("phtrack")
    if there is not None:
        if automatic or not there.automatic:
            undo_there: Undo = there.undo
            return undo_there
        there.undo()
    before = app.__dict__.get("wsgi_app")
    middleware = _Watched(app.wsgi_app, **options)
    undo_commands = watch_commands(app.cli, middleware.options)

    def on_started(sender: Flask, **_: Any) -> None:
        with _guard.shield("reading a Flask request"):
            middleware.begins()

    def on_error(sender: Flask, exception: BaseException, **_: Any) -> None:
        with _guard.shield("capturing what left a Flask view"):
            middleware.failed(exception)

    def undo() -> None:
        if app.extensions.get("phtrack") is not installed:
            return
        del app.extensions["phtrack"]
        _SERVER_LOG.removeFilter(middleware.mark_told)
        request_started.disconnect(on_started, app)
        got_request_exception.disconnect(on_error, app)
        undo_commands()
        middleware.active = False
        if app.__dict__.get("wsgi_app") is middleware:
            del app.wsgi_app
            if before is not None:
                app.wsgi_app = before  # type: ignore[method-assign]

    _SERVER_LOG.addFilter(middleware.mark_told)
    request_started.connect(on_started, app, weak=False)
    got_request_exception.connect(on_error, app, weak=False)
    app.wsgi_app = middleware  # type: ignore[method-assign]
    installed = app.extensions["phtrack"] = _Installed(undo, automatic)
    return undo


class _Watched(PosthogWSGIMiddleware):
    """An application with its middleware; knows what Flask knows of the request."""

    fresh = True

    def __init__(
        self,
        app: Any,
        *,
        request_filter: Callable[[Request], Any] | None = None,
        extra_properties: Callable[[Request], Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(app, **options)
        # Asked with Flask's request, when it has matched a route, and not with the environ.
        self._request_filter = request_filter
        self._extra_properties = extra_properties

    def begins(self) -> None:
        """Flask knows its request: ask whether it is wanted, and tell the route and who is logged in."""
        flask_request = request._get_current_object()  # type: ignore[attr-defined]
        exchange = flask_request.environ.get(KEY)
        if exchange is None:
            return
        if self._request_filter is not None:
            if _http.answer_of("request_filter", self._request_filter, flask_request) is False:
                exchange.off = True
                _http.forget_request()
                return
        tags: dict[str, Any] = {}
        if flask_request.url_rule is not None:
            exchange.route = flask_request.url_rule.rule
            _http.tell_route(exchange.route)
        if "werkzeug.proxy_fix.orig" in flask_request.environ:  # the addresses are those behind the proxy now
            tags.update(Facts(flask_request.environ, self.options).tags(self.options))
        if self._extra_properties is not None:
            extra = _http.answer_of("extra_properties", self._extra_properties, flask_request)
            tags.update(extra if isinstance(extra, Mapping) else {})
        if tags:
            _http.tell(tags)
        user = _logged_in()
        if user is not None and (self.options.prefer_authenticated_user or phtrack.get_context_distinct_id() is None):
            phtrack.identify_context(user)

    def failed(self, error: BaseException) -> None:
        """Flask is about to answer *error* with its 500."""
        exchange = request.environ.get(KEY) or Exchange()
        if isinstance(error, Exception):
            self.capture(error, request.environ, exchange, status=500, source=SOURCE)

    def mark_told(self, record: LogRecord) -> bool:
        """A filter that lets all pass: Werkzeug's server logs, as text, what has left an application, which we have seen."""
        if str(record.msg).startswith("Error on request:") and _http.captures(self.options):
            phtrack.PosthogLoggingHandler.ignore(record)
        return True

    def note_body(self, environ: dict[str, Any]) -> None:
        """Form fields or JSON, as far as the application has asked Flask for them."""
        if not has_request_context():
            return
        read = vars(request._get_current_object())  # type: ignore[attr-defined]
        form, raw = read.get("form"), read.get("_cached_data")
        if form:
            _http.note_body(form=form)
        elif isinstance(raw, bytes):
            _http.note_raw_body(raw, environ.get("CONTENT_TYPE"))


def _logged_in() -> str | None:
    """
    The user's id that Flask-Login keeps in the session; None without it.

    Reads the session as the plain dict it is: asking Flask for it would mark it as accessed, which changes the response.
    """
    context = request_ctx._get_current_object()  # type: ignore[attr-defined]
    if not hasattr(context.app, "login_manager"):
        return None
    known = vars(context)
    session = known.get("_session", known.get("session"))
    user = dict.get(session, "_user_id") if isinstance(session, dict) else None
    return _http.clean_text(user)
