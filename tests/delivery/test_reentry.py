"""A thread that meets itself: signal handlers, `__del__` and log handlers that capture while their own thread does."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phtrack import _guard
from phtrack.delivery import Delivery, segment
from phtrack.errors.throttle import Throttle
from phtrack.options import DeliveryOptions
from phtrack.tally import Tally
from phtrack.testing import RecordingTransport
from tests.delivery import program
from tests.delivery.server import Server
from tests.delivery.test_facade import event


def make(transport: Any, **options: Any) -> tuple[Delivery, Tally]:
    tally = Tally()
    return Delivery(
        DeliveryOptions(**options), api_key="k", host="http://127.0.0.1:1", tally=tally, transport=transport
    ), tally


def ends(work: Callable[[], Any]) -> Any:
    """What *work* answers, in a thread that must end."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(work()), daemon=True)
    thread.start()
    thread.join(10)
    assert answers, "it hangs"
    return answers[0]


@pytest.mark.parametrize("where", ["ledger", "spool"])
def test_an_event_captured_under_our_own_lock_arrives(where: str, tmp_path: Path) -> None:
    """Nothing waits for the lines it has interrupted: the event is let in by another thread when they have gone on."""
    transport = RecordingTransport()
    delivery, tally = make(transport, spool_dir=tmp_path, spool="always")
    ledger, spool = delivery._senders["events"].ledger, delivery._spool
    assert spool is not None
    seen: list[Any] = []

    def handler(*_: Any) -> Any:
        # The frame that calls this is one of a module that holds the lock, as that of an interrupted line is.
        seen.append((delivery.put(event(1)), delivery.flush(), delivery.stats()["lanes"]["events"]["pending"]))
        return True

    if where == "ledger":
        assert ends(lambda: ledger.wait_until(handler, None))
    else:
        write = spool._append
        spool._append = lambda *args, **named: handler() and write(*args, **named)  # type: ignore[method-assign]
        source = spool.write
        assert ends(lambda: (source(event(0), "events"), spool.__dict__.pop("_append"), True)[2])
    assert seen == [(True, False, 1)]
    assert delivery.flush(30)
    assert tally.read() == {"admitted.events": 1, "delivered.events": 1}
    delivery.close(5)


def test_what_was_put_aside_is_not_forgotten_by_the_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no thread can be started to let it in."""
    from phtrack.delivery import native

    def refuse(target: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(native, "start_bare_thread", refuse)
    delivery, tally = make(RecordingTransport())
    ledger = delivery._senders["events"].ledger
    assert ends(lambda: ledger.wait_until(lambda: delivery.put(event(1)), None))
    delivery.close(0)
    assert ends(lambda: ledger.wait_until(lambda: not delivery.put(event(2)), None))
    assert tally.read() == {"admitted.events": 1, "dropped:closed_undelivered.events": 1, "dropped:closed.events": 1}
    assert delivery.stats()["lanes"]["events"]["pending"] == 0


def test_counting_while_counting() -> None:
    """A count that interrupts another is added to the next reading; the throttle lets pass what interrupts it."""
    tally = Tally()

    class Name(str):
        """Counts in the middle of being counted."""

        def __hash__(self) -> int:
            tally.add("inner")
            assert "inner" not in tally.read()
            return 1

    ends(lambda: (tally.add(Name("outer")), 1)[1])
    counts = {str(name): many for name, many in tally.read().items()}
    assert counts["outer"] == 1 and counts["inner"] >= 1
    throttle = Throttle(True, clock=lambda: 1.0 if throttle.passes("inner") else 2.0)
    assert ends(lambda: throttle.passes("outer"))


STORM = """
    import gc, phtrack
    from phtrack.testing import RecordingTransport
    client = phtrack.Client('k', {url!r}, flush_interval=0.02, flush_at=10, max_queue_size=10**6, {options})
    client.capture('warm', distinct_id='u'); client.flush(30)
    inner = []
    def again(*_):
        inner.append(client.capture('inner', distinct_id='u'))  # also in the sending thread
    class Cycle:
        def __init__(self): self.me = self
        __del__ = again
    {begin}
    for n in range(12000):
        {each}
        client.capture('outer', distinct_id='u')
    {end}
    # The sending thread may still be collecting garbage, and so capturing.
    deadline = time.monotonic() + 30
    while True:
        flushed, counts = client.flush(30), client.stats()['counters']
        total = 12001 + len(inner)
        if counts['admitted.events'] == counts['delivered.events'] == total or time.monotonic() > deadline:
            break
    print(flushed, len(inner) > 0 and None not in inner, counts['admitted.events'] == counts['delivered.events'] == total)
    client.shutdown(5)
"""
ALARM = {
    "begin": "signal.signal(signal.SIGALRM, again); signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)",
    "each": "pass",
    "end": "signal.setitimer(signal.ITIMER_REAL, 0)",
}
GARBAGE = {"begin": "gc.set_threshold(7, 3, 3)", "each": "Cycle()", "end": "gc.collect(); gc.disable()"}


@pytest.mark.parametrize("spool", ["", "always"])
@pytest.mark.parametrize("storm", [ALARM, GARBAGE], ids=["signals", "garbage"])
def test_a_storm_of_interruptions(storm: dict[str, str], spool: str, tmp_path: Path) -> None:
    """Signal handlers and finalizers that capture, between any two instructions of ours: no deadlock, and every event counted."""
    options = f"spool_dir={str(tmp_path)!r}, spool='always'" if spool else ""
    with Server() as server:
        ended = program.run(STORM.format(url=server.url, options=options, **storm), server.url)
        assert (ended.err, ended.out.split(), ended.code) == ("", ["True", "True", "True"], 0)
        assert max(server.count().values()) == 1


def test_a_log_handler_that_captures_what_the_spool_has_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The warning about a full disk is given without our lock: the handler has one of its own, and others hold it and capture."""
    delivery, tally = make(RecordingTransport(), spool_dir=tmp_path, spool="always")
    spool = delivery._spool
    assert spool is not None
    free: list[bool] = []

    class Forwards(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            free.append(not spool.lock.locked())
            delivery.put(event(2))

    def full(fd: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(segment, "write_all", full)
    handler = Forwards()
    _guard.logger().addHandler(handler)
    try:
        assert ends(lambda: delivery.put(event(1)))
    finally:
        _guard.logger().removeHandler(handler)
    assert free == [True]
    assert delivery.flush(30)
    assert tally.read() == {"admitted.events": 2, "delivered.events": 2}
    delivery.close(5)


def test_a_callback_that_exits_ends_no_thread_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sys.exit` in `on_error`, or in what makes an event's bytes, costs that batch, counted; the next one is sent."""
    monkeypatch.setattr(_guard, "STRICT", False)
    told: list[Any] = []

    def on_error(error: Exception, batch: Any) -> None:
        told.append(batch)
        raise SystemExit(3)

    def exits() -> bytes:
        raise SystemExit(4)

    with Server(400) as server:
        tally = Tally()
        delivery = Delivery(DeliveryOptions(on_error=on_error), api_key="k", host=server.url, tally=tally)
        delivery.put(event(1))
        assert delivery.flush(30)
        assert len(told) == 1

        class Unmade(type(event(2))):  # type: ignore[misc]
            __slots__ = ()

            def seal(self) -> bytes:
                return exits()

        delivery.put(Unmade("u", "never", None))
        assert delivery.flush(30)
        delivery.put(event(3))
        assert delivery.flush(30)
        counts = tally.read()
        del counts["bytes"]
        assert counts == {
            "admitted.events": 3, "delivered.events": 1, "dropped:http_400.events": 1, "dropped:internal_error.events": 1,
        }  # fmt: skip
        delivery.close(5)
