"""
The turning points in the life of a process: it forks, it ends, or it is a child of `multiprocessing` that ends.

Whoever holds threads, locks or connections registers here and is told; the hooks of the interpreter are set once, at the
first registration. Objects are held weakly, except by `on_exit`: what still has something to say at the end must live to say it.
"""

from __future__ import annotations

import os
import sys
import weakref
from typing import Any, Protocol

from phtrack import _guard


class Forks(Protocol):
    """
    Something that must start afresh in a child process.

    It may also have ``before_fork()`` and ``after_fork_in_parent()``, called around the fork in the parent.
    """

    def reset_after_fork(self) -> None:
        """Called in the child, before any other code of it. Take no lock of the parent's; replace them."""
        ...


class Exits(Protocol):
    """Something that wants a last word."""

    def at_exit(self) -> None:
        """Called once when the process ends in an orderly way. Must be bounded; may raise nothing."""
        ...


class Dies(Protocol):
    """Something that wants to know what a child of `multiprocessing` died of."""

    def at_child_death(self, error: BaseException) -> None:
        """Called in the child, before `at_exit`, with the exception that ends it."""
        ...


# A dict keeps the order of registration, which a WeakSet does not.
_forks: dict[int, weakref.ref[Any]] = {}
_exits: dict[int, Any] = {}
_deaths: dict[int, weakref.ref[Any]] = {}
_hooked: set[str] = set()
_pid = os.getpid()
_CHILD_UTILS = ("multiprocessing.util", "billiard.util")


def on_fork(obj: Forks) -> None:
    """Have ``obj.reset_after_fork()`` called in every child process, as long as *obj* lives."""
    if "fork" not in _hooked:
        _hooked.add("fork")
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork)
    _remember(_forks, obj)


def on_exit(obj: Exits) -> None:
    """
    Have ``obj.at_exit()`` called when the process ends, also in children of `multiprocessing`, which skip `atexit`.

    *obj* is kept alive until then, or until `off_exit`.
    """
    if "exit" not in _hooked:
        _hooked.add("exit")
        import atexit

        atexit.register(_at_exit)
    _exits[id(obj)] = obj
    _follow_children()


def off_exit(obj: Exits) -> None:
    """*obj* has nothing to say at the end any more."""
    _exits.pop(id(obj), None)


def on_child_death(obj: Dies) -> None:
    """Have ``obj.at_child_death(error)`` called in a child of `multiprocessing` that an exception ends."""
    on_fork(_children)
    _remember(_deaths, obj)
    _follow_children()


def _remember(registry: dict[int, weakref.ref[Any]], obj: Any) -> None:
    key = id(obj)

    def forget(ref: weakref.ref[Any]) -> None:
        if registry.get(key) is ref:
            registry.pop(key, None)

    registry[key] = weakref.ref(obj, forget)


def _living(registry: dict[int, weakref.ref[Any]]) -> list[Any]:
    return [obj for ref in list(registry.values()) if (obj := ref()) is not None]


def _before_fork() -> None:
    """
    Let everyone prepare. `logging` does so too: it takes its lock before a fork and releases it after.

    We wait for threads that may want that lock, so it is released meanwhile; and if one of them has just loaded `logging`, whose
    turn to take it is over for this fork, we take it for the release to come.
    """
    loaded = _logging_lock()
    held = False
    if loaded is not None:
        try:
            loaded.release()
            held = True
        except RuntimeError:
            pass  # our turn came first
    for obj in _living(_forks):
        _call_if_there(obj, "before_fork")
    now = _logging_lock()
    if now is not None and (held or loaded is None):
        now.acquire()


def _logging_lock() -> Any:
    """The lock of `logging` once that has registered for forks (`LogRecord` is what it defines next), else None."""
    logging = sys.modules.get("logging")
    return logging._lock if logging is not None and hasattr(logging, "LogRecord") else None


def _after_fork_in_parent() -> None:
    for obj in _living(_forks):
        _call_if_there(obj, "after_fork_in_parent")


def _call_if_there(obj: Any, name: str) -> None:
    method = getattr(obj, name, None)
    if method is not None:
        try:
            method()
        except Exception as error:
            _guard.swallowed("a fork", error)


def _after_fork() -> None:
    global _pid
    _pid = os.getpid()
    _guard.reset_after_fork()
    for obj in _living(_forks):
        try:
            obj.reset_after_fork()
        except Exception as error:
            _guard.swallowed("the child's start", error)
    if _exits or _deaths:
        _follow_children()


def notice_fork() -> None:
    """
    Find out by the process id that this is a child whose fork ran no hooks, and make up for them.

    uWSGI forks so, unless it is told otherwise (``--py-call-osafterfork``). Whoever finds another id than its own calls this.
    """
    if os.getpid() != _pid:
        _after_fork()


def end() -> None:
    """Tell everyone who asked that the process ends now. For endings that `atexit` does not see."""
    _at_exit()


def _at_exit() -> None:
    notice_fork()
    for obj in list(_exits.values()):
        try:
            obj.at_exit()
        except Exception as error:
            _guard.swallowed("the exit", error)
        except BaseException:
            # Ctrl-C while we say goodbye. `at_exit` has put its own house in order; a traceback here helps nobody.
            pass


# --- children of multiprocessing ------------------------------------------------------------------------------------


class _Children:
    """The anchor of our entries in `multiprocessing.util`, whose registries hold weakly."""

    def reset_after_fork(self) -> None:
        """Nothing of its own to reset."""


_children = _Children()


def _follow_children() -> None:
    """
    Ask `multiprocessing`, where the application uses it, to tell us of its children's end.

    A child ends with `os._exit` after running its finalizers. In a forked child they are cleared when it starts its work, so
    that we enter twice: now, for a child that is at work or was spawned, and from the callback that runs right after the
    clearing. Never imports `multiprocessing`.
    """
    for name in _CHILD_UTILS:
        util = sys.modules.get(name)
        if util is None:
            continue
        try:
            if sys.version_info >= (3, 13) and _deaths and name == "multiprocessing.util":
                _watch_runs(sys.modules["multiprocessing.process"])
            util.register_after_fork(_children, lambda _, util=util: _add_finalizer(util))
            _add_finalizer(util)
        except Exception as error:
            _guard.swallowed("multiprocessing's hooks", error)


def _add_finalizer(util: Any) -> None:
    process = sys.modules.get(util.__name__.replace(".util", ".process"))
    current = process.current_process() if process is not None else None
    if getattr(current, "_parent_pid", None) is None and not getattr(current, "_inheriting", False):
        return  # the main process has atexit; a spawned child that is just being made ready does not know yet that it is one
    for finalizer in list(util._finalizer_registry.values()):
        if getattr(finalizer, "_callback", None) is _child_ends:
            return
    util.Finalize(None, _child_ends, exitpriority=100)


def _child_ends() -> None:
    # Finalizers run in the `finally` around the child's work, so that what ends it is the exception being handled.
    error = sys.exc_info()[1]
    if error is not None:
        _tell_of_death(error)
    _at_exit()


def _tell_of_death(error: BaseException) -> None:
    if isinstance(error, (SystemExit, GeneratorExit)):
        return
    for obj in _living(_deaths):
        try:
            obj.at_child_death(error)
        except Exception as failure:
            _guard.swallowed("a child's death", failure)


def _watch_runs(process: Any) -> None:
    """From Python 3.13 on finalizers run when the exception is handled and gone: look at it where it leaves the child's work."""
    original = process.BaseProcess._bootstrap
    if getattr(original, "phtrack", False):
        return

    def _bootstrap(self: Any, *args: Any, **named: Any) -> Any:
        run = self.run

        def watched() -> None:
            try:
                run()
            except BaseException as error:
                _tell_of_death(error)
                raise

        self.run = watched
        return original(self, *args, **named)

    _bootstrap.phtrack = True  # type: ignore[attr-defined]
    process.BaseProcess._bootstrap = _bootstrap
