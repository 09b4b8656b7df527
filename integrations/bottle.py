"""
Bottle: one event for what Bottle answers with its error page, in views, hooks, plugins and the first chunk of a body; and for
errors in later chunks.

    install(app) -> undo            install_auto() -> undo, for every application

A plugin of its own tells the route. Bottle has no handlers for exceptions: what the application's plugins answer is their
decision, and HTTP answers that are raised are answers.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from bottle import Bottle, HTTPError, request

from phtrack import _guard

from . import _http
from ._apps import each_app, once
from .wsgi import KEY, PosthogWSGIMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable

    from .wsgi import Exchange

    Undo = Callable[[], None]

SOURCE = "bottle.wsgi"


def install(app: Bottle, *, capture_exceptions: bool | None = True, **options: Any) -> Undo:
    """
    Report errors of *app*, and return a function that stops it. Installing again changes nothing.

    Args:
        options: As for `PosthogWSGIMiddleware`; `capture_body` tells forms and JSON that the application has read.
    """
    there = _undo_of(app)
    if there is not None:
        return there
    middleware = _Watched(app.wsgi, capture_exceptions=capture_exceptions, **options)
    cast = app._cast

    def cast_watched(out: Any, *more: Any, **named: Any) -> Any:
        with _guard.shield("looking at a Bottle error page"):
            _note(out)
        return cast(out, *more, **named)

    # Bottle refuses to set an attribute twice, so that plugins notice each other; we clean up behind us.
    ours = {"wsgi": middleware, "_cast": cast_watched}
    before = {name: app.__dict__[name] for name in ours if name in app.__dict__}
    plugin = _RoutePlugin()

    def undo() -> None:
        if _undo_of(app) is not undo:
            return
        app.uninstall(plugin)
        middleware.active = False
        for name, value in ours.items():
            if app.__dict__.get(name) is value:
                del app.__dict__[name]
        app.__dict__.update(before)

    plugin.undo = undo
    app.__dict__.update(ours)
    app.plugins.insert(0, plugin)  # outside of all others, so that they see the route in the context
    app.reset()
    return undo


@once
def install_auto() -> Undo:
    """Install on every application when it is first called; the undo takes all of it back."""
    return each_app(Bottle, lambda app: _undo_of(app) is not None, install)


class _RoutePlugin:
    """Tells the route's pattern, and stands for the installation in `app.plugins`."""

    name = "phtrack"
    api = 2
    undo: Undo

    def apply(self, callback: Any, route: Any) -> Any:
        """Around each route's callback."""
        rule = route.rule

        def told(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            exchange = request.environ.get(KEY)
            if exchange is not None:
                exchange.route = rule
                _http.tell_route(rule)
            return callback(*args, **kwargs)

        return told


def _undo_of(app: Bottle) -> Undo | None:
    return next((plugin.undo for plugin in app.plugins if type(plugin) is _RoutePlugin), None)


def _note(out: Any) -> None:
    """Remember what an error page is for."""
    exchange = request.environ.get(KEY)
    if exchange is not None and isinstance(out, HTTPError) and isinstance(out.exception, Exception):
        exchange.error = out.exception


class _Watched(PosthogWSGIMiddleware):
    """An application; knows the route that Bottle took."""

    def answered(self, error: Exception, environ: dict[str, Any], exchange: Exchange) -> None:
        """Capture what an error page is for."""
        self.capture(error, environ, exchange, status=exchange.status, source=SOURCE)

    def capture(self, error: Exception, environ: dict[str, Any], exchange: Exchange, **about: Any) -> None:
        """Capture *error* with its route."""
        exchange.route = getattr(environ.get("bottle.route"), "rule", None)
        super().capture(error, environ, exchange, **about)

    def note_body(self, environ: dict[str, Any]) -> None:
        """What the application has asked Bottle for: Bottle keeps the bytes, and fields of uploads."""
        raw, post = environ.get("bottle.request.body"), environ.get("bottle.request.post")
        if post is not None and str(environ.get("CONTENT_TYPE")).startswith("multipart/"):
            _http.note_body(form=post)
        elif isinstance(raw, io.BytesIO):
            _http.note_raw_body(raw.getvalue(), environ.get("CONTENT_TYPE"))
