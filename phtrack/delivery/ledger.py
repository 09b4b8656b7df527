"""
Where every event of a route is: it waits in a lane, travels in a batch, or has its end.

    enter -> Waiting (one per lane) -> next_batch -> a worker's hands -> claim -> settle

One lock guards this and the waking of whoever sleeps or waits for it. It is held for a few lines at a time, never around a
request, a file, the making of an event, the log or the application's code. Methods whose names end in `_locked` are for a
caller who holds it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from phtrack._locks import new_lock
from phtrack.delivery import native
from phtrack.delivery.policy import FOREVER, MAX_BATCH_BYTES
from phtrack.delivery.queue import Waiting
from phtrack.seams import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from phtrack.delivery.worker import Worker
    from phtrack.options import DeliveryOptions
    from phtrack.seams import Clock, Envelope, Lane, Route

OPEN, CLOSING, CLOSED = "open", "closing", "closed"


class Ledger:
    """The queues of one route, and its batches under way."""

    def __init__(
        self, route: Route, lanes: Sequence[Lane], options: DeliveryOptions, *, protocol: str, clock: Clock
    ) -> None:
        self._route: Route = route
        self._protocol = protocol
        self._options = options
        self._flush_at = options.flush_at
        self._clock = clock
        self._lanes = tuple(lanes)
        self.epoch = 0
        """Goes up when everyone should look again: a flush, a close."""
        self._reset()

    def _reset(self) -> None:
        options = self._options
        hasty = min(options.error_flush_interval, options.flush_interval)
        self.lock = new_lock()
        self._aside: deque[tuple[Envelope, Lane]] = deque()
        """Events captured by code that interrupted its own thread under the lock. They enter as soon as that has gone on."""
        self.lanes = {
            lane: Waiting(
                lane,
                max_count=options.max_queue_size,
                max_bytes=options.max_queue_bytes,
                interval=hasty if lane == "errors" else options.flush_interval,
            )
            for lane in self._lanes
        }
        self._queues = tuple(self.lanes.values())
        self._held: set[Batch] = set()
        """Batches under way, whose end is not known."""
        self.sleepers: list[Worker] = []
        self._end_waiters: list[Any] = []
        """Locks of those who wait for the end of something."""
        self._room_waiters: list[Any] = []
        self._urgent = False
        """True from a flush until nothing waits: thresholds don't count."""
        self.hurried = False
        """True when whoever waits should stop waiting: the process is being terminated."""
        self.state = OPEN
        self.deadline: float | None = None
        """Monotonic seconds at which the close gives up."""
        self.hopeless = False
        """True when a close should not wait any longer: the server doesn't answer."""

    def reset_after_fork(self) -> None:
        """In a child: nothing waits and nothing travels, and what was closed is closed."""
        closed = self.state == CLOSED
        self._reset()
        if closed:
            self.state = CLOSED

    # --- waiting ---------------------------------------------------------------------------------------------------

    def enter_locked(self, waiting: Waiting, envelope: Envelope, size: int) -> None:
        """Append, and wake a sleeper if that makes something due or starts a time to wait."""
        envelopes = waiting.envelopes
        first = not envelopes
        if first:
            waiting.since = self._clock.monotonic()
        envelopes.append(envelope)
        waiting.size += size
        waiting.entered += 1
        if self.sleepers and (first or self._count() >= self._flush_at or waiting.size >= MAX_BATCH_BYTES):
            for sleeper in self.sleepers:
                if sleeper.listening:
                    sleeper.listening = False
                    self.sleepers.remove(sleeper)
                    sleeper.wake()
                    break

    def put_aside(self, envelope: Envelope, lane: Lane) -> None:
        """For code that interrupted its own thread in lines that nobody may enter twice: no lock is taken."""
        self._aside.append((envelope, lane))

    def first_aside(self) -> tuple[Envelope, Lane] | None:
        """What was put aside first, and its lane."""
        try:
            return self._aside[0]
        except IndexError:
            return None

    def enter_aside(self, envelope: Envelope) -> bool | None:
        """Let the event wait that was put aside first, with room or without. False after the close; None if that has taken it."""
        with self.lock:
            if not self._aside or self._aside[0][0] is not envelope:
                return None
            _, lane = self._aside.popleft()
            if self.state == CLOSED:
                return False
            self.enter_locked(self.lanes[lane], envelope, envelope.size)
        return True

    def _count(self) -> int:
        return sum(map(len, self._queues))

    def due_in_locked(self) -> float:
        """Seconds until what waits should leave: 0 is now; infinity when nothing waits, or a close has given up hope."""
        total = 0
        due = FOREVER
        size = 0
        for waiting in self._queues:
            if waiting.envelopes:
                total += len(waiting.envelopes)
                size += waiting.size
                due = min(due, waiting.since + waiting.interval)
        if not total or self.hopeless:
            return FOREVER
        if self._urgent or self.state != OPEN or total >= self._flush_at or size >= MAX_BATCH_BYTES:
            return 0.0
        return max(0.0, due - self._clock.monotonic())

    def next_batch(self) -> Batch | None:
        """A batch of what is due, errors first, or None. It is under way now; its events may not be sealed."""
        with self.lock:
            if self.due_in_locked() > 0:
                return None
            now = self._clock.monotonic()
            envelopes: list[Envelope] = []
            lanes: list[Lane] = []
            size = 0
            for waiting in self._queues:
                room = self._flush_at - len(envelopes)
                if waiting.envelopes and room > 0 and size < MAX_BATCH_BYTES:
                    before = waiting.size
                    taken = waiting.take(room, MAX_BATCH_BYTES - size, now)
                    size += before - waiting.size
                    envelopes.extend(taken)
                    lanes.extend([waiting.lane] * len(taken))
            if not self._count():
                self._urgent = False
            batch = self.batch(envelopes, lanes)
            self._held.add(batch)
            room_waiters, self._room_waiters = self._room_waiters, []
        for lock in room_waiters:
            lock.release()
        return batch

    def batch(self, envelopes: list[Envelope], lanes: list[Lane]) -> Batch:
        """A batch of these events as this route sends them."""
        return Batch(self._route, self._protocol, envelopes, lanes, self._clock.time())

    def wait_for_room_locked(self) -> Any:
        """A lock that is released when a batch has left the queues."""
        room = new_lock()
        room.acquire()
        self._room_waiters.append(room)
        return room

    def first(self) -> Envelope | None:
        """The first event that waits."""
        with self.lock:
            return next((queue.envelopes[0] for queue in self._queues if queue.envelopes), None)

    def pending(self) -> dict[str, Any]:
        """How much waits and travels, per lane."""
        with self.lock:
            return self.pending_locked()

    def pending_locked(self) -> dict[str, Any]:
        """`pending` for a caller who holds the lock, or has interrupted its own thread under it."""
        aside = [lane for _, lane in list(self._aside)]
        return {
            waiting.lane: {
                "queued": len(waiting),
                "queued_bytes": waiting.size,
                "pending": waiting.entered - waiting.settled + aside.count(waiting.lane),
            }
            for waiting in self._queues
        }

    # --- travelling, and the end -----------------------------------------------------------------------------------

    def hold(self, batch: Batch) -> bool:
        """*batch*, which did not wait here, is under way; False when it came after the close."""
        with self.lock:
            if self.state == CLOSED:
                return False
            self._held.add(batch)
        return True

    def enter_travelling(self, batch: Batch) -> bool:
        """The events of *batch* enter and are under way at once; False when it came after the close."""
        with self.lock:
            if self.state != OPEN:
                return False
            for lane in batch.lanes:
                self.lanes[lane].entered += 1
            self._held.add(batch)
        return True

    def recovers_locked(self) -> bool:
        """True while a batch from disk is under way."""
        return any(batch.recovered for batch in self._held)

    def claim(self, batch: Batch, onward: Sequence[Batch] = ()) -> bool:
        """
        Take the right to say how the events of *batch* end; *onward* carries on with some of them.

        Returns:
            False when somebody else has settled it, a close that could wait no longer: then nothing may be counted.
        """
        with self.lock:
            if batch.settled:
                for part in onward:
                    part.settled = True
                return False
            batch.settled = True
            self._held.discard(batch)
            self._held.update(onward)
        return True

    def settle(self, lanes: Iterable[Lane]) -> None:
        """Events of these *lanes* that entered have their end, and it is counted and told: whoever waits may go on."""
        with self.lock:
            if self.state == CLOSED:
                return
            for lane in lanes:
                self.lanes[lane].settled += 1
        self.tell_waiters()

    def entered(self) -> dict[Lane, int]:
        """Lane -> events that ever entered, or are about to, for lanes of which some have no end yet."""
        if self._aside:
            aside = [lane for _, lane in list(self._aside)]
            totals = {one: one.entered + aside.count(one.lane) for one in self._queues}
            return {one.lane: total for one, total in totals.items() if one.settled < total}
        return {one.lane: one.entered for one in self._queues if one.settled < one.entered}

    def has_settled(self, targets: dict[Lane, int]) -> bool:
        """True when as many events have their end as `entered` answered once."""
        return all(self.lanes[lane].settled >= target for lane, target in targets.items())

    # --- waking and waiting ----------------------------------------------------------------------------------------

    def urge_locked(self) -> None:
        """Make everything that waits due."""
        self._urgent = self._count() > 0

    def wake_all_locked(self) -> None:
        """Let every worker look again."""
        self.epoch += 1
        sleepers, self.sleepers = self.sleepers, []
        for sleeper in sleepers:
            sleeper.listening = False
            sleeper.wake()

    def tell_waiters(self) -> None:
        """Let everyone look again who waits for the end of something."""
        with self.lock:
            waiters, self._end_waiters = self._end_waiters, []
        for lock in waiters:
            lock.release()

    def wait_until(self, done_locked: Callable[[], bool], deadline: float | None) -> bool:
        """Wait until *done_locked*; False if *deadline* (monotonic seconds) came first, or waiting became pointless."""
        while True:
            news = new_lock()
            news.acquire()
            with self.lock:
                if done_locked():
                    return True
                if self.hopeless or self.hurried:
                    return False
                self._end_waiters.append(news)
            seconds = None if deadline is None else deadline - self._clock.monotonic()
            if (seconds is not None and seconds <= 0) or not native.wait(news, seconds):
                with self.lock:
                    return done_locked()

    def hurry(self) -> None:
        """Let whoever waits stop waiting. For signal handlers: takes the lock only if nobody holds it."""
        self.hurried = True
        if self.lock.acquire(False):
            waiters, self._end_waiters = self._end_waiters, []
            self.lock.release()
            for lock in waiters:
                lock.release()

    def take_time(self) -> None:
        """What `hurry` was for is over."""
        self.hurried = False

    # --- closing ---------------------------------------------------------------------------------------------------

    def close_begin(self, deadline: float | None) -> None:
        """
        Nothing enters any more, and all is due: once more also what only waits for our own back-off. A close that is under way
        gets the earlier *deadline*.
        """
        with self.lock:
            if self.state != OPEN:
                if deadline is not None and (self.deadline is None or deadline < self.deadline):
                    self.deadline = deadline
                return
            self.state = CLOSING
            self.hurried = False
            self.deadline = deadline
            for batch in self._held:
                if not batch.retry_after:
                    batch.due = 0.0
            self.wake_all_locked()

    def give_hope_up(self) -> None:
        """The server doesn't answer: a close need not wait for it."""
        with self.lock:
            if self.state != CLOSING or self.hopeless:
                return
            self.hopeless = True
        self.tell_waiters()

    def close(self) -> tuple[list[tuple[Envelope, Lane]], Exception | None] | None:
        """
        Settle everything that waits or travels, and let the threads go.

        Returns:
            What is left over, oldest first, and the error of a failed attempt if there was one; None when it was closed before.
        """
        with self.lock:
            if self.state == CLOSED:
                return None
            self.state = CLOSED
            left: list[tuple[Envelope, Lane]] = []
            error: Exception | None = None
            for batch in sorted(self._held, key=lambda one: one.created):
                batch.settled = True
                error = error or batch.error
                left.extend(zip(batch.envelopes, batch.lanes))
            self._held.clear()
            for waiting in self._queues:
                left.extend((envelope, waiting.lane) for envelope in waiting.empty())
                waiting.settled = waiting.entered
            while self._aside:
                left.append(self._aside.popleft())
            self.wake_all_locked()
        return left, error
