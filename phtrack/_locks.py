"""
Locks of the operating system, also where gevent or eventlet replaced those of Python.

What our sending threads share with the application is guarded by these: a lock that belongs to a hub can't wake another thread
while its own is busy (gevent), or not at all (eventlet). Greenlets may share them as long as whoever holds one switches to no
other: a few lines, and no call of code that isn't ours.

A thread can meet itself: a signal handler, or a `__del__` that the garbage collector runs, may capture an event between any two
instructions, those under a lock included. What an event passes in the caller's thread therefore asks `is_inside` where a lock is
taken, before it waits. (An `RLock` knows its owner, but eventlet replaces those it finds.)
"""

from __future__ import annotations

import sys
from _thread import allocate_lock as _allocate_lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Collection
    from types import FrameType


def original(name: str, ours: Any) -> Any:
    """`_thread`'s *name* as it was before gevent or eventlet replaced it; *ours* where neither is at work. Imports neither."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None:
        return gevent.get_original("_thread", name)
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None:
        return getattr(eventlet.original("_thread"), name)
    return ours


def new_lock() -> LockType:
    """A lock of the operating system."""
    lock: LockType = original("allocate_lock", _allocate_lock)()
    return lock


def is_inside(modules: Collection[object], frame: FrameType | None) -> bool:
    """True when *frame*, or one that it returns to, runs code of one of *modules*, given by name."""
    while frame is not None:
        if frame.f_globals.get("__name__") in modules:
            return True
        frame = frame.f_back
    return False
