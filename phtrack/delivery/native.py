"""
Threads of the operating system, also where gevent or eventlet replaced those of Python.

The sending thread is a real one in every program: a greenlet would starve behind a busy loop. Its locks are those of
`phtrack._locks`. What waits in the caller's thread (`flush`) must let other greenlets run, and does: see `wait`.
"""

from __future__ import annotations

import sys
import time
from _thread import start_new_thread as _start_new_thread
from typing import TYPE_CHECKING

from phtrack._locks import original

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable

POLL = 0.005
"""Seconds between looks, where waiting must not block a greenlet's thread."""


def patched_by() -> str | None:
    """`gevent` or `eventlet` when it replaced Python's threads, else None. Imports neither."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        return "gevent"
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return "eventlet"
    return None


def threads_run() -> bool:
    """
    False where a thread must not be started: in uWSGI without ``--enable-threads``, where it would never run, and in uWSGI's
    master, which forks its workers without a word to Python, in the middle of whatever a thread does.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None:
        return True
    return bool(uwsgi.worker_id()) and not uwsgi_lacks_threads()


def uwsgi_lacks_threads() -> bool:
    """True in uWSGI that was started without threads."""
    given = getattr(sys.modules.get("uwsgi"), "opt", None)
    if not isinstance(given, dict):
        return False
    return not any(given.get(name) or given.get(name.encode()) for name in ("enable-threads", "threads"))


def is_shutting_down() -> bool:
    """True once the main thread has ended: `atexit` runs or has run, and a thread started now would be cut off at will."""
    threading = sys.modules.get("threading")
    # Where threads are greenlets, `threading` does not know which one is the main one after a fork.
    return threading is not None and not threading.main_thread().is_alive() and patched_by() is None


def start_thread(target: Callable[[], None], name: str) -> None:
    """
    Run *target* in a daemon thread of the operating system.

    Raises:
        RuntimeError: no thread can be started (any more).
    """
    if patched_by() is None:
        import threading

        threading.Thread(target=target, name=name, daemon=True).start()
    else:
        original("start_new_thread", _start_new_thread)(target, ())


def start_bare_thread(target: Callable[[], None]) -> None:
    """
    Run *target* in a thread of which `threading` knows nothing: starting it takes no lock that an interrupted line may hold.

    Raises:
        RuntimeError: no thread can be started (any more).
    """
    original("start_new_thread", _start_new_thread)(target, ())


def wait(lock: LockType, seconds: float | None) -> bool:
    """
    Acquire *lock*, which another thread releases; True if that happened within *seconds* (None: no limit).

    Interruptible by signals, and friendly to greenlets.
    """
    if patched_by() is None:
        return lock.acquire(True, -1 if seconds is None else min(max(seconds, 0.0), 1e6))
    end = None if seconds is None else time.monotonic() + seconds
    while not lock.acquire(False):
        if end is not None and time.monotonic() >= end:
            return False
        time.sleep(POLL)
    return True
