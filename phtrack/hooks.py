"""
The interpreter's own places where an exception ends: `sys.excepthook`, `threading.excepthook`, `sys.unraisablehook`, asyncio's
exception handler, and the end of a `multiprocessing` child.

`install(client) -> undo`. Each hook captures, then calls what was there before; undoing puts that back if the place is still
ours, and goes quiet if another library has wrapped it. Rules: wire contract, exceptions.md §6.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from phtrack import _guard, _process
from phtrack._imports import when_imported
from phtrack.errors.boundary import ASYNCIO_HOOK, CHILD_PROCESS, SYS_HOOK, THREAD_HOOK, UNRAISABLE_HOOK

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack.client import Client
    from phtrack.errors.boundary import Boundary


class _Place:
    """An attribute of a module that holds a hook."""

    def __init__(self, module: Any, name: str, make: Callable[[Callable[[], Any], _Place], Any]) -> None:
        self.module = module
        self.name = name
        self.before: Any = getattr(module, name)
        self.active = True
        self.ours = make(lambda: self.before, self)
        setattr(module, name, self.ours)

    def undo(self) -> None:
        self.active = False
        if getattr(self.module, self.name, None) is self.ours:
            setattr(self.module, self.name, self.before)


class _Capture:
    """Captures for one client, as long as it is there."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __call__(self, exception: BaseException, tb: Any, boundary: Boundary, **about: Any) -> None:
        with _guard.shield("a hook"):
            client = self._client
            if client.disabled or client.is_opted_out() or _guard.is_quiet():
                return
            client.errors.capture((type(exception), exception, tb), about, boundary=boundary)

    def at_child_death(self, error: BaseException) -> None:
        """Called by `_process` in a multiprocessing child that *error* ends."""
        if not isinstance(error, KeyboardInterrupt):
            self(error, error.__traceback__, CHILD_PROCESS)


def install(client: Client) -> Callable[[], None]:
    """Install all hooks for *client*. Returns the undo, which may be called more than once."""
    import threading

    capture = _Capture(client)
    places = [
        _Place(sys, "excepthook", lambda before, place: _sys_hook(capture, before, place)),
        _Place(threading, "excepthook", lambda before, place: _thread_hook(capture, before, place)),
        _Place(sys, "unraisablehook", lambda before, place: _unraisable_hook(capture, before, place)),
    ]
    undo_asyncio = when_imported("asyncio.base_events", lambda module: _asyncio_place(capture, module))
    _process.on_child_death(capture)
    undo_steps = _install_steps()

    def undo() -> None:
        for place in places:
            place.undo()
        undo_asyncio()
        undo_steps()
        capture._client = _Gone  # type: ignore[assignment]

    return undo


class _Gone:
    """Stands where a client was."""

    disabled = True


def _sys_hook(capture: _Capture, before: Callable[[], Any], place: _Place) -> Any:
    def phtrack_excepthook(kind: type[BaseException], exception: BaseException, tb: Any) -> None:
        if place.active and not issubclass(kind, (KeyboardInterrupt, SystemExit)):
            # Delivery is bounded at the exit of the process, which comes next; nothing is waited for here.
            capture(exception if exception is not None else kind(), tb, SYS_HOOK)
        before()(kind, exception, tb)

    return phtrack_excepthook


def _thread_hook(capture: _Capture, before: Callable[[], Any], place: _Place) -> Any:
    def phtrack_thread_excepthook(args: Any) -> None:
        exception = args.exc_value
        if place.active and exception is not None and not isinstance(exception, SystemExit):
            name = getattr(args.thread, "name", None)
            about = {"properties": {"$thread_name": name}} if type(name) is str else {}
            capture(exception, args.exc_traceback, THREAD_HOOK, **about)
        before()(args)

    return phtrack_thread_excepthook


def _unraisable_hook(capture: _Capture, before: Callable[[], Any], place: _Place) -> Any:
    def phtrack_unraisablehook(args: Any) -> None:
        exception = args.exc_value
        if place.active and isinstance(exception, Exception):
            where = _name_of(args.object)
            about = {"properties": {"$unraisable_in": where}} if where else {}
            capture(exception, args.exc_traceback, UNRAISABLE_HOOK, **about)
        before()(args)

    return phtrack_unraisablehook


def _name_of(value: Any) -> str | None:
    """Where an unraisable exception came from, read without touching the object's own code."""
    kind = type(value)
    if kind.__module__ == "builtins" and kind.__name__ in ("function", "builtin_function_or_method", "method"):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    return None if value is None else f"{kind.__module__}.{kind.__qualname__}"


def _asyncio_place(capture: _Capture, base_events: Any) -> Callable[[], None]:
    """
    The class's `call_exception_handler` is where every loop, with or without a handler of its own, reports what nobody
    awaited. A loop of another make (uvloop) is not a `BaseEventLoop`, and is not covered.
    """
    place = _Place(
        base_events.BaseEventLoop,
        "call_exception_handler",
        lambda before, place: _asyncio_hook(capture, before, place),
    )
    return place.undo


def _asyncio_hook(capture: _Capture, before: Callable[[], Any], place: _Place) -> Any:
    def call_exception_handler(self: Any, context: dict[str, Any]) -> Any:
        if place.active:
            with _guard.shield("asyncio's hook"):
                exception = context.get("exception")
                if isinstance(exception, Exception) or (
                    isinstance(exception, BaseException) and type(exception).__name__ == "BaseExceptionGroup"
                ):
                    about: dict[str, Any] = {"properties": {"$asyncio_message": str(context.get("message", ""))[:300]}}
                    task = context.get("task") or context.get("future")
                    name = task.get_name() if task is not None and hasattr(task, "get_name") else None
                    if type(name) is str:
                        about["properties"]["$asyncio_task"] = name
                    capture(exception, exception.__traceback__, ASYNCIO_HOOK, **about)
        return before()(self, context)

    return call_exception_handler


def _install_steps() -> Callable[[], None]:
    from phtrack.errors import steps

    return steps.install()
