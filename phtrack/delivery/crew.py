"""
Who does the work of a sender: its threads, started at the first need; where none can run, whoever calls takes the turns.

A thread that is delivering just now is marked as such, whoever it is: it can't be made to wait for delivery.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING

from phtrack import _guard
from phtrack._locks import new_lock
from phtrack.delivery import native
from phtrack.delivery.ledger import CLOSED
from phtrack.delivery.policy import FOREVER
from phtrack.delivery.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from phtrack.delivery.sender import Sender
    from phtrack.options import DeliveryOptions
    from phtrack.seams import Batch

INLINE_SECONDS = 3.0
"""The longest a capture call waits for the server where no thread can."""

_working: ContextVar[Worker | None] = ContextVar("phtrack_delivery_working", default=None)
"""The worker whose turn it is in this thread, which therefore can't wait for delivery."""


def is_working() -> bool:
    """True in a thread that is delivering just now: code called from there can't wait for delivery."""
    return _working.get() is not None


@contextmanager
def working(worker: Worker) -> Iterator[None]:
    """Mark this thread as delivering."""
    token = _working.set(worker)
    try:
        yield
    finally:
        _working.reset(token)


@contextmanager
def away() -> Iterator[None]:
    """While the application's code runs in a delivering thread, forks need not wait for it."""
    worker = _working.get()
    if worker is None:
        yield
    else:
        with worker.away():
            yield


class Crew:
    """The workers of one sender."""

    def __init__(self, sender: Sender, options: DeliveryOptions) -> None:
        self._sender = sender
        self._ledger = sender.ledger
        self._clock = sender.clock
        self._threads = options.thread
        self._manual = bool(getattr(sender.clock, "manual", False))
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a child: nobody works yet."""
        self.workers: list[Worker] = []
        self._inline: Worker | None = None
        """Does the turns where there is no thread."""
        self._inline_busy = new_lock()
        self.inline_seconds: float | None = None
        """Seconds a request may take while a capture call waits for it."""

    # --- threads ---------------------------------------------------------------------------------------------------

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
        with self._ledger.lock:
            if self.workers or self._ledger.state == CLOSED:
                return True
            workers = self.workers = [Worker(self._sender) for _ in range(self._threads)]
        started = 0
        try:
            for worker in workers:
                native.start_thread(partial(self._run, worker), f"phtrack-{self._sender.route}-{started}")
                started += 1
        except RuntimeError:
            # No thread can be started: the interpreter is shutting down, or the process is at its limit.
            with self._ledger.lock:
                self.workers = workers[:started]
        return started > 0

    def _run(self, worker: Worker) -> None:
        with _guard.quiet(), working(worker):
            worker.run()

    def before_fork(self, deadline: float) -> list[Worker]:
        """
        Keep the threads from their turns, until *deadline* (monotonic seconds of the machine) at most.

        Returns:
            Those that are kept: the caller releases `at_work` of each in the parent.
        """
        here = _working.get()
        kept = []
        for worker in list(self.workers):
            if worker is not here and worker.at_work.acquire(True, max(0.0, deadline - time.monotonic())):
                kept.append(worker)
        return kept

    # --- without threads -------------------------------------------------------------------------------------------

    def step(self) -> float:
        """One turn in this thread; seconds until the next may have something to do."""
        worker = self._inline = self._inline or Worker(self._sender)
        with _guard.quiet(), working(worker):
            return worker.turn()

    def deliver(self, batch: Batch) -> None:
        """Deliver *batch*, which is under way, in this thread, its retries included."""
        worker = Worker(self._sender)
        with _guard.quiet(), working(worker):
            try:
                worker.load(batch)
                self._turns(worker, lambda: worker.is_idle, None)
            except Exception as error:
                worker.stumbled(error)

    def serve_inline(self) -> None:
        """Send what waits now, one try, and never sleep in the application's time."""
        if is_working():
            return
        ledger = self._ledger
        with ledger.lock:
            ledger.urge_locked()
        self.inline_seconds = INLINE_SECONDS
        try:
            deadline = self._clock.monotonic() + INLINE_SECONDS
            self.take_turns(lambda: not self._sender.is_busy_locked(), deadline, patient=False)
        finally:
            self.inline_seconds = None

    def take_turns(self, done_locked: Callable[[], bool], deadline: float | None, *, patient: bool = True) -> bool:
        """Deliver in this thread until *done_locked* (asked under the ledger's lock), *deadline*, or nothing is left to do."""

        def done() -> bool:
            with self._ledger.lock:
                return done_locked()

        if self._inline_busy.acquire(False):
            try:
                worker = self._inline = self._inline or Worker(self._sender)
                with _guard.quiet(), working(worker):
                    self._turns(worker, done, deadline, patient=patient)
            finally:
                self._inline_busy.release()
        return done()

    def _turns(self, worker: Worker, done: Callable[[], bool], deadline: float | None, *, patient: bool = True) -> None:
        sleep = getattr(self._clock, "sleep", time.sleep)
        while not done() and not self._ledger.hurried:
            wait = worker.turn()
            if wait <= 0:
                continue
            if (
                done()
                or wait == FOREVER
                or not patient
                or (deadline is not None and self._clock.monotonic() + wait > deadline)
            ):
                break
            sleep(wait)
