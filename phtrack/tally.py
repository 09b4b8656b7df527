"""
What happened to every event, as counters that add up.

One `Tally` per client. The client counts what it admits, throttles, scrubs and shrinks; delivery counts what it sends,
retries, spools and drops. `phtrack.Client.stats` renders it.
"""

from __future__ import annotations

import sys

from phtrack._locks import is_inside, new_lock


class Tally:
    """
    Named counters, safe to add to from any thread.

    Names in use, each optionally per lane as ``name`` + ``.`` + lane (``events``, ``errors``, ``ai``):

    * ``admitted``: accepted into a queue (or sent at once in ``sync_mode``)
    * ``delivered``, ``spooled``: the two good ends; ``recovered`` counts events read back from a spool
    * ``dropped:<reason>``: the other end, e.g. ``dropped:queue_full``, ``dropped:before_send``, ``dropped:too_large``
    * ``retried``, ``throttled``, ``merged``, ``scrubbed``, ``shrunk``, ``bytes``: things that happened on the way
    """

    __slots__ = ("_aside", "_counts", "_lock")

    def __init__(self) -> None:
        self.reset_after_fork()

    def add(self, name: str, n: int = 1, *, lane: str | None = None) -> None:
        """Count *n* more of *name* (of *lane*). Never raises."""
        if lane is not None:
            name = f"{name}.{lane}"
        if self._lock.locked() and is_inside((__name__,), sys._getframe(1)):
            self._aside.append((name, n))  # a signal handler between the two halves of the line below
            return
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + n

    def read(self) -> dict[str, int]:
        """A consistent copy of all counters."""
        if self._lock.locked() and is_inside((__name__,), sys._getframe(1)):
            return dict(self._counts)
        with self._lock:
            while self._aside:
                name, n = self._aside.pop()
                self._counts[name] = self._counts.get(name, 0) + n
            return dict(self._counts)

    def reset_after_fork(self) -> None:
        """Start from zero in a child process: what the parent holds, the parent will report."""
        self._lock = new_lock()
        self._counts: dict[str, int] = {}
        self._aside: list[tuple[str, int]] = []
