"""
Delivery: everything between an admitted event and its end.

    put(envelope) -> lane -> batch -> Transport -> delivered | spooled | dropped, with the reason counted

What goes in is `phtrack.seams.Envelope`; what comes out is requests, counters and `on_error`. How an event is made and what
is in it stays out: bytes are joined, never re-encoded. Importing this loads no network library, starts no thread and opens
no file; each comes with the first need for it.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from phtrack import _guard, _process
from phtrack.delivery import native
from phtrack.delivery.crew import away, is_working
from phtrack.delivery.policy import Circuit
from phtrack.delivery.report import Report
from phtrack.delivery.sender import Sender

if TYPE_CHECKING:
    from phtrack.delivery.spool import Spool
    from phtrack.delivery.worker import Worker
    from phtrack.options import DeliveryOptions
    from phtrack.seams import Clock, Envelope, Lane, Transport
    from phtrack.tally import Tally

__all__ = ["Delivery"]

FORK_WAIT = 2.0
"""Seconds a fork waits at most for our threads to be between two turns. It takes milliseconds, but for their first imports."""


class SystemClock:
    """The machine's clock."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


class Delivery:
    """
    The delivery of one client.

    All methods are safe from any thread and never raise. Counters are in the `Tally` it was given: for every event that `put`
    answered True to, ``admitted`` goes up, and one of ``delivered``, ``spooled`` and ``dropped:<reason>`` follows; for one it
    answered False to, only ``dropped:<reason>``.
    """

    def __init__(
        self,
        options: DeliveryOptions,
        *,
        api_key: str,
        host: str,
        tally: Tally,
        transport: Transport | None = None,
        clock: Clock | None = None,
    ) -> None:
        """
        Args:
            host: The ingestion host, without trailing slash.
            transport: Default: HTTP to *host*.
            clock: Default: the machine's. One with a true attribute `manual` stands still by itself, so that no thread is
                started: `step`, `flush` and `close` take the turns, and waiting moves the clock (`phtrack.testing.FakeClock`).
        """
        self._options = options
        self._tally = tally
        self._clock: Clock = clock if clock is not None else SystemClock()
        if transport is None:
            from phtrack.delivery.http import HttpTransport

            transport = HttpTransport(options, api_key=api_key, host=host, clock=self._clock)
        self._transport = transport
        self._circuit = Circuit()
        self._report = Report(tally, options.on_error, away)
        self._spool: Spool | None = None
        if options.spool_policy is not None and options.send:
            from phtrack.delivery.spool import Spool

            self._spool = Spool(options, api_key=api_key, clock=self._clock, report=self._report)
        self._kept: list[Worker] = []
        self._unhooked_forks = "uwsgi" in sys.modules
        """True where a process may turn out to be a child of which nobody told us. Asking at each event costs a system call."""
        self._ready = False
        self._closed = False
        self._direct = options.sync_mode or not options.send
        main = self._sender("events", ("errors", "events"), options.protocol)
        self._senders: dict[Lane, Sender] = {"events": main, "errors": main}
        _process.on_fork(self)
        if options.flush_on_sigterm and options.send:
            from phtrack.delivery import sigterm

            sigterm.install(self)
        if self._spool is not None and self._spool.has_leftovers():
            # What an earlier process left may be the report of its crash: it should not have to wait for the next event.
            self._get_ready()
            main.crew.start()

    def _sender(self, route: Any, lanes: Any, protocol: str) -> Sender:
        return Sender(
            route,
            lanes,
            self._options,
            protocol=protocol,
            transport=self._transport,
            clock=self._clock,
            circuit=self._circuit,
            report=self._report,
            spool=self._spool,
        )

    # --- the facade ------------------------------------------------------------------------------------------------

    def put(self, envelope: Envelope, lane: Lane = "events") -> bool:
        """
        Admit one event. Costs about a microsecond, blocks only with ``overflow="block"`` and in ``sync_mode``.

        Returns:
            False when it was dropped at the door: no room, too large, or closed. The reason is counted.
        """
        try:
            if self._unhooked_forks:
                _process.notice_fork()
            if not self._ready:
                self._get_ready()
            sender = self._senders.get(lane) or self._add_sender(lane)
            if self._direct:
                return self._put_directly(sender, envelope, lane)
            return sender.door.put(envelope, lane)
        except Exception as error:
            self._tally.add("dropped:internal_error", lane=lane)
            _guard.swallowed("delivery", error)
            return False

    def flush(self, timeout: float | None = 10) -> bool:
        """
        Send what waits now without regard to thresholds, and wait for its end, *timeout* seconds at most (None: no limit).

        Returns:
            True when each event that waited has its end: delivered, on disk in the spool, or given up, which `stats` counts and
            `on_error` is told. So True is no promise that the server has everything: what has used up its attempts while the
            server is down stays in the spool for a later minute or the next process, and a flush does not wait for that. What the
            spool holds and may be tried now is sent and waited for, too. With nothing to send there is no network traffic.

            False when *timeout* came first: the rest still waits, and leaves as it would have. False at once when called from
            `on_error`, which can't wait for the thread it runs in, and from a signal handler in the middle of our own work.
        """
        try:
            if self._is_interrupting():
                return False
            _process.notice_fork()
            deadline = None if timeout is None else self._clock.monotonic() + timeout
            begun = [(one, targets) for one in self._each() if (targets := one.flush_begin()) is not None]
            ends = [one.flush_end(targets, deadline) for one, targets in begun]
            return all(ends)
        except Exception as error:
            _guard.swallowed("flush", error)
            return False

    def close(self, timeout: float | None = None) -> None:
        """
        Deliver what waits, for *timeout* seconds at most, then spool or count the rest. Idempotent; later `put` answers False.

        Without *timeout* it lasts until everything is delivered or the server has failed all attempts of a batch. Called from
        `on_error`, or from a signal handler in the middle of our own work, it goes on in another thread.
        """
        try:
            if is_working() or self._is_interrupting():
                native.start_thread(lambda: self.close(timeout), "phtrack-close")
                return
            _process.notice_fork()
            self._closed = True
            deadline = None if timeout is None else self._clock.monotonic() + timeout
            senders = self._each()
            for sender in senders:
                sender.ledger.close_begin(deadline)
            try:
                for sender in senders:
                    sender.close_end()
            finally:
                # Also when Ctrl-C ends the waiting: what is left is spooled or counted.
                for sender in senders:
                    sender.end()
                if self._spool is not None:
                    self._spool.close()
                self._transport.close()
                _process.off_exit(self)
        except Exception as error:
            _guard.swallowed("close", error)

    def stats(self) -> dict[str, Any]:
        """
        What is under way: per lane ``queued`` (events), ``queued_bytes`` and ``pending`` (queued or travelling), and
        ``last_error`` as text, or None; with a spool also its ``files`` and ``bytes``.
        """
        lanes: dict[str, Any] = {}
        interrupting = self._is_interrupting()
        for sender in self._each():
            lanes.update(sender.ledger.pending_locked() if interrupting else sender.ledger.pending())
        last = self._report.last_error
        stats = {"lanes": lanes, "last_error": None if last is None else f"{type(last).__name__}: {last}"}
        if self._spool is not None:
            stats["spool"] = self._spool.stats()
        return stats

    def step(self) -> float:
        """One turn of each route in this thread; seconds until the next may have something to do (infinity: unknown)."""
        return min(sender.crew.step() for sender in self._each())

    def _is_interrupting(self) -> bool:
        return any(sender.door.is_interrupting() for sender in self._each())

    # --- life ------------------------------------------------------------------------------------------------------

    def _put_directly(self, sender: Sender, envelope: Envelope, lane: Lane) -> bool:
        """No queue: `sync_mode` delivers here and now, ``send=False`` nowhere."""
        if self._options.send:
            return sender.door.deliver_now(envelope, lane)
        if self._closed:
            self._report.dropped("closed", [envelope], [lane])
            return False
        self._tally.add("admitted", lane=lane)
        self._tally.add("dropped:send_off", lane=lane)
        return True

    def _each(self) -> list[Sender]:
        return list(dict.fromkeys(self._senders.values()))

    def _add_sender(self, lane: Lane) -> Sender:
        if lane != "ai":
            raise ValueError(f"lane must be events, errors or ai, got {lane!r}")
        return self._senders.setdefault("ai", self._sender("ai", ("ai",), "v0"))

    def _get_ready(self) -> None:
        self._ready = True
        if native.is_shutting_down():
            self.at_exit()  # too late for a thread, and perhaps for `atexit`
        else:
            _process.on_exit(self)

    def at_exit(self) -> None:
        """The process ends: one bounded close, without a word. What comes after it gets one short try each."""
        if self._closed and all(sender.closed for sender in self._each()):
            return  # a close that another thread is still busy with gets our deadline instead
        if not self._ready and not native.is_shutting_down():
            return  # a forked child that captured nothing; its parent's events are its parent's
        self._report.level = "debug"
        self._warm_up()
        for sender in self._each():
            sender.door.last_seconds = self._options.shutdown_timeout / 2
        self.close(self._options.shutdown_timeout)

    def _warm_up(self) -> None:
        """
        Load what the first request and the first rendering need, before the time for them begins: a program that crashes at
        its start has loaded none of it, and on a slow machine that alone takes longer than the exit may wait for a server.
        """
        first = [one for sender in self._each() if (one := sender.ledger.first()) is not None]
        if first:
            with _guard.shield("preparing the exit"), _guard.quiet():
                self._transport.prepare()
                for envelope in first:
                    envelope.seal()

    @property
    def shutdown_timeout(self) -> float:
        """Seconds that the end of the process may wait for delivery."""
        return self._options.shutdown_timeout

    def hurry(self) -> None:
        """Let a thread that waits in `flush` or `sync_mode` go on at once. Safe in a signal handler."""
        for sender in self._each():
            sender.ledger.hurry()

    def take_time(self) -> None:
        """Whoever was hurried has gone on; from now on waiting is waiting."""
        for sender in self._each():
            sender.ledger.take_time()

    def before_fork(self) -> None:
        """Wait until no thread of ours is in the middle of something that a child would inherit half done."""
        deadline = time.monotonic() + FORK_WAIT
        self._kept = [worker for sender in self._each() for worker in sender.crew.before_fork(deadline)]

    def after_fork_in_parent(self) -> None:
        """Let them go on."""
        kept, self._kept = self._kept, []
        for worker in kept:
            worker.at_work.release()

    def reset_after_fork(self) -> None:
        """In a child process: the events, threads and connections are the parent's."""
        self._tally.reset_after_fork()
        self._transport.reset_after_fork()
        if self._spool is not None:
            self._spool.reset_after_fork()
        self._circuit.reset_after_fork()
        for sender in self._each():
            sender.reset_after_fork()
        self._kept = []
        self._ready = False
