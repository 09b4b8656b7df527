"""
The queues that share an endpoint, and the one place that knows where every event of them is.

    put -> Waiting (one per lane) -> next_batch -> a worker's hands -> resolve: delivered | spooled | dropped

One lock guards the queues, the batches under way and the sleepers. It is held for a few lines at a time, never around a
request, the making of an event, the log or the application's code.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from phtrack import _guard
from phtrack.delivery import native, policy
from phtrack.delivery.queue import Waiting
from phtrack.delivery.worker import FOREVER, Worker
from phtrack.seams import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from phtrack.delivery.policy import Circuit
    from phtrack.delivery.report import Report
    from phtrack.delivery.spool import Spool
    from phtrack.delivery.v1 import Verdicts
    from phtrack.options import DeliveryOptions
    from phtrack.seams import Clock, Envelope, Lane, Outcome, Route, Transport

_working: ContextVar[Worker | None] = ContextVar("phtrack_delivery_working", default=None)
"""The worker whose turn it is in this thread, which therefore can't wait for delivery."""


def is_working() -> bool:
    """True in a thread that is delivering just now: code called from there can't wait for delivery."""
    return _working.get() is not None


@contextmanager
def away() -> Iterator[None]:
    """While the application's code runs in a delivering thread, forks need not wait for it."""
    worker = _working.get()
    if worker is None:
        yield
    else:
        with worker.away():
            yield


INLINE_SECONDS = 3.0
"""The longest a capture call waits for the server where no thread can."""

OPEN, CLOSING, CLOSED = "open", "closing", "closed"


class Sender:
    """Queues and workers of one route."""

    def __init__(
        self,
        route: Route,
        lanes: Sequence[Lane],
        options: DeliveryOptions,
        *,
        protocol: str,
        transport: Transport,
        clock: Clock,
        circuit: Circuit,
        report: Report,
        spool: Spool | None = None,
    ) -> None:
        self.route: Route = route
        self.transport = transport
        self.clock = clock
        self.circuit = circuit
        self.report = report
        self.spool = spool
        self.max_retries = options.max_retries
        self.epoch = 0
        """Goes up when everyone should look again: a flush, a close."""
        self._protocol = protocol
        self._options = options
        self.always = spool is not None and spool.always
        self._manual = bool(getattr(clock, "manual", False))
        self._lanes = tuple(lanes)
        self._max_event = policy.MAX_AI_EVENT_BYTES if route == "ai" else policy.MAX_EVENT_BYTES
        self._flush_at = options.flush_at
        self._reset()

    def _reset(self) -> None:
        options = self._options
        self.lock = native.new_lock()
        self._waiting = {
            lane: Waiting(
                lane,
                max_count=options.max_queue_size,
                max_bytes=options.max_queue_bytes,
                interval=min(options.error_flush_interval, options.flush_interval)
                if lane == "errors"
                else options.flush_interval,
            )
            for lane in self._lanes
        }
        self._queues = tuple(self._waiting.values())
        self._held: set[Batch] = set()
        """Batches under way, whose end is not known."""
        self._workers: list[Worker] = []
        self._inline: Worker | None = None
        """Does the turns where there is no thread."""
        self._inline_busy = native.new_lock()
        self._inline_seconds: float | None = None
        """Seconds a request may take while a capture call waits for it."""
        self.last_seconds: float | None = None
        """Seconds left for events that come after the close, while the process ends. None: they are refused."""
        self._hurried = False
        """True when whoever waits should stop waiting: the process is being terminated."""
        self.sleepers: list[Worker] = []
        self._drain_waiters: list[Any] = []
        self._room_waiters: list[Any] = []
        self._urgent = False
        """True from a flush until nothing waits: thresholds don't count."""
        self._state = OPEN
        self._deadline: float | None = None
        """Monotonic seconds at which the close gives up."""
        self._hopeless = False
        """True when a close should not wait any longer: the server doesn't answer."""

    def reset_after_fork(self) -> None:
        """In a child: nothing waits, nobody works; what the parent holds, the parent sends."""
        closed = self._state == CLOSED
        self._reset()
        if closed:
            self._state = CLOSED

    # --- coming in -------------------------------------------------------------------------------------------------

    def put(self, envelope: Envelope, lane: Lane) -> bool:
        """Let *envelope* wait in *lane*; False if there was no room or the sender is closed, which is counted."""
        size = envelope.size
        if size > self._max_event:
            self.report.too_large(envelope, lane)
            return False
        waiting = self._waiting[lane]
        if self.always and not self._write_ahead(envelope, lane):
            return False
        with self.lock:
            is_open = self._state == OPEN
            admitted = (
                is_open and len(waiting.envelopes) < waiting.max_count and waiting.size + size <= waiting.max_bytes
            )
            if admitted:
                self._enter(waiting, envelope, size)
        if not is_open:
            return self._put_late(envelope, lane)
        if not admitted:
            return self._put_overflowing(envelope, waiting, size)
        self.report.tally.add(waiting.admitted)
        if not self._workers and not self.start():
            self._serve_inline()
        return True

    def _write_ahead(self, envelope: Envelope, lane: Lane) -> bool:
        """``spool="always"``: on disk before it waits. False when it was given up while it was made."""
        if not envelope.seal():
            return False
        if self._state == OPEN:
            self.spool.write(envelope, lane)  # type: ignore[union-attr]
        return True

    def _enter(self, waiting: Waiting, envelope: Envelope, size: int) -> None:
        """Append, and wake a sleeper if that makes something due or starts a time to wait. The lock is held."""
        envelopes = waiting.envelopes
        first = not envelopes
        if first:
            waiting.since = self.clock.monotonic()
        envelopes.append(envelope)
        waiting.size += size
        waiting.entered += 1
        if self.sleepers and (first or self._count() >= self._flush_at or waiting.size >= policy.MAX_BATCH_BYTES):
            for sleeper in self.sleepers:
                if sleeper.listening:
                    sleeper.listening = False
                    self.sleepers.remove(sleeper)
                    sleeper.wake()
                    break

    def _count(self) -> int:
        return sum(map(len, self._queues))

    def deliver_now(self, envelope: Envelope, lane: Lane) -> bool:
        """Deliver one event in this thread, its retries included, as `sync_mode` does. False only when closed."""
        waiting = self._waiting[lane]
        batch = Batch(self.route, self._protocol, [envelope], [lane], self.clock.time())
        with self.lock:
            closed = self._state != OPEN
            if not closed:
                waiting.entered += 1
                self._held.add(batch)
        if closed:
            return self._put_late(envelope, lane)
        self.report.tally.add(waiting.admitted)
        worker = Worker(self)
        with _guard.quiet(), self.working(worker):
            worker.load(batch)
            self._turns(worker, lambda: worker.is_idle, None)
        return True

    def _put_late(self, envelope: Envelope, lane: Lane) -> bool:
        """After the close. While the process ends, its last events still get a chance: the spool, or one short request."""
        if self.last_seconds is None or not envelope.seal():
            self.report.dropped("closed", [envelope], [lane])
            return False
        self.report.tally.add(f"admitted.{lane}")
        batch = Batch(self.route, self._protocol, [envelope], [lane], self.clock.time())
        batch.recovered = True  # it never waited
        error: Exception | None = None
        if self.spool is None and self.last_seconds > 0.01:
            start = self.clock.monotonic()
            batch.attempt = 1
            with _guard.quiet(), self.working(Worker(self)):
                outcome = self.transport.send(batch, min(self._options.timeout, self.last_seconds))
            self.last_seconds -= self.clock.monotonic() - start
            if outcome.verdict == "delivered":
                self.report.count("delivered", [lane])
                return True
            error = outcome.error
        self.keep_or_lose("closed_undelivered", [envelope], [lane], error)
        return True

    def _put_overflowing(self, envelope: Envelope, waiting: Waiting, size: int) -> bool:
        """The lane is full: what gives way is the option's choice."""
        if self.spool is not None and envelope.seal() and self.spool.overflow(envelope, waiting.lane):
            self.report.tally.add(waiting.admitted)
            self.report.count("spooled", [waiting.lane])
            return True
        policy_name = self._options.overflow
        if policy_name == "block" and _working.get() is None:
            end = self.clock.monotonic() + self._options.overflow_block_ms / 1000.0
            while self.clock.monotonic() < end:
                room = native.new_lock()
                room.acquire()
                with self.lock:
                    if waiting.has_room(size) and self._state == OPEN:
                        self._enter(waiting, envelope, size)
                        break
                    self._room_waiters.append(room)
                native.wait(room, end - self.clock.monotonic())
            else:
                self.report.dropped("queue_full", [envelope], [waiting.lane])
                return False
        elif policy_name == "drop_oldest" and size <= waiting.max_bytes:
            with self.lock:
                removed = waiting.make_room(size)
                waiting.settled += len(removed)
                self._enter(waiting, envelope, size)
            if self.spool is not None:
                self.spool.done(removed)
            self.report.dropped("queue_full", removed, [waiting.lane] * len(removed))
        else:
            self.report.dropped("queue_full", [envelope], [waiting.lane])
            return False
        self.report.tally.add(waiting.admitted)
        return True

    # --- starting --------------------------------------------------------------------------------------------------

    def start(self) -> bool:
        """Start the sending threads if they don't run. False where none can be started: then the caller takes the turns."""
        if self._manual:
            return True
        if not native.threads_run():
            if native.uwsgi_lacks_threads():
                _guard.once(
                    "warning",
                    "uWSGI runs without threads (enable-threads is off): events are sent by the code that captures them, which "
                    "waits for the server. Start uWSGI with --enable-threads.",
                )
            return False
        with self.lock:
            if self._workers or self._state == CLOSED:
                return True
            workers = self._workers = [Worker(self) for _ in range(self._options.thread)]
        started = 0
        try:
            for worker in workers:
                native.start_thread(worker.run, f"phtrack-{self.route}-{started}")
                started += 1
        except RuntimeError:
            # No thread can be started: the interpreter is shutting down, or the process is at its limit.
            with self.lock:
                self._workers = workers[:started]
        return started > 0

    def _serve_inline(self) -> None:
        """Without threads: send what waits now, one try, and never sleep in the application's time."""
        if _working.get() is not None:
            return
        with self.lock:
            self._urgent = True
        self._inline_seconds = INLINE_SECONDS
        try:
            self.take_turns(lambda: not self._anything(), self.clock.monotonic() + INLINE_SECONDS, patient=False)
        finally:
            self._inline_seconds = None

    @contextmanager
    def working(self, worker: Worker) -> Iterator[None]:
        """Mark this thread as delivering: it will not be made to wait for delivery."""
        token = _working.set(worker)
        try:
            yield
        finally:
            _working.reset(token)

    def before_fork(self, deadline: float) -> list[Worker]:
        """Keep the threads from their turns, until *deadline* at most. Returns those that are kept, for `after_fork_in_parent`."""
        here = _working.get()
        kept = []
        for worker in list(self._workers):
            if worker is not here and worker.at_work.acquire(True, max(0.0, deadline - time.monotonic())):
                kept.append(worker)
        return kept

    # --- what workers ask ------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """True when all is over and threads should end."""
        return self._state == CLOSED

    def idle_for(self) -> float:
        """Seconds until what waits is due."""
        with self.lock:
            return self.idle_for_locked()

    def idle_for_locked(self) -> float:
        """`idle_for` for a caller who holds the lock."""
        total = 0
        due = FOREVER
        size = 0
        for waiting in self._queues:
            if waiting.envelopes:
                total += len(waiting.envelopes)
                size += waiting.size
                due = min(due, waiting.since + waiting.interval)
        if not total:
            return self._spool_due_in()
        if self._urgent or self._state != OPEN or total >= self._flush_at or size >= policy.MAX_BATCH_BYTES:
            return 0.0
        return min(max(0.0, due - self.clock.monotonic()), self._spool_due_in())

    def _spool_due_in(self) -> float:
        """Seconds until the spool may have something for us; the lane `ai` leaves that to the others."""
        if self.spool is None or self.route == "ai" or self._hopeless:
            return FOREVER
        now = self.clock.monotonic()
        return max(self.spool.due_in(now), self.circuit.wait(now))

    def next_spooled(self) -> Batch | None:
        """A batch of what was left on disk, oldest first, or None."""
        if self.spool is None or self._spool_due_in() > 0:
            return None
        taken = self.spool.take(self._flush_at, policy.MAX_BATCH_BYTES)
        if taken is None:
            self._tell_waiters()
            return None
        protocol, events = taken
        route: Route = "ai" if events[0][0] == "ai" else "events"
        envelopes, lanes = [one[1] for one in events], [one[0] for one in events]
        batch = Batch(route, "v0" if route == "ai" else protocol, envelopes, lanes, self.clock.time())
        batch.recovered = True
        with self.lock:
            closed = self._state == CLOSED
            if not closed:
                self._held.add(batch)
        if closed:
            # The close came between the taking and the holding: they were read, and still are on disk.
            self.report.count("spooled", lanes)
            return None
        return batch

    def next_batch(self) -> Batch | None:
        """A batch of what is due, errors first, or None. Its events may not be sealed."""
        with self.lock:
            if self._hopeless or self.idle_for_locked() > 0 or not self._count():
                return None
            now = self.clock.monotonic()
            envelopes: list[Envelope] = []
            lanes: list[Lane] = []
            size = 0
            for waiting in self._queues:
                room = self._flush_at - len(envelopes)
                if waiting.envelopes and room > 0 and size < policy.MAX_BATCH_BYTES:
                    before = waiting.size
                    taken = waiting.take(room, policy.MAX_BATCH_BYTES - size, now)
                    size += before - waiting.size
                    envelopes.extend(taken)
                    lanes.extend([waiting.lane] * len(taken))
            if not self._count():
                self._urgent = False
            batch = Batch(self.route, self._protocol, envelopes, lanes, self.clock.time())
            self._held.add(batch)
            room_waiters, self._room_waiters = self._room_waiters, []
        for lock in room_waiters:
            lock.release()
        return batch

    def hold_back(self, batch: Batch) -> float:
        """Seconds for which *batch* must not be sent; infinity when a close finds that it never will."""
        now = self.clock.monotonic()
        wait = max(batch.due - now, self.circuit.wait(now))
        if wait <= 0:
            return 0.0
        deadline = self._deadline
        if self._hopeless or (deadline is not None and now + wait > deadline):
            self._give_hope_up()
            return FOREVER
        return wait

    def timeout(self, now: float) -> float:
        """Seconds a request that leaves *now* may take."""
        deadline = self._deadline
        seconds = self._options.timeout
        if self._inline_seconds is not None:
            seconds = min(seconds, self._inline_seconds)
        return seconds if deadline is None else max(0.05, min(seconds, deadline - now))

    # --- where events end ------------------------------------------------------------------------------------------

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

    def ended(self, batch: Batch, events: Sequence[tuple[Envelope, Lane]]) -> None:
        """These *events* of *batch* have their end, and it is counted and told: whoever waits for that may go on."""
        if self.spool is not None:
            self.spool.done([envelope for envelope, _ in events])
        with self.lock:
            if self._state == CLOSED:
                return
            if not batch.recovered:
                for _, lane in events:
                    self._waiting[lane].settled += 1
        self._tell_waiters()

    def _tell_waiters(self) -> None:
        """Let everyone look again who waits for the end of something."""
        with self.lock:
            waiters, self._drain_waiters = self._drain_waiters, []
        for lock in waiters:
            lock.release()

    def delivered(self, batch: Batch) -> None:
        """All events of *batch* arrived."""
        if self.claim(batch):
            self.report.count("delivered", batch.lanes)
            self.ended(batch, list(zip(batch.envelopes, batch.lanes)))

    def delivered_partly(self, batch: Batch, verdicts: Verdicts, outcome: Outcome) -> None:
        """Protocol v1: some events arrived, some were given up, some go again."""
        if not self.claim(batch, [verdicts.again] if verdicts.again is not None else []):
            return
        self.report.count("delivered", [lane for _, lane in verdicts.delivered])
        for reason, lost, error in verdicts.losses(batch, outcome):
            envelopes, lanes = [one[0] for one in lost], [one[1] for one in lost]
            if reason == "retries_exhausted":
                self.keep_or_lose(reason, envelopes, lanes, error)
            else:
                self.report.dropped(reason, envelopes, lanes, error)
        self.ended(batch, verdicts.ended)

    def undeliverable(self, batch: Batch, reason: str, error: Exception | None) -> None:
        """The attempts are used up: the spool keeps the events, or they are lost."""
        if self.claim(batch):
            self.keep_or_lose(reason, batch.envelopes, batch.lanes, error)
            if batch.recovered and self.spool is not None:
                self.spool.put_back()
            self.ended(batch, list(zip(batch.envelopes, batch.lanes)))
        if self._state == CLOSING:
            self._give_hope_up()

    def refused(self, batch: Batch, reason: str, error: Exception | None) -> None:
        """The server will never take these events."""
        if self.claim(batch):
            self.report.dropped(reason, batch.envelopes, batch.lanes, error)
            self.ended(batch, list(zip(batch.envelopes, batch.lanes)))

    def keep_or_lose(
        self, reason: str, envelopes: Sequence[Envelope], lanes: Sequence[Lane], error: Exception | None = None
    ) -> None:
        """Spool sealed events that can't be delivered now; what can't be spooled is lost."""
        lost = range(len(envelopes)) if self.spool is None else self.spool.keep(envelopes, lanes)
        if len(lost) < len(envelopes):
            gone = set(lost)
            self.report.spooled([lane for index, lane in enumerate(lanes) if index not in gone], error)
        if lost:
            self.report.dropped(reason, [envelopes[i] for i in lost], [lanes[i] for i in lost], error)

    # --- waiting for the end ---------------------------------------------------------------------------------------

    def pending(self) -> dict[str, Any]:
        """How much waits and travels, per lane."""
        with self.lock:
            return {
                waiting.lane: {
                    "queued": len(waiting),
                    "queued_bytes": waiting.size,
                    "pending": waiting.entered - waiting.settled,
                }
                for waiting in self._queues
            }

    def flush_begin(self) -> dict[Lane, int] | None:
        """Make everything that waits due. Returns what to wait for, or None when there is nothing."""
        with self.lock:
            targets = {one.lane: one.entered for one in self._queues if one.settled < one.entered}
            if not targets and not self._spool_busy_locked():
                return None
            self._urgent = self._count() > 0
            self._wake_all()
        return targets

    def flush_end(self, targets: dict[Lane, int], deadline: float | None) -> bool:
        """Wait until what *targets* names has ended; False if *deadline* came first."""
        if _working.get() is not None:
            return False  # we are the one who would have to deliver it

        def done() -> bool:
            return (
                all(self._waiting[lane].settled >= target for lane, target in targets.items())
                and not self._spool_busy_locked()
            )

        self.start()
        if not self._workers:
            return self.take_turns(done, deadline)
        return self._await(done, deadline)

    def _wake_all(self) -> None:
        self.epoch += 1
        sleepers, self.sleepers = self.sleepers, []
        for sleeper in sleepers:
            sleeper.listening = False
            sleeper.wake()

    def _await(self, done: Callable[[], bool], deadline: float | None) -> bool:
        while True:
            news = native.new_lock()
            news.acquire()
            with self.lock:
                if done():
                    return True
                if self._hopeless or self._hurried:
                    return False
                self._drain_waiters.append(news)
            seconds = None if deadline is None else deadline - self.clock.monotonic()
            if (seconds is not None and seconds <= 0) or not native.wait(news, seconds):
                return done()

    def take_turns(self, done: Callable[[], bool], deadline: float | None, *, patient: bool = True) -> bool:
        """Deliver in this thread until *done*, *deadline*, or nothing is left to do."""
        if not self._inline_busy.acquire(False):
            return done()
        try:
            worker = self._inline = self._inline or Worker(self)
            with _guard.quiet(), self.working(worker):
                self._turns(worker, done, deadline, patient=patient)
            return done()
        finally:
            self._inline_busy.release()

    def _turns(self, worker: Worker, done: Callable[[], bool], deadline: float | None, *, patient: bool = True) -> None:
        sleep = getattr(self.clock, "sleep", time.sleep)
        while not done() and not self._hurried:
            wait = worker.turn()
            if wait <= 0:
                continue
            if (
                done()
                or wait == FOREVER
                or not patient
                or (deadline is not None and self.clock.monotonic() + wait > deadline)
            ):
                break
            sleep(wait)

    def step(self) -> float:
        """One turn without a thread; seconds until the next may have something to do."""
        worker = self._inline = self._inline or Worker(self)
        with _guard.quiet(), self.working(worker):
            return worker.turn()

    def hurry(self) -> None:
        """Let whoever waits stop waiting. For signal handlers: takes the lock only if nobody holds it."""
        self._hurried = True
        if self.lock.acquire(False):
            waiters, self._drain_waiters = self._drain_waiters, []
            self.lock.release()
            for lock in waiters:
                lock.release()

    # --- closing ---------------------------------------------------------------------------------------------------

    def waiting(self) -> bool:
        """True while events are queued."""
        with self.lock:
            return any(queue.envelopes for queue in self._queues)

    def seal_one(self) -> None:
        """Make the bytes of the first event that waits, for the sake of what that loads."""
        with self.lock:
            first = next((queue.envelopes[0] for queue in self._queues if queue.envelopes), None)
        if first is not None:
            first.seal()

    def close_begin(self, deadline: float | None) -> None:
        """Take nothing more in, and make everything due: once more also what only waits for our own back-off."""
        with self.lock:
            if self._state != OPEN:
                return
            self._state = CLOSING
            self._deadline = deadline
            self._urgent = True
            for batch in self._held:
                if not batch.retry_after:
                    batch.due = 0.0
            self._wake_all()

    def close_end(self) -> None:
        """Wait for delivery until the deadline, then end what is left over."""
        if self._state != CLOSING:
            return
        try:
            if self._anything():
                self.start()
                if self._workers:
                    self._await(lambda: not self._anything_locked(), self._deadline)
                else:
                    self.take_turns(lambda: not self._anything(), self._deadline)
        finally:
            self.end()

    def _anything(self) -> bool:
        with self.lock:
            return self._anything_locked()

    def _anything_locked(self) -> bool:
        return any(waiting.settled < waiting.entered for waiting in self._queues) or self._spool_busy_locked()

    def _spool_busy_locked(self) -> bool:
        """True while events from disk travel, or may be about to."""
        return self._spool_due_in() <= 0 or any(batch.recovered for batch in self._held)

    def _give_hope_up(self) -> None:
        with self.lock:
            if self._state != CLOSING or self._hopeless:
                return
            self._hopeless = True
        self._tell_waiters()

    def end(self) -> None:
        """Settle everything that waits or travels, and let the threads go. Idempotent."""
        with self.lock:
            if self._state == CLOSED:
                return
            self._state = CLOSED
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
            self._wake_all()
        made = [(envelope, lane) for envelope, lane in left if envelope.seal()]
        if made:
            if error is None:
                from phtrack.request import APIError

                error = APIError(None, "not delivered before the time to close was up")
            self.keep_or_lose("closed_undelivered", [one[0] for one in made], [one[1] for one in made], error)
