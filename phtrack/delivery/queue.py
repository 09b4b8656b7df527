"""
Where the envelopes of one lane wait: bounded in count and in bytes, oldest first.

No lock, no thread, no clock of its own: the sender that owns it holds its lock around every call.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phtrack.seams import Envelope, Lane


class Waiting:
    """The queue of one lane."""

    __slots__ = (
        "admitted", "entered", "envelopes", "interval", "lane", "max_bytes", "max_count", "settled", "since", "size"
    )  # fmt: skip

    def __init__(self, lane: Lane, *, max_count: int, max_bytes: int, interval: float) -> None:
        self.lane: Lane = lane
        self.max_count = max_count
        self.max_bytes = max_bytes
        self.interval = interval
        """Seconds after which what waits should leave."""
        self.admitted = f"admitted.{lane}"
        """The counter of this lane, spelled once."""
        self.envelopes: deque[Envelope] = deque()
        self.size = 0
        """Bytes that wait."""
        self.since = 0.0
        """Monotonic seconds since which something waits. Meaningless while empty."""
        self.entered = 0
        """Events that ever came in."""
        self.settled = 0
        """Events whose end is known; `entered` when nothing waits or travels."""

    def __len__(self) -> int:
        return len(self.envelopes)

    def has_room(self, size: int) -> bool:
        """True when one more event of *size* bytes fits."""
        return len(self.envelopes) < self.max_count and self.size + size <= self.max_bytes

    def take(self, count: int, size: int, now: float) -> list[Envelope]:
        """
        Remove the oldest events: at most *count*, and together at most about *size* bytes, but one at least.

        What stays behind waits from *now*: it came while the sender was busy, and a full batch will not keep it long.
        """
        envelopes = self.envelopes
        if len(envelopes) <= count and self.size <= size:
            taken = list(envelopes)
            envelopes.clear()
            self.size = 0
            return taken
        taken = []
        total = 0
        while envelopes and len(taken) < count:
            one = envelopes[0].size
            if taken and total + one > size:
                break
            total += one
            taken.append(envelopes.popleft())
        self.size = max(0, self.size - total) if envelopes else 0
        self.since = now
        return taken

    def make_room(self, size: int) -> list[Envelope]:
        """Remove the oldest events until one of *size* bytes fits, and return them."""
        removed = []
        while self.envelopes and not self.has_room(size):
            oldest = self.envelopes.popleft()
            self.size = max(0, self.size - oldest.size) if self.envelopes else 0
            removed.append(oldest)
        return removed

    def empty(self) -> list[Envelope]:
        """Remove everything."""
        rest = list(self.envelopes)
        self.envelopes.clear()
        self.size = 0
        return rest
