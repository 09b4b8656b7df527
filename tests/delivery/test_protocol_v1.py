"""Protocol v1 against a real server: headers, shape, word per event."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from phtrack.capture_v1 import CaptureV1Error
from phtrack.delivery import Delivery
from phtrack.delivery.v1 import reshape
from phtrack.options import DeliveryOptions
from phtrack.tally import Tally
from phtrack.testing import FakeClock
from tests.delivery.server import Answer, Request, Server
from tests.delivery.test_facade import event


class Patient(FakeClock):
    """Waiting passes at once, requests take their real time."""


def make(server: Server, **options: Any) -> tuple[Delivery, Tally]:
    tally = Tally()
    options = {"capture_mode": "v1", **options}
    return Delivery(DeliveryOptions(**options), api_key="k", host=server.url, tally=tally, clock=Patient()), tally


def results(**words: Any) -> Answer:
    """An answer with a word per uuid."""
    entries = {uuid: {"result": word} if isinstance(word, str) else word for uuid, word in words.items()}
    return Answer(200, body=json.dumps({"results": entries}).encode())


def test_an_event_is_reshaped() -> None:
    """Fields and options leave properties; $set moves in; the input is not touched; properties come last."""
    given = {
        "event": "e", "uuid": "u", "distinct_id": "d", "timestamp": "t", "$set": {"a": 1, "b": 1},
        "properties": {
            "$session_id": "s", "$window_id": "w", "$process_person_profile": " TRUE ", "$cookieless_mode": 0,
            "$ignore_sent_at": "maybe", "$product_tour_id": 5, "$lib": "phtrack", "$lib_version": "1", "$is_server": True,
            "$set": {"b": 2}, "n": 1,
        },
    }  # fmt: skip
    before = json.dumps(given)
    shaped = reshape(given)
    assert json.dumps(given) == before
    assert list(shaped)[-1] == "properties"
    assert shaped == {
        "event": "e", "uuid": "u", "distinct_id": "d", "timestamp": "t", "session_id": "s", "window_id": "w",
        "options": {"process_person_profile": True, "cookieless_mode": False},
        "properties": {"$is_server": True, "$set": {"a": 1, "b": 2}, "n": 1},
    }  # fmt: skip
    assert reshape({"event": "e"}) == {"event": "e", "options": {}, "properties": {}}


def test_headers_and_body_over_attempts() -> None:
    """The id stays, the attempt counts, the time is new, the body is the same bytes and names no key."""
    with Server(503, results()) as server:
        delivery, _ = make(server, historical_migration=True)
        delivery.put(event(1))
        assert delivery.flush(None)
        first, second = server.requests
    assert first.path == second.path == "/i/v1/analytics/events"
    assert first.raw == second.raw
    assert set(first.body) == {"created_at", "historical_migration", "batch"}
    assert [one.headers["posthog-attempt"] for one in (first, second)] == ["1", "2"]
    assert first.headers["posthog-request-id"] == second.headers["posthog-request-id"]
    assert UUID(first.headers["posthog-request-id"])
    assert first.headers["posthog-request-timestamp"] != second.headers["posthog-request-timestamp"]
    assert first.headers["authorization"] == "Bearer k"
    assert first.headers["posthog-sdk-info"].startswith("phtrack/")
    assert "content-encoding" not in first.headers


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br"])
def test_encodings(encoding: str) -> None:
    """Each decodes to the same events."""
    with Server(always=results()) as server:
        delivery, _ = make(server, capture_compression=encoding)
        for n in range(3):
            delivery.put(event(n))
        assert delivery.flush(None)
        assert server.requests[0].headers["content-encoding"] == encoding
        assert [one["event"] for one in server.requests[0].events] == ["e0", "e1", "e2"]


def test_only_what_the_server_wants_again_goes_again() -> None:
    """ok, warning, unknown and absent are done; drop is told; retry is pruned, same id, next attempt, Retry-After obeyed."""
    events = [event(n) for n in range(6)]
    first = {
        one.uuid: word
        for one, word in zip(events, ["ok", "warning", "limited", "retry", {"result": "drop", "details": "why"}])
    }
    answer = results(**first)
    answer.headers["Retry-After"] = "7"
    told: list[Any] = []
    with Server(answer, results()) as server:
        delivery, tally = make(server, on_error=lambda error, batch: told.append((error, batch)))
        clock: Any = delivery._clock
        for one in events:
            delivery.put(one)
        start = clock.monotonic()
        assert delivery.flush(None)
        assert clock.monotonic() - start >= 7.0
        a, b = server.requests
    assert [one["uuid"] for one in b.events] == [events[3].uuid]
    assert a.headers["posthog-request-id"] == b.headers["posthog-request-id"]
    assert b.headers["posthog-attempt"] == "2"
    assert a.body["created_at"] == b.body["created_at"]
    ((error, batch),) = told
    assert isinstance(error, CaptureV1Error) and error.drops == [(events[4].uuid, "why")]
    assert [one["uuid"] for one in batch] == [events[4].uuid]
    counts = tally.read()
    assert counts["delivered.events"] == 5 and counts["dropped:server_drop.events"] == 1


def test_an_event_wanted_again_once_too_often_is_named() -> None:
    """After the last attempt the error lists the uuids."""
    one = event(1)
    told: list[Any] = []
    with Server(always=results(**{one.uuid: "retry"})) as server:
        delivery, tally = make(server, max_retries=2, on_error=lambda error, batch: told.append(error))
        delivery.put(one)
        assert delivery.flush(None)
        assert len(server.requests) == 3
    assert told[0].retry_exhausted == [one.uuid] and told[0].attempts == 3
    assert tally.read()["dropped:retries_exhausted.events"] == 1


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"results":[]}', b'{"results":{"u":{"result":5}}}'])
def test_an_answer_of_another_shape_ends_the_batch(body: bytes) -> None:
    """No retry: the server did something, and we don't know what."""
    told: list[Any] = []
    with Server(Answer(200, body=body)) as server:
        delivery, tally = make(server, on_error=lambda error, batch: told.append(error))
        delivery.put(event(1))
        assert delivery.flush(None)
        assert len(server.requests) == 1 and len(told) == 1
    assert tally.read()["dropped:http_200.events"] == 1


@pytest.mark.parametrize(("status", "requests"), [(404, 4), (402, 1), (415, 1), (418, 1), (501, 4)])
def test_statuses(status: int, requests: int) -> None:
    """404 is retried in v1, unknown 4xx are not."""
    with Server(always=status) as server:
        delivery, _ = make(server)
        delivery.put(event(1))
        assert delivery.flush(None)
        assert len(server.requests) == requests


def test_a_split_is_two_new_requests() -> None:
    """Halves have ids of their own and start at attempt 1."""
    with Server(413, always=results()) as server:
        delivery, tally = make(server)
        for n in range(4):
            delivery.put(event(n))
        assert delivery.flush(None)
        ids = {one.headers["posthog-request-id"] for one in server.requests}
        assert len(server.requests) == len(ids) == 3
        assert {one.headers["posthog-attempt"] for one in server.requests} == {"1"}
    assert tally.read()["delivered.events"] == 4


def test_the_ai_lane_has_its_own_endpoint_and_keeps_the_v0_shape() -> None:
    """Also in v1 mode; up to 8 MiB an event."""

    def answer(request: Request) -> Any:
        return results() if "v1" in request.path else 200

    with Server(always=answer) as server:
        delivery, tally = make(server)
        delivery.put(event(1))
        assert delivery.put(event(2, size=7_000_000), lane="ai")
        assert not delivery.put(event(3, size=9_000_000), lane="ai")
        assert delivery.flush(None)
        by_path = {one.path: one.body for one in server.requests}
    assert by_path["/i/v0/ai/batch/"]["api_key"] == "k"
    assert len(by_path["/i/v1/analytics/events"]["batch"]) == 1
    assert tally.read()["dropped:too_large.ai"] == 1
