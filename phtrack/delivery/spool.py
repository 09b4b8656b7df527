"""
Events on disk: what could not be delivered now, for whoever uses the directory next.

    keep(events) -> segment files -> take(): this process later, or another one -> done(events) -> gone

It knows which segments this process writes or delivers, and bounds the directory in bytes and age. The format of a file and
its lock are in `segment`, names in `directory`. Delivery is at least once: an event leaves the disk after its end is known, so that a process that
dies in between leaves it to be sent once more, with the same uuid, by which the server knows it.

A directory that can't be used (read-only, full, without locks) costs one warning; events then wait in memory as without it,
and the directory is tried again after a minute. Nothing here raises `OSError`.
"""

from __future__ import annotations

import os
from collections import deque
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from phtrack import _guard
from phtrack._locks import new_lock
from phtrack.delivery import segment as segments
from phtrack.delivery.directory import entries_of, name_of, project_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from phtrack.delivery.directory import Entry
    from phtrack.delivery.report import Report
    from phtrack.delivery.segment import Segment
    from phtrack.options import DeliveryOptions
    from phtrack.seams import Clock, Envelope, Lane

SEGMENT_BYTES = 1024 * 1024
"""A segment that has grown to this is followed by a new one."""
SEGMENT_SECONDS = 3600.0
"""One this old, too: its name says how old its events are, and those of a quiet program would never fill it."""
LOOK_WHETHER_THERE = 1.0
"""Seconds between looks whether somebody removed the segment that grows."""
TRIES = 5
"""Names for a new segment that are tried, where another process or client had the same idea."""
LOOK_AGAIN = 60.0
"""Seconds between looks for what other processes left, and before a broken directory is tried again."""


class Spool:
    """The spool directory of one client. Safe from any thread."""

    def __init__(self, options: DeliveryOptions, *, api_key: str, clock: Clock, report: Report) -> None:
        self.directory = os.path.abspath(os.fspath(options.spool_dir or ""))
        self.always = options.spool_policy == "always"
        """True when events go to disk before they wait in memory."""
        self._protocol = options.protocol
        self._max_bytes = options.spool_max_bytes
        self._max_age = options.spool_max_age
        self._segment_bytes = max(1, min(SEGMENT_BYTES, options.spool_max_bytes // 8))
        self._segment_seconds = min(SEGMENT_SECONDS, options.spool_max_age / 8)
        self._project = project_of(api_key)
        self._clock = clock
        self._report = report
        self._numbers = count()
        self._closed = False
        self.lock = new_lock()
        self._later: list[Callable[[], None]] = []
        """What is to be said once the lock is released: log handlers are not ours, and have locks of their own."""
        self._reset()

    def _reset(self) -> None:
        self._active: dict[str, Segment] = {}
        """Protocol -> the segment that grows."""
        self._open: dict[str, Segment] = {}
        """Path -> every segment we hold the lock of."""
        self._where: dict[Envelope, tuple[Segment, int]] = {}
        """Events in hand that stand on disk, and where."""
        self._ready: deque[tuple[Lane, Envelope]] = deque()
        """Events of the segment that was claimed last, not yet taken."""
        self._ready_protocol = ""
        self._look_at = 0.0
        """Monotonic seconds of the next look for what is left in the directory."""
        self._left = False
        """True when this process left something there because the server did not answer."""
        self._overflowed = False
        """True when this process left something there itself, with the server in reach."""
        self._broken_until = 0.0

    def reset_after_fork(self) -> None:
        """In a child: the parent's files and locks are the parent's. Closing our copies of them leaves its locks alone."""
        for segment in self._open.values():
            segment.close()
        self.lock = new_lock()
        self._later = []
        self._reset()

    # --- writing ---------------------------------------------------------------------------------------------------

    def write(self, envelope: Envelope, lane: Lane) -> bool:
        """Put a sealed event that waits in memory on disk as well; `done` or `keep` says how it went on. False: not on disk."""
        with self.lock:
            written = self._append([envelope], [lane], in_hand=True)
        if self._later:
            self._speak()
        return written

    def keep(self, envelopes: Sequence[Envelope], lanes: Sequence[Lane]) -> list[int]:
        """
        Leave sealed events to whoever delivers the directory next; those that stand on disk already just stay there.

        Returns:
            The indexes of those that could not be written.
        """
        failed: list[int] = []
        with self.lock:
            now = self._clock.monotonic()
            new = [index for index, envelope in enumerate(envelopes) if not self._leave(envelope, now)]
            while new:
                fitting, size = 0, 0
                for index in new:
                    size += envelopes[index].size
                    fitting += 1
                    if size >= self._segment_bytes:
                        break
                part, new = new[:fitting], new[fitting:]
                if not self._append([envelopes[i] for i in part], [lanes[i] for i in part], in_hand=False):
                    failed.extend(part)
            self._release()
            self._left = True
            self._look_at = now + LOOK_AGAIN
        self._speak()
        return failed

    def overflow(self, envelope: Envelope, lane: Lane) -> bool:
        """`keep` for a flood: one event, and the segment stays ours to grow."""
        with self.lock:
            self._overflowed = True
            kept = self._leave(envelope, self._clock.monotonic()) or self._append([envelope], [lane], in_hand=False)
        self._speak()
        return kept

    def _leave(self, envelope: Envelope, now: float) -> bool:
        """An event in hand stays on disk for others; False when it is not there."""
        place = self._where.pop(envelope, None)
        if place is None:
            return False
        segment = place[0]
        segment.in_hand -= 1
        if self._is_gone(segment, now):
            return False
        segment.left += 1
        return True

    def _is_gone(self, segment: Segment, now: float) -> bool:
        """True when somebody removed the file. Then nothing is written to it any more."""
        if not segment.is_gone():
            segment.seen = now
            return False
        if self._active.get(segment.protocol) is segment:
            self._retire(segment)
        return True

    def done(self, envelopes: Sequence[Envelope]) -> None:
        """These events have their end: off the disk with them, if they are on it."""
        if not self._where:
            return
        with self.lock:
            ended: dict[Segment, list[int]] = {}
            for envelope in envelopes:
                place = self._where.pop(envelope, None)
                if place is not None:
                    ended.setdefault(place[0], []).append(place[1])
            for segment, numbers in ended.items():
                segment.in_hand -= len(numbers)
                self._settle(segment, numbers)
        if self._later:
            self._speak()

    def _settle(self, segment: Segment, numbers: list[int]) -> None:
        """Take ended events out of *segment*: the file goes when it is the last that held something, else a line says so."""
        try:
            if segment.in_hand or segment.left:
                segment.mark_done(numbers)
                if not segment.in_hand:
                    self._release()
            elif segment is self._active.get(segment.protocol):
                segment.rewind()
            else:
                self._close(segment, remove=True)
        except OSError as error:
            # The events were delivered; that they will be once more is the lesser evil.
            self._say("can't be updated", error)

    def _append(self, envelopes: list[Envelope], lanes: list[Lane], *, in_hand: bool) -> bool:
        now = self._clock.monotonic()
        if now < self._broken_until:
            return False
        try:
            segment = self._growing(sum([envelope.size for envelope in envelopes]), now)
            if segment is None:
                return False
            number = segment.append(envelopes, lanes)
        except OSError as error:
            self._broken_until = now + LOOK_AGAIN
            broken = self._active.pop(self._protocol, None)
            if broken is not None and not broken.in_hand:
                self._close(broken, remove=not broken.left)
            self._say("can't be written to", error)
            return False
        if in_hand:
            segment.in_hand += len(envelopes)
            for offset, envelope in enumerate(envelopes):
                self._where[envelope] = (segment, number + offset)
        else:
            segment.left += len(envelopes)
        return True

    def _growing(self, size: int, now: float) -> Segment | None:
        """The segment to write to, a new one if the last is full; None if the directory has no room. Raises `OSError`."""
        segment = self._active.get(self._protocol)
        if segment is not None and (now - segment.seen < LOOK_WHETHER_THERE or not self._is_gone(segment, now)):
            if segment.size < self._segment_bytes and now - segment.born < self._segment_seconds:
                return segment
            self._retire(segment)
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        if not self._make_room(size):
            return None
        segment = self._create()
        segment.born = segment.seen = now
        self._active[self._protocol] = segment
        self._open[segment.path] = segment
        return segment

    def _create(self) -> Segment:
        tries = TRIES
        while True:
            name = name_of(self._clock.time(), self._project, next(self._numbers))
            try:
                return segments.Segment.create(os.path.join(self.directory, name), self._protocol)
            except (FileExistsError, BlockingIOError):
                tries -= 1
                if not tries:
                    raise

    def _retire(self, segment: Segment) -> None:
        """It grows no more; what is in hand keeps it open."""
        self._active.pop(segment.protocol, None)
        if not segment.in_hand:
            self._close(segment, remove=not segment.left)

    def _release(self) -> None:
        """Let go of segments of which nothing is in hand, so that anyone may claim what is left in them."""
        for segment in list(self._open.values()):
            if not segment.in_hand and (segment.left or segment.is_gone()):
                if self._active.get(segment.protocol) is segment:
                    del self._active[segment.protocol]
                self._close(segment)

    def _close(self, segment: Segment, *, remove: bool = False) -> None:
        self._open.pop(segment.path, None)
        segment.close(remove=remove)

    def _make_room(self, size: int) -> bool:
        """Give up the oldest segments until *size* more bytes fit; counted. Raises `OSError`."""
        entries = sorted(entries_of(self.directory))
        total = sum(entry.size for entry in entries) + size
        for entry in entries:
            if total <= self._max_bytes:
                break
            if entry.project == self._project and entry.path not in self._open and self._give_up(entry, "spool_full"):
                total -= entry.size
        return total <= self._max_bytes

    def _give_up(self, entry: Entry, reason: str) -> bool:
        claimed = self._claim(entry)
        if claimed is None:
            return False
        segment, events = claimed
        segment.close(remove=True)
        lanes = [lane for _, lane, _ in events]
        self._report.count("recovered", lanes)
        self._later.append(partial(self._report.dropped, reason, [envelope for _, _, envelope in events], lanes))
        return True

    def _claim(self, entry: Entry) -> tuple[Segment, list[tuple[int, Lane, Envelope]]] | None:
        """A segment and its events, ours now; None when somebody has it, or it can't be read: the others still can."""
        segment = None
        try:
            segment = segments.claim(entry.path)
            if segment is None:
                return None
            events, torn = segments.load(segment)
        except OSError as error:
            if segment is not None:
                segment.close()
            self._say("has files that can't be read", error, "they are left alone")
            return None
        if torn:
            self._later.append(partial(self._count_torn, torn))
        return segment, events

    # --- reading ---------------------------------------------------------------------------------------------------

    def due_in(self, now: float) -> float:
        """Seconds until there may be something to take; 0 is now."""
        return 0.0 if self._ready or self._overflowed else max(0.0, self._look_at - now)

    def server_answered(self) -> None:
        """What was left while it did not may be delivered now."""
        if self._left:
            self._left = False
            self._look_at = 0.0

    def take(self, limit: int, size: int) -> tuple[str, list[tuple[Lane, Envelope]]] | None:
        """
        Events of the oldest segment nobody holds, now in hand: (protocol, [(lane, event), ...]), at most *limit* of them and about
        *size* bytes, for one endpoint. None when there is nothing, and after the close.
        """
        with self.lock:
            if not self._ready and not self._closed:
                self._overflowed = False
                try:
                    self._claim_oldest()
                except OSError as error:
                    self._look_at = self._clock.monotonic() + LOOK_AGAIN
                    if not isinstance(error, FileNotFoundError):
                        self._say("can't be read", error)
            taken: list[tuple[Lane, Envelope]] = []
            total = 0
            while self._ready and len(taken) < limit:
                lane, envelope = self._ready[0]
                if taken and (total + envelope.size > size or (lane == "ai") != (taken[0][0] == "ai")):
                    break
                total += envelope.size
                taken.append(self._ready.popleft())
            protocol = self._ready_protocol
        self._speak()
        return (protocol, taken) if taken else None

    def put_back(self) -> None:
        """The server does not answer: leave what was claimed and not taken on disk, and look again in a minute."""
        with self.lock:
            self._put_back()

    def _put_back(self) -> None:
        lanes = []
        now = self._clock.monotonic()
        while self._ready:
            lane, envelope = self._ready.popleft()
            lanes.append(lane)
            self._leave(envelope, now)
        self._report.count("spooled", lanes)
        self._overflowed = False
        self._left = True
        self._release()
        self._look_at = now + LOOK_AGAIN

    def _claim_oldest(self) -> None:
        """Fill `_ready` from the oldest segment to be had, or set the time of the next look. Raises `OSError`."""
        self._release()
        now = self._clock.time()
        for entry in sorted(entries_of(self.directory)):
            if entry.project != self._project or entry.path in self._open:
                continue
            if now - entry.created > self._max_age:
                self._give_up(entry, "spool_expired")
                continue
            claimed = self._claim(entry)
            if claimed is None:
                continue
            segment, events = claimed
            if not events:
                segment.close(remove=True)
                continue
            self._open[segment.path] = segment
            segment.in_hand = len(events)
            for number, lane, envelope in events:
                self._where[envelope] = (segment, number)
                self._ready.append((lane, envelope))
            self._ready_protocol = segment.protocol
            self._report.count("recovered", [lane for _, lane, _ in events])
            return
        self._look_at = self._clock.monotonic() + LOOK_AGAIN

    def _count_torn(self, torn: int) -> None:
        self._report.tally.add("recovered", torn)
        self._report.tally.add("dropped:spool_corrupt", torn)
        _guard.say("warning", "%d spooled event(s) were damaged and skipped", torn, every=LOOK_AGAIN)

    # --- the rest --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of everything; what is left stays on disk, what was claimed and not taken included. Late events can be kept."""
        with self.lock:
            self._closed = True  # or a thread that is late would claim what nobody gives back
            self._put_back()
            for segment in list(self._open.values()):
                self._close(segment, remove=not segment.in_hand and not segment.left)
            self._reset()

    def has_leftovers(self) -> bool:
        """True when the directory holds a segment of this project."""
        try:
            return any(entry.project == self._project for entry in entries_of(self.directory))
        except OSError:
            return False

    def stats(self) -> dict[str, int]:
        """Files and bytes of this project in the directory."""
        try:
            sizes = [entry.size for entry in entries_of(self.directory) if entry.project == self._project]
        except OSError:
            sizes = []
        return {"files": len(sizes), "bytes": sum(sizes)}

    def _say(self, what: str, error: OSError, outcome: str = "events wait in memory only") -> None:
        self._later.append(
            partial(
                _guard.once,
                "warning",
                "the spool directory %s %s (%s); %s",
                self.directory,
                what,
                error.strerror or error,
                outcome,
                key=f"spool {self.directory} {what}",
            )
        )

    def _speak(self) -> None:
        """Say what there was to say under the lock, without it."""
        while self._later:
            try:
                say = self._later.pop(0)
            except IndexError:
                return  # another thread said it
            say()
