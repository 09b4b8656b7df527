"""
Every application of a framework, found when it is first called: how `install_auto` reaches applications that it isn't given.

    each_app(Flask, installed, install) -> undo
"""

from __future__ import annotations

from functools import wraps
from threading import Lock
from typing import TYPE_CHECKING, Any

from phtrack import _guard

if TYPE_CHECKING:
    from collections.abc import Callable

    Undo = Callable[[], None]


def each_app(kind: Any, installed: Callable[[Any], bool], install: Callable[[Any], Undo]) -> Undo:
    """
    Install on every instance of *kind*, a class of WSGI applications, before it answers its first request.

    Args:
        installed: Is it on this application already? Asked at each request, so it has to be quick.
        install: Puts it on.

    Returns:
        What takes all of it back, on the applications too.
    """
    call: Any = kind.__call__
    undos: list[Undo] = []
    lock = Lock()
    active = True

    @wraps(call)
    def watched(self: Any, environ: Any, start_response: Any) -> Any:
        __tracebackhide__ = True
        if active and not installed(self):
            with lock, _guard.shield(f"installing on a {kind.__name__}"):
                if not installed(self):
                    undos.append(install(self))
        return call(self, environ, start_response)

    def undo() -> None:
        nonlocal active
        active = False
        if kind.__call__ is watched:
            kind.__call__ = call
        while undos:
            undos.pop()()

    kind.__call__ = watched
    return undo


def once(auto: Callable[[], Undo]) -> Callable[[], Undo]:
    """*auto*, an `install_auto`, which changes nothing when it is in force already, and then returns the same undo."""
    in_force: list[Undo] = []

    @wraps(auto)
    def install_auto() -> Undo:
        if not in_force:
            take_back = auto()

            def undo() -> None:
                if undo in in_force:
                    in_force.clear()
                    take_back()

            in_force.append(undo)
        return in_force[0]

    return install_auto
