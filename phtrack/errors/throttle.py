"""
Too often? A storm of one failure costs next to nothing, and is told as a number.

Per site (type and place of the raise) the first occurrences of a window always pass, then a few per minute; what is held
back is counted, and the next event of the site carries how many and since when. Besides, the wire contract's token bucket
for automatic captures (exceptions.md §6), off by default.
"""

from __future__ import annotations

import sys
from _thread import allocate_lock
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from phtrack._locks import is_inside

if TYPE_CHECKING:
    from collections.abc import Callable

BURST = 100
"""Reports of one site that pass at once."""
PER_MINUTE = 60.0
"""Reports of one site that pass per minute after that."""
MAX_SITES = 2048


class _Site:
    __slots__ = ("at", "held", "holds", "since", "tokens")

    def __init__(self, holds: tuple[object, ...], now: float, burst: float) -> None:
        self.holds = holds
        """Keeps what the key names by its address alive."""
        self.tokens = burst
        self.at = now
        self.held = 0
        self.since = 0.0


class Held:
    """What was held back before the event that passes now."""

    __slots__ = ("count", "since")

    def __init__(self, count: int, since: float) -> None:
        self.count = count
        self.since = since
        """Seconds since the epoch, when the first one was held back."""


class Throttle:
    """Decides per site. Safe to ask from any thread."""

    def __init__(self, setting: Any = True, clock: Callable[[], float] = monotonic) -> None:
        """
        Args:
            setting: `ErrorOptions.exception_throttle`: True, False, or reports per minute and site.
        """
        self._on = setting is not False
        self._rate = (PER_MINUTE if setting is True else float(setting)) / 60.0
        self._clock = clock
        self._lock = allocate_lock()
        self._sites: dict[Any, _Site] = {}

    def passes(self, key: Any, *holds: object) -> Held | bool:
        """
        May a failure at *key* be reported now?

        Args:
            key: Identity of the site; equal keys are one site. Numbers, since comparing classes may run a metaclass' code.
            holds: The class and the code object whose addresses are in the key.

        Returns:
            False: held back. True: passes. `Held`: passes, and that many were held back since the last one that did.
        """
        if not self._on or self._is_interrupted():
            return True
        with self._lock:
            now = self._clock()
            site = self._sites.get(key)
            if site is None:
                if len(self._sites) >= MAX_SITES:
                    self._forget()
                self._sites[key] = site = _Site(holds, now, BURST)
            tokens = site.tokens + (now - site.at) * self._rate
            site.at = now
            if tokens < 1.0:
                site.tokens = tokens
                if not site.held:
                    site.since = time()
                site.held += 1
                return False
            site.tokens = min(tokens, BURST) - 1.0
            if not site.held:
                return True
            held = Held(site.held, site.since)
            site.held = 0
            return held

    def _is_interrupted(self) -> bool:
        """True in a signal handler whose own thread is in the middle of the lines under the lock."""
        return self._lock.locked() and is_inside((__name__,), sys._getframe(2))

    def _forget(self) -> None:
        """Make room: sites that held something back are kept, so that their count is still told."""
        for key in [key for key, site in self._sites.items() if not site.held][: MAX_SITES // 2]:
            del self._sites[key]
        while len(self._sites) >= MAX_SITES:
            self._sites.pop(next(iter(self._sites)))

    def reset_after_fork(self) -> None:
        """A child counts for itself."""
        self._lock = allocate_lock()
        self._sites = {}


class Buckets:
    """The contract's rate limit for automatic captures: one token bucket per class name of the outermost exception."""

    def __init__(self, size: int, refill: int, interval: float, clock: Callable[[], float] = monotonic) -> None:
        self._size = size
        self._refill = refill
        self._interval = interval
        self._clock = clock
        self._lock = allocate_lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def passes(self, name: str) -> bool:
        """True if a token was left; it is taken."""
        if self._lock.locked() and is_inside((__name__,), sys._getframe(1)):
            return True  # a signal handler in the middle of the lines below
        with self._lock:
            now = self._clock()
            tokens, at = self._buckets.get(name, (float(self._size), now))
            rounds = int((now - at) // self._interval)
            if rounds > 0:
                tokens = min(float(self._size), tokens + rounds * self._refill)
                at += rounds * self._interval
            allowed = tokens >= 1.0
            if len(self._buckets) >= MAX_SITES and name not in self._buckets:
                self._buckets.clear()
            self._buckets[name] = (tokens - 1.0 if allowed else tokens, at)
            return allowed

    def reset_after_fork(self) -> None:
        """A child has its own buckets."""
        self._lock = allocate_lock()
        self._buckets = {}
