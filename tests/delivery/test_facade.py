"""The facade that the client uses, over a recording transport: what goes in, what comes out, what is counted."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from phtrack.delivery import Delivery
from phtrack.options import DeliveryOptions
from phtrack.seams import Envelope, Outcome
from phtrack.tally import Tally
from phtrack.testing import FakeClock, RecordingTransport


def event(n: int, size: int = 0) -> Envelope:
    """An envelope whose body says *n*."""
    uuid = f"00000000-0000-7000-8000-{n:012d}"
    body = b'{"event":"e%d","uuid":"%s","properties":{"pad":"%s"}}' % (n, uuid.encode(), b"x" * size)
    return Envelope(uuid, f"e{n}", body)


def make(transport: Any, clock: Any = None, **options: Any) -> tuple[Delivery, Tally]:
    """A delivery over *transport*."""
    tally = Tally()
    delivery = Delivery(
        DeliveryOptions(**options),
        api_key="k",
        host="http://127.0.0.1:1",
        tally=tally,
        transport=transport,
        clock=clock,
    )
    return delivery, tally


def names(transport: RecordingTransport) -> list[str]:
    """Names of the delivered events, in order."""
    return [one["event"] for one in transport.events]


def test_events_leave_in_the_order_they_came() -> None:
    """First in, first out, in batches of at most flush_at."""
    transport = RecordingTransport()
    delivery, tally = make(transport, FakeClock(), flush_at=3)
    assert all(delivery.put(event(n)) for n in range(7))
    assert delivery.flush()
    assert names(transport) == [f"e{n}" for n in range(7)]
    assert [len(one) for one in transport.requests] == [3, 3, 1]
    assert tally.read() == {"admitted.events": 7, "delivered.events": 7}


def test_a_flush_of_nothing_sends_nothing() -> None:
    """An empty queue costs no request."""
    transport = RecordingTransport()
    delivery, _ = make(transport)
    assert delivery.flush()
    assert transport.requests == []


def test_thresholds_decide_when_events_leave() -> None:
    """Nothing leaves before the interval or the count; then everything does."""
    transport, clock = RecordingTransport(), FakeClock()
    delivery, _ = make(transport, clock, flush_at=3, flush_interval=5.0)
    delivery.put(event(1))
    assert delivery.step() == 5.0
    clock.advance(2)
    delivery.put(event(2))
    assert delivery.step() == 3.0
    clock.advance(3)
    assert delivery.step() == 0.0
    assert names(transport) == ["e1", "e2"]
    for n in (3, 4, 5):
        delivery.put(event(n))
    assert delivery.step() == 0.0
    assert names(transport)[2:] == ["e3", "e4", "e5"]
    assert delivery.step() == float("inf")


def test_an_error_leaves_within_a_tenth_of_a_second_and_takes_the_rest_along() -> None:
    """One wake-up: the exception first, and every event that waits with it."""
    transport, clock = RecordingTransport(), FakeClock()
    delivery, tally = make(transport, clock)
    delivery.put(event(1))
    delivery.put(event(2), lane="errors")
    assert delivery.step() == pytest.approx(0.1)
    clock.advance(0.1)
    delivery.step()
    assert [[one["event"] for one in request] for request in transport.requests] == [["e2", "e1"]]
    assert tally.read()["delivered.errors"] == 1


def test_a_failed_batch_goes_again_with_the_same_bytes() -> None:
    """Three retries after 1, 2 and 4 seconds, then on_error, counted."""
    transport, clock = RecordingTransport(*[503] * 4), FakeClock()
    told: list[Any] = []
    delivery, tally = make(transport, clock, on_error=lambda error, batch: told.append((error, batch)))
    delivery.put(event(1))
    start = clock.monotonic()
    assert delivery.flush(timeout=None)
    assert len(transport.requests) == 4
    assert len({one.envelopes[0].body for one in transport.batches}) == 1
    assert 7.0 <= clock.monotonic() - start <= 7.0 * 1.25
    assert [(error.status, [one["event"] for one in batch]) for error, batch in told] == [(503, ["e1"])]
    assert tally.read() == {"admitted.events": 1, "retried.events": 3, "dropped:retries_exhausted.events": 1}


def test_sync_mode_sends_in_the_calling_thread_and_retries() -> None:
    """One event per request, delivered when put() returns, also after a refusal."""
    transport, clock = RecordingTransport(503), FakeClock()
    delivery, tally = make(transport, clock, sync_mode=True)
    before = threading.active_count()
    assert delivery.put(event(1)) and delivery.put(event(2))
    assert names(transport) == ["e1", "e2"]
    assert [len(one) for one in transport.requests] == [1, 1, 1]
    assert threading.active_count() == before
    assert tally.read()["delivered.events"] == 2


def test_send_off_admits_and_sends_nothing() -> None:
    """send=False answers True, counts, and makes no request and no thread."""
    transport = RecordingTransport()
    delivery, tally = make(transport, send=False)
    before = threading.active_count()
    assert delivery.put(event(1))
    assert delivery.flush() and transport.requests == []
    assert threading.active_count() == before
    assert tally.read() == {"admitted.events": 1, "dropped:send_off.events": 1}


def test_after_close_nothing_is_admitted() -> None:
    """close() delivers what waits; later events are refused and counted."""
    transport = RecordingTransport()
    delivery, tally = make(transport)
    delivery.put(event(1))
    delivery.close(5)
    assert names(transport) == ["e1"] and transport.closed
    assert delivery.put(event(2)) is False
    delivery.close(5)
    assert tally.read() == {"admitted.events": 1, "delivered.events": 1, "dropped:closed.events": 1}


def test_close_gives_up_what_it_cannot_deliver_in_time() -> None:
    """A server that refuses costs one last attempt, not the time of its retries; on_error is told."""
    transport, clock = RecordingTransport(*[OSError("refused")] * 9), FakeClock()
    told: list[int] = []
    delivery, tally = make(transport, clock, on_error=lambda error, batch: told.append(len(batch)))
    for n in range(5):
        delivery.put(event(n))
    start = clock.monotonic()
    delivery.close(timeout=1.0)
    assert clock.monotonic() - start <= 1.0
    assert len(transport.requests) == 1 and told == [5]
    assert tally.read() == {"admitted.events": 5, "dropped:closed_undelivered.events": 5}


def test_a_close_without_threads_ends_when_a_batch_has_no_attempts_left() -> None:
    """What waits behind that batch is given up with it: nobody turns in circles for what nobody will send."""
    transport = RecordingTransport(*[503] * 9)
    delivery, tally = make(transport, FakeClock(), max_retries=0, flush_at=1)
    for n in range(3):
        delivery.put(event(n))
    delivery.close(None)
    assert len(transport.requests) == 1
    counts = tally.read()
    assert counts["dropped:retries_exhausted.events"] == 1 and counts["dropped:closed_undelivered.events"] == 2


def test_an_event_that_was_given_up_while_it_was_made_costs_its_neighbours_nothing() -> None:
    """seal() answering None ends that event alone."""

    class GivenUp(Envelope):
        def seal(self) -> bytes | None:
            return None

    transport = RecordingTransport()
    delivery, tally = make(transport, FakeClock())
    delivery.put(event(1))
    delivery.put(GivenUp("u", "gone", None), lane="errors")
    delivery.put(event(2))
    assert delivery.flush()
    assert names(transport) == ["e1", "e2"]
    assert delivery.stats()["lanes"]["errors"] == {"queued": 0, "queued_bytes": 0, "pending": 0}
    assert tally.read()["delivered.events"] == 2


def test_a_batch_too_large_for_the_server_is_halved_until_it_fits() -> None:
    """413 splits; a single event that is too large is dropped after one request."""
    too_large = Outcome("split", status=413)
    transport, clock = RecordingTransport(too_large, too_large, 200, 200, 200), FakeClock()
    delivery, tally = make(transport, clock)
    for n in range(4):
        delivery.put(event(n))
    assert delivery.flush()
    assert [len(one) for one in transport.requests] == [4, 2, 1, 1, 2]
    assert names(transport) == ["e0", "e1", "e2", "e3"]
    transport.answer(413)
    delivery.put(event(9))
    assert delivery.flush()
    assert tally.read()["dropped:http_413.events"] == 1


def test_batches_are_closed_early_by_size() -> None:
    """Five MiB per request at most."""
    transport = RecordingTransport()
    delivery, _ = make(transport, FakeClock())
    for n in range(10):
        delivery.put(event(n, size=800_000))
    assert delivery.flush()
    assert [len(one) for one in transport.requests] == [6, 4]
    assert len(transport.events) == 10


def test_on_error_may_call_back() -> None:
    """flush and close from inside on_error don't deadlock, and what it raises ends there."""
    transport = RecordingTransport(400)
    answers: list[Any] = []

    def on_error(error: Exception, batch: list[Any]) -> None:
        answers.append(delivery.flush())
        answers.append(delivery.put(event(2)))
        raise RuntimeError("the application's own")

    delivery, tally = make(transport, on_error=on_error)
    delivery.put(event(1))
    assert delivery.flush(10)
    assert answers == [False, True]
    assert delivery.flush(10)
    assert tally.read()["delivered.events"] == 1
    delivery.close(5)
