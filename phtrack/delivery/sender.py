"""
One endpoint's delivery: where its parts meet, and how events end.

    Door (who comes in) -> Ledger (who is where) -> Crew of Workers (who does it) -> here: delivered | spooled | dropped

A worker asks here what to do next, and says here what came of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phtrack.delivery import policy
from phtrack.delivery.crew import Crew, is_working
from phtrack.delivery.door import Door
from phtrack.delivery.ledger import CLOSED, CLOSING, Ledger
from phtrack.delivery.policy import FOREVER
from phtrack.seams import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from phtrack.delivery.policy import Circuit
    from phtrack.delivery.report import Report
    from phtrack.delivery.spool import Spool
    from phtrack.delivery.v1 import Verdicts
    from phtrack.options import DeliveryOptions
    from phtrack.seams import Clock, Envelope, Lane, Outcome, Route, Transport


class Sender:
    """Everything between the door and the transport, for one route."""

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
        self._timeout = options.timeout
        self._flush_at = options.flush_at
        self.ledger = Ledger(route, lanes, options, protocol=protocol, clock=clock)
        self.crew = Crew(self, options)
        self.door = Door(self, options)

    def reset_after_fork(self) -> None:
        """In a child: nothing waits, nobody works; what the parent holds, the parent sends."""
        self.ledger.reset_after_fork()
        self.crew.reset_after_fork()
        self.door.reset_after_fork()

    # --- what workers ask ------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """True when all is over and threads should end."""
        return self.ledger.state == CLOSED

    def due_in(self) -> float:
        """Seconds until there is something to do: what waits is due, or the spool may have something."""
        with self.ledger.lock:
            return self.due_in_locked()

    def due_in_locked(self) -> float:
        """`due_in` for a caller who holds the ledger's lock."""
        return min(self.ledger.due_in_locked(), self._spool_due_in())

    def _spool_due_in(self) -> float:
        """Seconds until the spool may have something for us; the lane `ai` leaves that to the others."""
        if self.spool is None or self.route == "ai" or self.ledger.hopeless:
            return FOREVER
        now = self.clock.monotonic()
        return max(self.spool.due_in(now), self.circuit.wait(now))

    def next_batch(self) -> Batch | None:
        """What is due, or else what was left on disk, oldest first; None when there is nothing."""
        return self.ledger.next_batch() or self._next_spooled()

    def _next_spooled(self) -> Batch | None:
        if self.spool is None or self._spool_due_in() > 0:
            return None
        taken = self.spool.take(self._flush_at, policy.MAX_BATCH_BYTES)
        if taken is None:
            self.ledger.tell_waiters()
            return None
        protocol, events = taken
        route: Route = "ai" if events[0][0] == "ai" else "events"
        envelopes, lanes = [one[1] for one in events], [one[0] for one in events]
        batch = Batch(route, "v0" if route == "ai" else protocol, envelopes, lanes, self.clock.time())
        batch.recovered = True
        if not self.ledger.hold(batch):
            # The close came between the taking and the holding: they were read, and still are on disk.
            self.report.count("spooled", lanes)
            return None
        return batch

    def hold_back(self, batch: Batch) -> float:
        """Seconds for which *batch* must not be sent; infinity when a close finds that it never will."""
        now = self.clock.monotonic()
        wait = max(batch.due - now, self.circuit.wait(now))
        if wait <= 0:
            return 0.0
        deadline = self.ledger.deadline
        if self.ledger.hopeless or (deadline is not None and now + wait > deadline):
            self.ledger.give_hope_up()
            return FOREVER
        return wait

    def timeout(self, now: float) -> float:
        """Seconds a request that leaves *now* may take."""
        seconds = self._timeout
        inline, deadline = self.crew.inline_seconds, self.ledger.deadline
        if inline is not None:
            seconds = min(seconds, inline)
        return seconds if deadline is None else max(0.05, min(seconds, deadline - now))

    # --- where events end ------------------------------------------------------------------------------------------

    def ended(self, batch: Batch, envelopes: Sequence[Envelope], lanes: Sequence[Lane]) -> None:
        """These events of *batch* have their end, and it is counted and told: whoever waits for that may go on."""
        if self.spool is not None:
            self.spool.done(envelopes)
        self.ledger.settle(() if batch.recovered else lanes)

    def delivered(self, batch: Batch) -> None:
        """All events of *batch* arrived."""
        if self.ledger.claim(batch):
            self.report.count("delivered", batch.lanes)
            self.ended(batch, batch.envelopes, batch.lanes)

    def delivered_partly(self, batch: Batch, verdicts: Verdicts, outcome: Outcome) -> None:
        """Protocol v1: some events arrived, some were given up, some go again."""
        if not self.ledger.claim(batch, [verdicts.again] if verdicts.again is not None else []):
            return
        self.report.count("delivered", [lane for _, lane in verdicts.delivered])
        for reason, lost, error in verdicts.losses(batch, outcome):
            envelopes, lanes = [one[0] for one in lost], [one[1] for one in lost]
            if reason == "retries_exhausted":
                self.keep_or_lose(reason, envelopes, lanes, error)
            else:
                self.report.dropped(reason, envelopes, lanes, error)
        ended = verdicts.ended
        self.ended(batch, [one[0] for one in ended], [one[1] for one in ended])

    def undeliverable(self, batch: Batch, reason: str, error: Exception | None) -> None:
        """The attempts are used up: the spool keeps the events, or they are lost."""
        if self.ledger.claim(batch):
            self.keep_or_lose(reason, batch.envelopes, batch.lanes, error)
            if batch.recovered and self.spool is not None:
                self.spool.put_back()
            self.ended(batch, batch.envelopes, batch.lanes)
        self.ledger.give_hope_up()

    def refused(self, batch: Batch, reason: str, error: Exception | None) -> None:
        """The server will never take these events."""
        if self.ledger.claim(batch):
            self.report.dropped(reason, batch.envelopes, batch.lanes, error)
            self.ended(batch, batch.envelopes, batch.lanes)

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

    def is_busy_locked(self) -> bool:
        """True while events wait or travel. The ledger's lock is held."""
        return bool(self.ledger.entered()) or self._spool_busy_locked()

    def _spool_busy_locked(self) -> bool:
        """True while events from disk travel, or may be about to."""
        return self._spool_due_in() <= 0 or self.ledger.recovers_locked()

    def _wait(self, done_locked: Callable[[], bool], deadline: float | None) -> bool:
        self.crew.start()
        if self.crew.workers:
            return self.ledger.wait_until(done_locked, deadline)
        return self.crew.take_turns(done_locked, deadline)

    def flush_begin(self) -> dict[Lane, int] | None:
        """Make everything that waits due. Returns what to wait for, or None when there is nothing."""
        with self.ledger.lock:
            if not self.is_busy_locked():
                return None
            self.ledger.urge_locked()
            self.ledger.wake_all_locked()
            return self.ledger.entered()

    def flush_end(self, targets: dict[Lane, int], deadline: float | None) -> bool:
        """Wait until what *targets* names has ended; False if *deadline* came first."""
        if is_working():
            return False  # we are the one who would have to deliver it
        return self._wait(lambda: self.ledger.has_settled(targets) and not self._spool_busy_locked(), deadline)

    def close_end(self) -> None:
        """After the ledger's `close_begin`: wait for delivery until the deadline, then `end` what is left over."""
        if self.ledger.state != CLOSING:
            return
        try:
            with self.ledger.lock:
                is_busy = self.is_busy_locked()
            if is_busy:
                self._wait(lambda: not self.is_busy_locked(), self.ledger.deadline)
        finally:
            self.end()

    def end(self) -> None:
        """Settle everything that waits or travels, and let the threads go. Idempotent."""
        closed = self.ledger.close()
        if closed is None:
            return
        left, error = closed
        made = [(envelope, lane) for envelope, lane in left if envelope.seal()]
        if made:
            if error is None:
                from phtrack.request import APIError

                error = APIError(None, "not delivered before the time to close was up")
            self.keep_or_lose("closed_undelivered", [one[0] for one in made], [one[1] for one in made], error)
