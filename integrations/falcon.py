"""
Falcon: one event for what no error handler of the application answers, and one that says `handled` for an error that a handler
answers with a server error; for streamed bodies too.

    install(app) -> undo            install_auto() -> undo, for every application

Falcon tells us of errors (`set_error_reporter`, before Falcon 4.4 its handler of last resort), and a middleware of ours tells
the route. Here are WSGI applications; `install` takes ASGI ones too, which `falcon_asgi` is about.
"""

from __future__ import annotations

import json
from functools import wraps
from typing import TYPE_CHECKING, Any

import falcon

from . import _http, wsgi
from ._apps import once
from ._falcon import SOURCE, Calls, Flavour, around, install_on, install_on_all, is_handled

if TYPE_CHECKING:
    from collections.abc import Callable

    Undo = Callable[[], None]


def install(app: Any, *, capture_exceptions: bool | None = True, **options: Any) -> Undo:
    """
    Report errors of *app*, a `falcon.App` or `falcon.asgi.App`, and return a function that stops it. Installing again changes
    nothing.

    Args:
        options: As for `PosthogWSGIMiddleware` or `PosthogASGIMiddleware`; `capture_body` tells media that the app has read.

    Falcon has room for one error reporter: an application that sets one should do so before.
    """
    if any(kind.__module__.startswith("falcon.asgi") for kind in type(app).__mro__):
        from . import falcon_asgi

        return falcon_asgi.install(app, capture_exceptions=capture_exceptions, **options)
    return install_on(app, FLAVOUR, capture_exceptions=capture_exceptions, **options)


@once
def install_auto() -> Undo:
    """Install on every WSGI application when it is first called; the undo takes all of it back."""
    return install_on_all(FLAVOUR)


def _call(calls: Calls) -> Any:
    @wraps(calls.original)
    def call(self: Any, env: Any, start_response: Any) -> Any:
        __tracebackhide__ = True
        serve = around(self, calls)
        return calls.original(self, env, start_response) if serve is None else serve(env, start_response)

    return call


class Around(wsgi.PosthogWSGIMiddleware):
    """A whole application with its middleware."""

    def __init__(self, call: Any, falcon_app: Any, **options: Any) -> None:
        super().__init__(call, **options)
        self.falcon_app = falcon_app

    def exchange(self, req: Any) -> wsgi.Exchange | None:
        """What is known of the request."""
        return req.env.get(wsgi.KEY)  # type: ignore[no-any-return]

    def note(self, req: Any, exchange: wsgi.Exchange, error: Exception) -> None:
        """Falcon is about to answer *error*."""
        if self.options.capture_body:
            _note_media(req)
        exchange.error = error

    def answered(self, error: Exception, environ: Any, exchange: wsgi.Exchange) -> None:
        """Capture what a handler answers with a server error."""
        handled = is_handled(self.falcon_app, error)
        self.capture(error, environ, exchange, status=exchange.status, handled=handled, source=SOURCE)


class Middleware:
    """Tells the route of a request."""

    def __init__(self, around: Any) -> None:
        self._around = around

    def process_resource(self, req: Any, resp: Any, resource: Any, params: Any) -> None:
        """Falcon knows the route."""
        exchange = self._around.exchange(req)
        if exchange is not None:
            exchange.route = req.uri_template
            _http.tell_route(req.uri_template)


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


FLAVOUR = Flavour(falcon.App, _call, Around, Middleware)
