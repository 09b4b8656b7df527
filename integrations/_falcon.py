"""
What Falcon's two kinds of applications share: how they are watched while something is installed, and how they tell of errors.

Applications have no place for what surrounds a request, nor attributes besides Falcon's own, so that `App.__call__` is watched,
and an application holds what is installed on it among its error handlers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, wraps
from threading import Lock
from typing import TYPE_CHECKING, Any

import falcon

from phtrack import _guard

if TYPE_CHECKING:
    from collections.abc import Callable

    Undo = Callable[[], None]

SOURCE = "falcon.error_handler"

_ANSWERS = (falcon.HTTPError, falcon.HTTPStatus, falcon.WebSocketDisconnected)
"""What is raised in the normal course of things."""


@dataclass(frozen=True)
class Flavour:
    """What is different between WSGI and ASGI."""

    kind: Any
    """Falcon's class of applications."""
    call: Callable[[Calls], Any]
    """Makes the watched `__call__`."""
    around: Callable[..., Any]
    """`(call, app, **options)` -> what goes around a request: a middleware with `exchange(req)` and `note(req, error)`."""
    middleware: Callable[[Any], Any]
    """`(around)` -> the Falcon middleware that tells the route."""


def install_on(app: Any, flavour: Flavour, **options: Any) -> Undo:
    """Report errors of *app*, and return a function that stops it; what is installed already stays."""
    there = installed_on(app)
    if there is not None:
        return there.undo
    around = flavour.around(partial(original_call(flavour), app), app, **options)
    stop_listening = _listen(app, around)
    stop_watching = watch_calls(flavour)

    def undo() -> None:
        if app._error_handlers.get(Mark) is installed:
            del app._error_handlers[Mark]
            stop_listening()
            app._unprepared_middleware.remove(middleware)
            app.add_middleware([])  # prepares what is left
            stop_watching()

    installed = Installed(around, undo)
    middleware = flavour.middleware(around)
    app._unprepared_middleware.insert(0, middleware)  # outside of all others, so that they see the route in the context
    app.add_middleware([])
    app._error_handlers[Mark] = installed
    return undo


def install_on_all(flavour: Flavour) -> Undo:
    """Install on every application when it is first called; the undo takes all of it back."""
    auto = Auto(flavour)
    stop_watching = watch_calls(flavour, auto)

    def undo() -> None:
        stop_watching()
        while auto.undos:
            auto.undos.pop()()

    return undo


class Mark(Exception):
    """
    Never raised: the key under which an application holds its `Installed` among its error handlers. Applications have no
    attributes besides Falcon's own, and can't be held weakly.
    """


class Installed:
    """What an application remembers."""

    def __init__(self, around: Any, undo: Undo) -> None:
        self.around = around
        self.undo = undo


def installed_on(app: Any) -> Installed | None:
    """What *app* remembers, if something is installed on it."""
    there: Installed | None = app._error_handlers.get(Mark)
    return there


class Auto:
    """What `install_auto` has installed."""

    def __init__(self, flavour: Flavour) -> None:
        self._flavour = flavour
        self._lock = Lock()
        self.undos: list[Undo] = []

    def install(self, app: Any) -> None:
        """Install on *app*, which several threads may call for the first time at once."""
        with self._lock, _guard.shield("installing on a Falcon application"):
            if installed_on(app) is None:
                self.undos.append(install_on(app, self._flavour, capture_exceptions=True))


class Calls:
    """A watched `__call__` of a Falcon class, and who needs it."""

    def __init__(self, call: Any) -> None:
        self.original = call
        self.needed = 0
        self.auto: Auto | None = None


_watched: dict[type, Calls] = {}


def original_call(flavour: Flavour) -> Any:
    """Falcon's own `__call__`, watched or not."""
    there = _watched.get(flavour.kind)
    return there.original if there is not None else vars(flavour.kind)["__call__"]


def watch_calls(flavour: Flavour, auto: Auto | None = None) -> Undo:
    """Let requests of applications pass through what is installed on them."""
    kind = flavour.kind
    calls = _watched.get(kind)
    if calls is None:
        calls = _watched[kind] = Calls(vars(kind)["__call__"])
        kind.__call__ = flavour.call(calls)
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


def around(app: Any, calls: Calls) -> Any:
    """What goes around a request to *app*; None: nothing."""
    there = installed_on(app)
    if there is None and calls.auto is not None:
        calls.auto.install(app)
        there = installed_on(app)
    return there and there.around


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
    """Tell *around* of an error that is about to be answered; with which status, is seen when the response begins."""
    with _guard.shield("looking at an error of Falcon's"):
        exchange = around.exchange(req)
        if exchange is not None and not isinstance(error, _ANSWERS):
            exchange.route = req.uri_template
            around.note(req, exchange, error)


def is_handled(app: Any, error: Exception) -> bool:
    """True if a handler of the application's, and not Falcon's of last resort, answers *error*."""
    handlers = app._error_handlers
    handler = next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
    return getattr(handler, "__name__", None) != "_python_error_handler"
