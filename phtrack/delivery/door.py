"""
The door of a sender: which events come in, and what becomes of those that can't.

    put -> [spool="always": on disk first] -> room? -> the ledger's queue
                                              full: the spool, or what the option says        closed: one last chance, or none

What is refused here is counted here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from phtrack import _guard
from phtrack._locks import is_inside, new_lock
from phtrack.delivery import native, policy
from phtrack.delivery.crew import is_working, working
from phtrack.delivery.ledger import CLOSED, OPEN
from phtrack.delivery.worker import Worker

if TYPE_CHECKING:
    from phtrack.delivery.queue import Waiting
    from phtrack.delivery.sender import Sender
    from phtrack.options import DeliveryOptions
    from phtrack.seams import Envelope, Lane


_HOLDERS = frozenset(f"phtrack.delivery.{name}" for name in ("crew", "door", "ledger", "sender", "spool", "worker"))
"""Modules that hold the ledger's lock or the spool's."""


class Door:
    """Where the events of one sender enter."""

    def __init__(self, sender: Sender, options: DeliveryOptions) -> None:
        self._sender = sender
        self._ledger = sender.ledger
        self._crew = sender.crew
        self._report = sender.report
        self._spool = sender.spool
        self._clock = sender.clock
        self._options = options
        self._max_event = policy.MAX_AI_EVENT_BYTES if sender.route == "ai" else policy.MAX_EVENT_BYTES
        self._writes_ahead = sender.spool is not None and sender.spool.always
        self._bringing_in = new_lock()
        self.last_seconds: float | None = None
        """Seconds left for events that come after the close, while the process ends. None: they are refused."""

    def reset_after_fork(self) -> None:
        """In a child, which does not end yet."""
        self._bringing_in = new_lock()
        self.last_seconds = None

    def put(self, envelope: Envelope, lane: Lane) -> bool:
        """Let *envelope* wait in *lane*; False if there was no room or the sender is closed, which is counted."""
        if self.is_interrupting():
            return self.put_aside(envelope, lane)
        size = envelope.size
        if size > self._max_event:
            self._report.too_large(envelope, lane)
            return False
        ledger = self._ledger
        if self._writes_ahead and not self._write_ahead(envelope, lane):
            return False
        with ledger.lock:
            waiting = ledger.lanes[lane]
            is_open = ledger.state == OPEN
            admitted = (
                is_open and len(waiting.envelopes) < waiting.max_count and waiting.size + size <= waiting.max_bytes
            )
            if admitted:
                ledger.enter_locked(waiting, envelope, size)
        if not is_open:
            return self._put_late(envelope, lane)
        if not admitted:
            return self._put_overflowing(envelope, waiting, size)
        self._report.tally.add(waiting.admitted)
        crew = self._crew
        if not crew.workers and not crew.start():
            self._bring_in()
            crew.serve_inline()
        return True

    def is_interrupting(self) -> bool:
        """
        True in a signal handler, or a `__del__`, that may have interrupted its own thread where a lock of ours is held.

        Asks about the code that called the caller. Costs nothing to speak of while nobody holds a lock.
        """
        if not self._ledger.lock.locked() and (self._spool is None or not self._spool.lock.locked()):
            return False
        return is_inside(_HOLDERS, sys._getframe(2))

    def put_aside(self, envelope: Envelope, lane: Lane) -> bool:
        """`put` for such code, which can't wait for the lines it has interrupted: another thread lets the event in."""
        ledger = self._ledger
        if ledger.state == CLOSED:
            self._report.count("dropped:closed", [lane])
            return False
        self._report.count("admitted", [lane])
        ledger.put_aside(envelope, lane)
        if native.threads_run():
            try:
                native.start_bare_thread(self._bring_in)
            except RuntimeError:
                pass  # the close finds it
        return True

    def _bring_in(self) -> None:
        """Let in what was put aside."""
        ledger = self._ledger
        with _guard.quiet(), self._bringing_in:
            while (first := ledger.first_aside()) is not None:
                envelope, lane = first
                if self._writes_ahead and envelope.seal():
                    self._spool.write(envelope, lane)  # type: ignore[union-attr]
                entered = ledger.enter_aside(envelope)
                if entered:
                    self._crew.start()
                elif entered is False and envelope.seal():
                    self._sender.keep_or_lose("closed_undelivered", [envelope], [lane])

    def deliver_now(self, envelope: Envelope, lane: Lane) -> bool:
        """Deliver one event in this thread, its retries included, as `sync_mode` does. False only when closed."""
        ledger = self._ledger
        batch = ledger.batch([envelope], [lane])
        if not ledger.enter_travelling(batch):
            return self._put_late(envelope, lane)
        self._report.count("admitted", batch.lanes)
        self._crew.deliver(batch)
        return True

    def _write_ahead(self, envelope: Envelope, lane: Lane) -> bool:
        """``spool="always"``: on disk before it waits. False when it was given up while it was made."""
        if not envelope.seal():
            return False
        if self._ledger.state == OPEN:
            self._spool.write(envelope, lane)  # type: ignore[union-attr]
        return True

    def _put_late(self, envelope: Envelope, lane: Lane) -> bool:
        """After the close. While the process ends, its last events still get a chance: the spool, or one short request."""
        if self.last_seconds is None or not envelope.seal():
            if self._spool is not None:
                self._spool.done([envelope])  # the close came after the writing ahead
            self._report.dropped("closed", [envelope], [lane])
            return False
        self._report.tally.add(f"admitted.{lane}")
        error: Exception | None = None
        if self._spool is None and self.last_seconds > 0.01:
            start = self._clock.monotonic()
            batch = self._ledger.batch([envelope], [lane])
            batch.attempt = 1
            with _guard.quiet(), working(Worker(self._sender)):
                outcome = self._sender.transport.send(batch, min(self._options.timeout, self.last_seconds))
            self.last_seconds -= self._clock.monotonic() - start
            if outcome.verdict == "delivered":
                self._report.count("delivered", [lane])
                return True
            error = outcome.error
        self._sender.keep_or_lose("closed_undelivered", [envelope], [lane], error)
        return True

    def _put_overflowing(self, envelope: Envelope, waiting: Waiting, size: int) -> bool:
        """The lane is full: what gives way is the option's choice."""
        lane = waiting.lane
        if self._spool is not None and envelope.seal() and self._spool.overflow(envelope, lane):
            self._report.tally.add(waiting.admitted)
            self._report.count("spooled", [lane])
            return True
        overflow = self._options.overflow
        if overflow == "block" and not is_working():
            entered = self._wait_for_room(envelope, waiting, size)
        elif overflow == "drop_oldest" and size <= waiting.max_bytes:
            if not self._push_out(envelope, waiting, size):
                return self._put_late(envelope, lane)
            entered = True
        else:
            entered = False
        if entered:
            self._report.tally.add(waiting.admitted)
        else:
            self._report.dropped("queue_full", [envelope], [lane])
        return entered

    def _wait_for_room(self, envelope: Envelope, waiting: Waiting, size: int) -> bool:
        ledger = self._ledger
        end = self._clock.monotonic() + self._options.overflow_block_ms / 1000.0
        while self._clock.monotonic() < end:
            with ledger.lock:
                if waiting.has_room(size) and ledger.state == OPEN:
                    ledger.enter_locked(waiting, envelope, size)
                    return True
                room = ledger.wait_for_room_locked()
            native.wait(room, end - self._clock.monotonic())
        return False

    def _push_out(self, envelope: Envelope, waiting: Waiting, size: int) -> bool:
        """False when the close came first."""
        ledger = self._ledger
        with ledger.lock:
            if ledger.state != OPEN:
                return False
            removed = waiting.make_room(size)
            waiting.settled += len(removed)
            ledger.enter_locked(waiting, envelope, size)
        if self._spool is not None:
            self._spool.done(removed)
        self._report.dropped("queue_full", removed, [waiting.lane] * len(removed))
        return True
