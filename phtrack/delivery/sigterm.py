"""
SIGTERM, for those who ask (`flush_on_sigterm=True`): deliver first, then do what was to be done before.

The handler runs in the main thread, between two of its instructions, which may well lie inside phtrack and hold a lock of ours.
Then nothing is safe but to come back: the signal is sent again two milliseconds later, until the main thread has left.
"""

from __future__ import annotations

import _thread
import os
import signal
import time
import weakref
from typing import TYPE_CHECKING, Any

from phtrack import _guard, _process
from phtrack._locks import original
from phtrack.delivery import native

if TYPE_CHECKING:
    from types import FrameType

    from phtrack.delivery import Delivery

COME_BACK = 0.002
"""Seconds."""

_deliveries: weakref.WeakSet[Delivery] = weakref.WeakSet()
_previous: Any = None


def install(delivery: Delivery) -> None:
    """
    Flush *delivery* on SIGTERM, then go on to the handler that is there now; with none, the process ends as it would have.

    Only the main thread can do this; elsewhere it is said once and left.
    """
    global _previous
    _deliveries.add(delivery)
    try:
        current = signal.getsignal(signal.SIGTERM)
        if current is not _on_sigterm:
            signal.signal(signal.SIGTERM, _on_sigterm)
            _previous = current
    except ValueError:
        _guard.once("warning", "flush_on_sigterm needs the client to be made in the main thread; it has no effect")


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    if _inside_phtrack(frame):
        for delivery in list(_deliveries):
            delivery.hurry()
        try:
            here = original("get_ident", _thread.get_ident)()
            native.start_thread(lambda: _come_back(here), "phtrack-sigterm")
        except RuntimeError:
            pass  # the process is ending anyway, and its exit delivers
        return
    previous = _previous
    for delivery in list(_deliveries):
        delivery.take_time()
    if callable(previous):
        # The application has its own way down, and may capture more on it: nothing is closed.
        for delivery in list(_deliveries):
            delivery.flush(delivery.shutdown_timeout)
        previous(signum, frame)
        return
    if previous is signal.SIG_IGN:
        for delivery in list(_deliveries):
            delivery.flush(delivery.shutdown_timeout)
        return
    _process.end()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _come_back(thread: int) -> None:
    time.sleep(COME_BACK)
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(
            thread, signal.SIGTERM
        )  # a real one, which also ends what the main thread may wait in by now
    else:
        _thread.interrupt_main(signal.SIGTERM)


def _inside_phtrack(frame: FrameType | None) -> bool:
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if isinstance(name, str) and (name == "phtrack" or name.startswith("phtrack.")):
            return True
        frame = frame.f_back
    return False
