"""
One pair of hands of a sender: takes batches, makes attempts, and draws the conclusions.

    turn() = one step, without a thread: send what is due, or say for how many seconds there is nothing to do
    run()  = a thread around it

What it decides it hands to the sender, which knows how events end; the ledger knows which are its to send.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from phtrack import _guard
from phtrack._locks import new_lock
from phtrack.delivery import policy
from phtrack.delivery.policy import FOREVER
from phtrack.delivery.v1 import partition
from phtrack.seams import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phtrack.delivery.sender import Sender
    from phtrack.seams import Envelope, Lane, Outcome


class Worker:
    """Sends for one `Sender`. A turn is never taken by two threads at once."""

    __slots__ = ("_batches", "_epoch", "_ledger", "_sender", "_wake", "at_work", "listening")

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._ledger = sender.ledger
        self._batches: deque[Batch] = deque()
        """Batches on the way, the next one first: one that waits for its next attempt, or the halves of a split."""
        self._epoch = -1
        self._wake = new_lock()
        self._wake.acquire()
        self.at_work = new_lock()
        """
        Held by the thread in its turns, but for requests and the application's code. A fork waits for it: a child would find
        modules half imported by a thread that it doesn't have, and wait for them for ever.
        """
        self.listening = False
        """True while asleep and interested in new events. Guarded by the ledger's lock."""

    # --- one turn --------------------------------------------------------------------------------------------------

    def turn(self) -> float:
        """
        Do what is due, one request at most.

        Returns:
            Seconds until there may be something to do; 0 is now, infinity is "when something comes in".
        """
        sender = self._sender
        self._epoch = self._ledger.epoch
        while self._batches and self._batches[0].settled:
            self._batches.popleft()  # somebody ended it: the exit, which could wait no longer
        if not self._batches:
            taken = sender.next_batch()
            if taken is None:
                return sender.due_in()
            self.load(taken)
            if not self._batches:
                return 0.0
        batch = self._batches[0]
        wait = sender.hold_back(batch)
        if wait > 0:
            return wait
        self._attempt(batch)
        return 0.0

    def load(self, batch: Batch) -> None:
        """Give it, idle, a batch to deliver."""
        self._batches.append(batch)  # so that it has an end also if the making of its bytes fails
        parts = self._seal(batch)
        self._batches.popleft()
        self._batches.extend(parts)

    @property
    def is_idle(self) -> bool:
        """True when no batch is on the way."""
        return not self._batches

    def _seal(self, batch: Batch) -> list[Batch]:
        """Make the bytes that were put off. What was given up or is too large ends here; what became too much is split."""
        limit = policy.MAX_AI_EVENT_BYTES if batch.route == "ai" else policy.MAX_EVENT_BYTES
        parts: list[list[tuple[Envelope, Lane]]] = [[]]
        ended: list[tuple[Envelope, Lane]] = []
        total = 0
        for envelope, lane in zip(batch.envelopes, batch.lanes):
            body = envelope.seal()
            size = 0 if body is None else len(body)
            if not size or size > limit:
                ended.append((envelope, lane))
                continue
            if total + size > policy.MAX_BATCH_BYTES and parts[-1]:
                parts.append([])
                total = 0
            total += size
            parts[-1].append((envelope, lane))
        if len(parts) == 1 and not ended:
            return [batch]
        batches = [self._part(batch, part) for part in parts if part]
        if not self._ledger.claim(batch, batches):
            return []
        for envelope, lane in ended:
            if envelope.body:
                self._sender.report.too_large(envelope, lane)
        self._sender.ended(batch, [one[0] for one in ended], [one[1] for one in ended])
        return batches

    def _part(self, batch: Batch, events: list[tuple[Envelope, Lane]]) -> Batch:
        """A batch of some of the events of *batch*, as a new request."""
        envelopes, lanes = [one[0] for one in events], [one[1] for one in events]
        part = Batch(batch.route, batch.protocol, envelopes, lanes, batch.created)
        part.recovered = batch.recovered
        return part

    # --- one attempt -----------------------------------------------------------------------------------------------

    def _attempt(self, batch: Batch) -> None:
        sender = self._sender
        batch.attempt += 1
        if batch.protocol == "v1" and batch.request_id is None:
            from uuid import uuid4

            batch.request_id = str(uuid4())
        if batch.attempt > 1:
            sender.report.count("retried", batch.lanes)
        now = sender.clock.monotonic()
        timeout = sender.timeout(now)
        sender.circuit.leaving(now, timeout)
        with self.away():
            outcome = sender.transport.send(batch, timeout)
        if outcome.size:
            sender.report.tally.add("bytes", outcome.size)
        if outcome.error is not None:
            batch.error = sender.report.last_error = outcome.error
        now = sender.clock.monotonic()
        if outcome.verdict == "retry":
            exhausted = batch.attempt > sender.max_retries
            sender.circuit.failed(now, _chance(), exhausted=exhausted)
            if exhausted:
                self._batches.popleft()
                sender.undeliverable(batch, "retries_exhausted", outcome.error)
            else:
                self._put_off(batch, outcome, now)
            return
        sender.circuit.succeeded()
        if sender.spool is not None:
            sender.spool.server_answered()
        self._batches.popleft()
        if outcome.verdict == "delivered":
            self._delivered(batch, outcome, now)
        elif outcome.verdict == "split" and len(batch) > 1:
            self._split(batch)
        else:
            status = outcome.status
            sender.refused(batch, f"http_{status}" if status is not None else "unsendable", outcome.error)

    def _put_off(self, batch: Batch, outcome: Outcome, now: float) -> None:
        wait = policy.jittered(policy.backoff(batch.attempt + 1, outcome.retry_after), _chance())
        batch.due = now + wait
        batch.retry_after = outcome.retry_after is not None
        _guard.say(
            "debug",
            "attempt %d failed (%s); %d event(s) go again in %.1f s",
            batch.attempt,
            outcome.error,
            len(batch),
            wait,
        )

    def _split(self, batch: Batch) -> None:
        events = list(zip(batch.envelopes, batch.lanes))
        middle = len(events) // 2
        halves = [self._part(batch, events[:middle]), self._part(batch, events[middle:])]
        _guard.say("debug", "a batch of %d events was too large for the server and goes in halves", len(batch))
        if self._ledger.claim(batch, halves):
            self._batches.extendleft(reversed(halves))

    def _delivered(self, batch: Batch, outcome: Outcome, now: float) -> None:
        """All of it, or what protocol v1's word per event leaves of it."""
        sender = self._sender
        if not outcome.results:
            sender.delivered(batch)
            return
        verdicts = partition(batch, outcome.results)
        again = verdicts.again
        if again is not None and batch.attempt > sender.max_retries:
            verdicts = verdicts.without_hope()
            again = None
        if again is not None:
            self._put_off(again, outcome, now)
            self._batches.appendleft(again)
        sender.delivered_partly(batch, verdicts, outcome)

    @contextmanager
    def away(self) -> Iterator[None]:
        """While inside, a fork need not wait for this thread."""
        held = self.at_work.locked()
        if held:
            self.at_work.release()
        try:
            yield
        finally:
            if held:
                self.at_work.acquire()

    # --- the thread ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """The life of a sending thread: turns, and rests between them, until the sender is closed."""
        sender = self._sender
        try:
            # The capture call that started us waits for a sign of life, and then for the interpreter's lock: let it go first,
            # or it waits for a slice of the imports to come.
            self._wake.acquire(True, 0.002)
            with self.at_work:
                sender.transport.prepare()
        except Exception as error:
            _guard.swallowed("delivery's start", error)
        while not sender.closed:
            try:
                with self.at_work:
                    wait = self.turn()
            except BaseException as error:  # the application's `sys.exit` in a hook is no reason to stop sending
                self.stumbled(error)
                wait = 0.0
            if wait > 0:
                self._rest(wait)

    def stumbled(self, error: BaseException) -> None:
        """A defect of ours must cost one batch, counted, and neither the thread nor a busy loop."""
        if self._batches:
            failure = error if isinstance(error, Exception) else None
            self._sender.undeliverable(self._batches.popleft(), "internal_error", failure)
        else:
            self._rest(1.0)
        _guard.swallowed("delivery", error)

    def _rest(self, seconds: float) -> None:
        ledger = self._ledger
        with ledger.lock:
            if ledger.epoch != self._epoch or self._sender.closed:
                return
            if not self._batches:
                seconds = self._sender.due_in_locked()
                if seconds <= 0:
                    return
                self.listening = True
            ledger.sleepers.append(self)
        woken = self._wake.acquire(True, -1 if seconds == FOREVER else min(seconds, 1e6))
        with ledger.lock:
            self.listening = False
            if self in ledger.sleepers:
                ledger.sleepers.remove(self)  # the time was up
            elif not woken:
                self._wake.acquire(False)  # woken in the moment the time was up

    def wake(self) -> None:
        """End the rest. The caller holds the ledger's lock and has found this worker among the sleepers."""
        self._wake.release()


def _chance() -> float:
    """A number from 0 to 1 for jitter. `random` loads with the first failure."""
    from random import random

    return random()
