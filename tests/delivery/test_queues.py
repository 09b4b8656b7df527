"""Full queues, lanes, threads, and that the sum adds up whatever happens."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phtrack
from phtrack import _guard
from phtrack.seams import Lane
from phtrack.testing import FakeClock, RecordingTransport
from tests.delivery.server import Answer, Server
from tests.delivery.test_facade import event, make, names


def test_a_flood_of_events_pushes_no_exception_out() -> None:
    """Errors have a queue of their own and leave first."""
    transport = RecordingTransport()
    delivery, tally = make(transport, FakeClock(), max_queue_size=20, flush_at=10)
    for n in range(100):
        delivery.put(event(n))
    assert delivery.put(event(500), lane="errors")
    assert delivery.flush()
    assert names(transport)[0] == "e500" and len(transport.events) == 21
    assert tally.read()["dropped:queue_full.events"] == 80


@pytest.mark.parametrize(
    ("overflow", "kept", "answers"),
    [("drop_newest", [0, 1, 2], [True] * 3 + [False] * 2), ("drop_oldest", [2, 3, 4], [True] * 5)],
)
def test_overflow(overflow: str, kept: list[int], answers: list[bool]) -> None:
    """What gives way is the option's choice; either way it is counted."""
    transport = RecordingTransport()
    delivery, tally = make(transport, FakeClock(), max_queue_size=3, overflow=overflow)
    assert [delivery.put(event(n)) for n in range(5)] == answers
    assert delivery.flush()
    assert names(transport) == [f"e{n}" for n in kept]
    assert tally.read()["dropped:queue_full.events"] == 2


def test_overflow_by_bytes() -> None:
    """The queue is bounded in bytes, too."""
    delivery, tally = make(RecordingTransport(), FakeClock(), max_queue_bytes=5000)
    assert [delivery.put(event(n, size=2000)) for n in range(3)] == [True, True, False]
    assert tally.read()["dropped:queue_full.events"] == 1


def test_blocking_waits_for_room_and_no_longer_than_told() -> None:
    """With room in time the event gets in; without, it is dropped after the limit."""
    gate = threading.Event()

    class Gated(RecordingTransport):
        def send(self, batch: Any, timeout: float) -> Any:
            gate.wait(20)
            return super().send(batch, timeout)

    transport = Gated()
    delivery, tally = make(transport, max_queue_size=1, flush_at=1, overflow="block", overflow_block_ms=20_000.0)
    opened = threading.Timer(0.2, gate.set)
    opened.start()
    assert all(delivery.put(event(n)) for n in range(5))
    assert delivery.flush(20) and len(transport.events) == 5
    opened.join()
    delivery.close(5)

    stuck, clock = RecordingTransport(), FakeClock()
    delivery, tally = make(stuck, max_queue_size=1, overflow="block", overflow_block_ms=10.0)
    delivery.put(event(1))
    assert delivery.put(event(2)) is False
    assert tally.read()["dropped:queue_full.events"] == 1
    delivery.close(5)
    assert clock.monotonic() > 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(["events", "errors", "ai"]), st.integers(0, 3)),
        st.tuples(st.just("step")),
        st.tuples(st.just("wait"), st.floats(0, 10)),
        st.tuples(st.just("flush")),
    ),
    max_size=60,
)
ANSWERS = st.lists(st.sampled_from([200, 204, 400, 401, 413, 429, 500, 503, OSError("no route")]), max_size=40)


@settings(max_examples=150)
@given(
    steps=STEPS, answers=ANSWERS, overflow=st.sampled_from(["drop_newest", "drop_oldest"]),
    size=st.integers(1, 8), flush_at=st.integers(1, 5), retries=st.integers(0, 3),
)  # fmt: skip
def test_the_sum_adds_up(steps: Any, answers: Any, overflow: str, size: int, flush_at: int, retries: int) -> None:
    """At every moment: admitted = delivered + dropped + under way; at the end nothing is under way; nothing arrives twice."""
    transport, clock = RecordingTransport(*answers), FakeClock()
    delivery, tally = make(
        transport, clock, max_queue_size=size, flush_at=flush_at, max_retries=retries, overflow=overflow
    )
    admitted: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    number = 0

    def check() -> None:
        counts = tally.read()
        lanes = delivery.stats()["lanes"]
        for lane in ("events", "errors", "ai"):
            dropped = sum(
                many for name, many in counts.items() if name.startswith("dropped:") and name.endswith(f".{lane}")
            )
            assert counts.get(f"admitted.{lane}", 0) == admitted[lane]
            under_way = lanes.get(lane, {"pending": 0})["pending"]
            assert admitted[lane] + refused[lane] == counts.get(f"delivered.{lane}", 0) + dropped + under_way

    for step in steps:
        if step[0] == "put":
            lane: Lane = step[1]
            for _ in range(step[2]):
                number += 1
                (admitted if delivery.put(event(number), lane) else refused)[lane] += 1
        elif step[0] == "step":
            delivery.step()
        elif step[0] == "wait":
            clock.advance(step[1])
        else:
            delivery.flush(5)
        check()
    delivery.close(None)
    check()
    assert all(lane["pending"] == 0 for lane in delivery.stats()["lanes"].values())
    assert max(Counter(names(transport)).values(), default=1) == 1


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("threads", [1, 3])
def test_many_threads_and_a_flapping_server(threads: int) -> None:
    """Eight threads put while the server fails every third request: delivered once each, all counted."""
    answers = iter(range(10**9))
    with Server(always=lambda request: 503 if next(answers) % 3 == 0 else 200) as server:
        from phtrack.delivery import Delivery
        from phtrack.options import DeliveryOptions
        from phtrack.tally import Tally

        tally = Tally()
        delivery = Delivery(
            DeliveryOptions(thread=threads, flush_at=50, flush_interval=0.05, max_retries=20),
            api_key="k",
            host=server.url,
            tally=tally,
        )

        def storm(base: int) -> None:
            for n in range(250):
                delivery.put(event(base + n), "errors" if n % 10 == 0 else "events")

        workers = [threading.Thread(target=storm, args=(1000 * n,)) for n in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert delivery.flush(50)
        counts = tally.read()
        assert counts["delivered.events"] + counts["delivered.errors"] == 2000
        assert len(server.count()) == 2000 and set(server.count().values()) == {1}
        delivery.close(5)


def test_one_connection_is_enough() -> None:
    """Kept alive over batches, answers with and without a body, and refusals."""
    with Server(200, 204, Answer(400, body=b"x" * 5000), 200) as server:
        delivery, _ = make_http(server)
        for n in range(4):
            delivery.put(event(n))
            assert delivery.flush(20)
        delivery.close(5)
        assert server.connections == 1


def make_http(server: Server, **options: Any) -> Any:
    from phtrack.delivery import Delivery
    from phtrack.options import DeliveryOptions
    from phtrack.tally import Tally

    tally = Tally()
    return Delivery(DeliveryOptions(**options), api_key="k", host=server.url, tally=tally), tally


def test_an_exception_that_cannot_be_made_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of ours behind the door costs that event, with its reason."""
    monkeypatch.setattr(_guard, "STRICT", False)
    client = phtrack.Posthog("k", transport=RecordingTransport(), clock=FakeClock())

    def broken(draft: Any) -> bytes:
        raise RuntimeError("a defect")

    monkeypatch.setattr(client.errors, "_finish", broken)
    assert client.capture_exception(ValueError("x"), distinct_id="u")
    assert client.flush()
    assert client.stats()["counters"] == {"admitted.errors": 1, "dropped:internal_error.errors": 1}
    client.shutdown(1)
