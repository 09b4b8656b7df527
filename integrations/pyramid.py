"""
Pyramid: one event for what escapes its views, tweens, callbacks and streamed bodies, and one that says `handled` for an error
that an exception view answers with a server error.

    config.include("phtrack.integrations.pyramid")      or      install(app) -> undo, with what `make_wsgi_app()` returns
    install_auto() -> undo, for every application

Goes around the application's execution policy, which is Pyramid's place for what surrounds a request, and listens to its
events for the route. HTTP exceptions that are raised are answers.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from pyramid.events import ApplicationCreated
from pyramid.httpexceptions import HTTPException
from pyramid.interfaces import IContextFound, INewRequest
from pyramid.router import Router

from . import _http
from ._apps import each_app, once
from .wsgi import KEY, Exchange, PosthogWSGIMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Undo = Callable[[], None]

SOURCE = "pyramid.execution_policy"
HANDLED_SOURCE = "pyramid.exception_view"


def includeme(config: Any) -> None:
    """
    `config.include("phtrack.integrations.pyramid")`: install on the application that *config* makes.

    The setting `phtrack`, a dict, holds options of `install`.
    """
    options = dict(config.registry.settings.get("phtrack") or {})
    _Policy(None, None, **options)  # what is wrong with the options shows now
    config.add_subscriber(lambda event: install(event.app, **options), ApplicationCreated)


def install(app: Any, *, capture_exceptions: bool | None = True, **options: Any) -> Undo:
    """
    Report errors of *app*, a `pyramid.router.Router`, and return a function that stops it. Installing again changes nothing.

    Args:
        options: As for `PosthogWSGIMiddleware`; `capture_body` tells forms and JSON that the application has read.
    """
    there = vars(app).get("phtrack")
    if there is not None:
        undo_there: Undo = there
        return undo_there
    before = app.execution_policy
    around = _Policy(before, app, capture_exceptions=capture_exceptions, **options)
    policy = around.as_policy

    def undo() -> None:
        if vars(app).get("phtrack") is not undo:
            return
        del app.phtrack
        around.active = False
        if app.execution_policy == policy:
            app.execution_policy = before
        app.registry.unregisterHandler(_on_request, (INewRequest,))
        app.registry.unregisterHandler(_on_route, (IContextFound,))

    app.registry.registerHandler(_on_request, (INewRequest,))
    app.registry.registerHandler(_on_route, (IContextFound,))
    app.execution_policy = policy
    app.phtrack = undo
    return undo


@once
def install_auto() -> Undo:
    """Install on every application when it is first called; the undo takes all of it back."""
    return each_app(Router, lambda app: "phtrack" in vars(app), install)


def _on_request(event: Any) -> None:
    exchange = event.request.environ.get(KEY)
    if exchange is not None and exchange.request is None:  # a subrequest has an environ of its own
        exchange.request = event.request


def _on_route(event: Any) -> None:
    exchange = event.request.environ.get(KEY)
    route = getattr(event.request, "matched_route", None)
    if exchange is not None and route is not None:
        exchange.route = route.pattern
        _http.tell_route(route.pattern)


class _Policy(PosthogWSGIMiddleware):
    """
    An execution policy around another one.

    Pyramid asks its policy for a response, which it calls as a WSGI application right away. This one answers with an application
    that does both, so that the body is inside of the request's context as well.
    """

    source = SOURCE

    def __init__(self, policy: Any, router: Any, **options: Any) -> None:
        super().__init__(self._respond, **options)
        self._policy = policy
        self._router = router

    def as_policy(self, environ: Any, router: Any) -> Any:
        """What goes in the policy's place."""
        return self

    def _respond(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        __tracebackhide__ = True
        response = self._policy(environ, self._router)
        exchange = environ.get(KEY)
        if exchange is not None:
            # Pyramid keeps what an exception view has answered.
            error = getattr(exchange.request, "exception", None)
            exchange.request = None
            exchange.error = error if not isinstance(error, HTTPException) else None
        answer: Iterable[bytes] = response(environ, start_response)
        return answer

    def answered(self, error: Exception, environ: Any, exchange: Exchange) -> None:
        """Capture what an exception view answers with a server error."""
        self.capture(error, environ, exchange, status=exchange.status, handled=True, source=HANDLED_SOURCE)

    def note_body(self, environ: Any) -> None:
        """What the application has asked WebOb for: it keeps the bytes, and the fields of uploads."""
        raw = environ.get("wsgi.input")
        fields = environ.get("webob._parsed_post_vars")
        if fields and str(environ.get("CONTENT_TYPE")).startswith("multipart/"):
            _http.note_body(form=fields[0])
        elif environ.get("webob.is_body_seekable") and isinstance(raw, BytesIO):
            _http.note_raw_body(raw.getvalue(), environ.get("CONTENT_TYPE"))
