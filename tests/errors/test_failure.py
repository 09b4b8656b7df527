"""One failure, one event; many failures, many events; a storm, a number."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import multiprocessing
import pickle
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

import phtrack
from phtrack.errors.throttle import BURST, Buckets, Held, Throttle
from phtrack.testing import FakeClock, RecordingTransport
from tests.errors.conftest import Make, Recorder


def test_the_same_exception_twice_is_one_event(recorder: Recorder) -> None:
    """The second capture answers None and is counted as merged."""
    try:
        raise ValueError("x")
    except ValueError as error:
        assert recorder.client.capture_exception(error)
        assert recorder.client.capture_exception(error) is None
    assert len(recorder.events()) == 1
    assert recorder.client.stats()["counters"]["merged"] == 1


def test_logged_wrapped_and_caught_by_a_framework_is_one_event(recorder: Recorder) -> None:
    """The event that waits learns the wrapper, the boundary it escaped at, and the facts of the request."""
    client = recorder.client
    handler = phtrack.PosthogLoggingHandler(client=client)
    log = logging.getLogger("test.failure")
    log.addHandler(handler)
    try:
        try:
            try:
                {}["x"]
            except KeyError as error:
                log.exception("lookup failed")
                raise RuntimeError("checkout failed") from error
        except RuntimeError as error:
            client.capture_exception(
                error,
                handled=False,
                source="django.middleware",
                mechanism_type="middleware",
                properties={"$request_path": "/pay"},
            )
    finally:
        log.removeHandler(handler)
    properties = recorder.one()
    assert [entry["type"] for entry in properties["$exception_list"]] == ["RuntimeError", "KeyError"]
    assert properties["$exception_list"][0]["mechanism"]["handled"] is False
    assert properties["$exception_source"] == "django.middleware"
    assert properties["$request_path"] == "/pay"
    assert properties["$logger"] == "test.failure"
    assert [one["type"] for one in properties["phtrack"]["merged"]] == ["RuntimeError"]


def test_raise_in_the_handler_without_from_is_the_same_failure(recorder: Recorder) -> None:
    """`raise X` right in the `except` block wraps what was caught there."""
    try:
        try:
            {}["x"]
        except KeyError as error:
            recorder.client.capture_exception(error)
            raise RuntimeError("wrapped")
    except RuntimeError as error:
        recorder.client.capture_exception(error)
    assert [entry["type"] for entry in recorder.one()["$exception_list"]] == ["RuntimeError", "KeyError"]


def test_another_error_while_handling_is_another_failure(recorder: Recorder) -> None:
    """An unrelated error inside `except` is never swallowed by the first one."""

    def cleanup() -> None:
        {}["y"]

    try:
        try:
            raise ValueError("first")
        except ValueError as error:
            recorder.client.capture_exception(error)
            cleanup()
    except KeyError as error:
        assert recorder.client.capture_exception(error)
    assert [event["properties"]["$exception_type"] for event in recorder.events()] == ["ValueError", "KeyError"]


SINGLETON = ValueError("always the same object")


def fail() -> None:
    raise SINGLETON


def test_a_singleton_that_is_raised_again_counts_again(recorder: Recorder) -> None:
    """The object is the same, the failure is not."""
    for _ in range(3):
        try:
            fail()
        except ValueError as error:
            assert recorder.client.capture_exception(error)
    assert len(recorder.events()) == 3


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs Python 3.11")
def test_a_group_is_the_failures_in_it(recorder: Recorder) -> None:
    """Its members one by one, then the group; the group, then its members; new groups of old members: nothing twice."""
    client = recorder.client
    members = [caught(ValueError("a")), caught(KeyError("b"))]
    inner = ExceptionGroup("inner", [members[1]])  # noqa: F821
    for member in members:
        assert client.capture_exception(member)
    assert client.capture_exception(caught(ExceptionGroup("both", [members[0], inner]))) is None  # noqa: F821
    assert len(recorder.events()) == 2

    both = caught(ExceptionGroup("two", [caught(ValueError("c")), caught(KeyError("d"))]))  # noqa: F821
    assert client.capture_exception(both)
    assert client.capture_exception(both.exceptions[0]) is None  # type: ignore[attr-defined]
    rest = both.split(ValueError)[1]  # type: ignore[attr-defined]
    assert client.capture_exception(caught(rest)) is None
    assert len(recorder.events()) == 3
    assert client.stats()["counters"]["merged"] == 3


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs Python 3.11")
def test_a_group_with_a_new_member_is_a_new_failure(recorder: Recorder) -> None:
    """Also when the others, or what it was raised from, were captured: nothing may be lost."""
    client = recorder.client
    old = caught(ValueError("old"))
    assert client.capture_exception(old)
    new = ExceptionGroup("with a new one", [old, caught(KeyError("new"))])  # noqa: F821
    new.__cause__ = old
    assert client.capture_exception(caught(new))
    assert len(recorder.events()) == 2


def caught(error: BaseException) -> BaseException:
    """*error* after it was raised here."""
    try:
        raise error
    except BaseException as again:
        return again


def test_a_singleton_without_its_traceback_counts_again(recorder: Recorder) -> None:
    """The entries of a new traceback are often made where those of the last one were."""
    singleton = ValueError("only one")

    def give_up() -> None:
        raise singleton.with_traceback(None)

    for _ in range(20):
        try:
            give_up()
        except ValueError as error:
            assert recorder.client.capture_exception(error)
        recorder.client.flush()
    assert len(recorder.events()) == 20


@pytest.mark.parametrize("kind", ["raise", "division"])
def test_a_failed_future_that_many_wait_for_is_one_failure(recorder: Recorder, kind: str) -> None:
    """It hands its exception out anew to each of them; so does a finished one later, and one of a thread pool."""

    async def fails() -> None:
        await asyncio.sleep(0)
        if kind == "raise":
            raise ValueError("x")
        _ = 1 / 0

    async def waits(task: asyncio.Future[None]) -> str | None:
        try:
            await task
        except Exception as error:
            return recorder.client.capture_exception(error)
        raise AssertionError

    async def waits_differently(task: asyncio.Future[None]) -> str | None:
        return await waits(task)

    async def main() -> list[str | None]:
        task = asyncio.ensure_future(fails())
        answers = [*await asyncio.gather(waits(task), waits_differently(task), waits(task)), await waits(task)]
        recorder.client.flush()
        return [*answers, await waits(task)]

    answers = asyncio.run(main())
    assert len([one for one in answers if one is not None]) == 1
    assert len(recorder.events()) == 1

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(fail)
        for _ in range(3):
            try:
                future.result()
            except ValueError as error:
                recorder.client.capture_exception(error)
    assert len(recorder.events()) == 2


def test_the_same_exception_travelling_outward_is_one_failure(recorder: Recorder) -> None:
    """Captured in an inner function, raised on with `raise` and `raise e`, captured outside again."""

    def inner() -> None:
        try:
            raise ValueError("x")
        except ValueError as error:
            recorder.client.capture_exception(error)
            raise error

    def outer() -> None:
        try:
            inner()
        except ValueError:
            raise

    try:
        outer()
    except ValueError as error:
        assert recorder.client.capture_exception(error) is None
    frames = recorder.one()["$exception_list"][0]["stacktrace"]["frames"]
    assert [frame["function"] for frame in frames][1:3] == ["outer", "inner"]


def test_an_exception_out_of_a_future_is_one_failure(recorder: Recorder) -> None:
    """Captured in the worker, raised again by `result()` in the caller."""

    def work() -> None:
        try:
            raise ValueError("x")
        except ValueError as error:
            recorder.client.capture_exception(error)
            raise

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        try:
            future.result()
        except ValueError as error:
            assert recorder.client.capture_exception(error) is None
    assert len(recorder.events()) == 1


@pytest.mark.parametrize("left", [True, False], ids=["first has left", "first waits"])
def test_what_is_raised_from_an_old_failure_again_and_again_counts(recorder: Recorder, left: bool) -> None:
    """A circuit breaker refuses each call because of the error that opened it; the first refusal is still that failure."""
    client = recorder.client
    try:
        {}["x"]
    except KeyError as error:
        opened_by = error
        client.capture_exception(error)
    if left:
        client.flush()
    for _ in range(3):
        try:
            raise ConnectionError("circuit is open") from opened_by
        except ConnectionError as error:
            client.capture_exception(error)
            assert client.capture_exception(error) is None
    types = [event["properties"]["$exception_type"] for event in recorder.events()]
    assert types == ["KeyError" if left else "ConnectionError", "ConnectionError", "ConnectionError"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_captured_exception_can_be_copied_and_sent_to_another_process(recorder: Recorder, copied: Any) -> None:
    """What it remembers stays here, and is text to whoever dumps its attributes; the copy, raised, is a failure of its own."""
    try:
        raise ValueError("x")
    except ValueError as error:
        uuid = recorder.client.capture_exception(error)
        other = copied(error)
        assert json.loads(json.dumps(vars(error))) == json.loads(json.dumps(vars(other)))
        assert list(vars(error).values()) == [uuid]
    assert other.args == ("x",)
    try:
        raise other
    except ValueError as error:
        assert recorder.client.capture_exception(error)


def test_a_process_pool_hands_a_captured_exception_back() -> None:
    """The worker captured it; the parent gets it, not an error about its attributes."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(ValueError, match="from the worker"):
            pool.submit(fail_and_capture).result()


def fail_and_capture() -> None:
    client = phtrack.Posthog("phc_test", transport=RecordingTransport())
    try:
        raise ValueError("from the worker")
    except ValueError as error:
        assert client.capture_exception(error)
        raise


def test_later_sightings_are_told_within_bounds(recorder: Recorder) -> None:
    """One that is logged a thousand times before it leaves is one entry with a number."""
    try:
        raise ValueError("x")
    except ValueError as error:
        for _ in range(1001):
            recorder.client.capture_exception(error)
    assert recorder.one()["phtrack"]["merged"] == [{"type": "ValueError", "source": "manual", "count": 1000}]


def test_every_project_gets_the_failure(recorder: Recorder) -> None:
    """Two clients for two projects each report it once, whatever became of it at the other."""
    transport = RecordingTransport()
    other = phtrack.Posthog("phc_other", transport=transport, clock=FakeClock())
    try:
        try:
            raise ValueError("x")
        except ValueError as error:
            for client in (recorder.client, other, recorder.client, other):
                client.capture_exception(error, properties={"of": client.api_key})
            raise RuntimeError("wrapped") from error
    except RuntimeError as error:
        other.capture_exception(error)
    other.shutdown()
    properties = transport.events[0]["properties"]
    assert len(transport.events) == 1
    assert (properties["of"], properties["$exception_type"]) == ("phc_other", "RuntimeError")
    properties = recorder.one()
    assert (properties["of"], properties["$exception_type"]) == ("phc_test", "ValueError")


def test_a_kept_exception_keeps_no_event(recorder: Recorder) -> None:
    """Results of futures and lists of errors live long; the event's bytes go when it is delivered."""
    try:
        raise ValueError("x")
    except ValueError as error:
        recorder.client.capture_exception(error)
        kept = error
    (mark,) = vars(kept).values()
    assert mark.pending() is not None
    recorder.client.flush()
    recorder.transport.clear()
    deadline = time.monotonic() + 30
    while mark.pending() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert mark.pending() is None


def test_an_event_without_room_leaves_no_mark(make: Make) -> None:
    """It was dropped and counted; when the failure is seen again there may be room."""
    recorder = make(max_queue_size=1)
    try:
        raise ValueError("x")
    except ValueError as error:
        recorder.client.capture_exception(KeyError("first"))
        assert recorder.client.capture_exception(error) is None
        recorder.client.flush()
        assert recorder.client.capture_exception(error) is not None
    assert [event["properties"]["$exception_type"] for event in recorder.events()] == ["KeyError", "ValueError"]


def test_an_event_that_left_is_not_repeated(recorder: Recorder) -> None:
    """A later sighting is counted when the event is gone."""
    try:
        raise ValueError("x")
    except ValueError as error:
        recorder.client.capture_exception(error)
        recorder.client.flush()
        assert recorder.client.capture_exception(error) is None
    assert len(recorder.events()) == 1
    assert recorder.client.stats()["counters"]["merged"] == 1


def test_a_later_sighting_brings_the_user(recorder: Recorder) -> None:
    """A personless event becomes that of the user whom the outer catcher knows."""
    try:
        raise ValueError("x")
    except ValueError as error:
        recorder.client.capture_exception(error)
        recorder.client.capture_exception(error, distinct_id="u1")
    (event,) = recorder.events()
    assert event["distinct_id"] == "u1"
    assert "$process_person_profile" not in event["properties"]


class Frozen(Exception):
    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("frozen")


def test_exceptions_that_refuse_attributes_are_known_again(recorder: Recorder) -> None:
    """The mark needs no `setattr`."""
    try:
        raise Frozen("x")
    except Frozen as error:
        assert recorder.client.capture_exception(error)
        assert recorder.client.capture_exception(error) is None
    assert len(recorder.events()) == 1


def test_what_posthog_captured_is_left_alone(recorder: Recorder) -> None:
    """Used side by side, the two packages report an exception once."""
    error = ValueError("x")
    error.__posthog_exception_captured = True  # type: ignore[attr-defined]
    setattr(error, "__posthog_exception_captured", True)
    assert recorder.client.capture_exception(error) is None


# --- throttle ----------------------------------------------------------------------------------------------------------


def storm(client: phtrack.Posthog, times: int) -> int:
    """How many of *times* failures at one place were admitted."""
    admitted = 0
    for n in range(times):
        try:
            raise ConnectionError(f"attempt {n}")
        except ConnectionError as error:
            admitted += client.capture_exception(error) is not None
    return admitted


def test_a_storm_is_held_back_and_counted(recorder: Recorder) -> None:
    """The first ones pass; the rest is a number."""
    assert BURST <= storm(recorder.client, 1_000) <= BURST + 5
    counters = recorder.client.stats()["counters"]
    assert counters["throttled"] == 1_000 - counters["admitted.errors"]
    try:
        raise KeyError("another place")
    except KeyError as error:
        assert recorder.client.capture_exception(error)


def test_the_throttle_can_be_turned_off(make: Make) -> None:
    """`exception_throttle=False` lets everything pass."""
    assert storm(make(exception_throttle=False).client, 300) == 300


def test_the_next_event_tells_what_was_held_back() -> None:
    """How many, and since when; the count starts again after that."""
    now = [0.0]
    throttle = Throttle(60, clock=lambda: now[0])
    code = object()
    assert [throttle.passes("k", code) for _ in range(BURST)] == [True] * BURST
    assert [throttle.passes("k", code) for _ in range(7)] == [False] * 7
    now[0] += 1.0
    held = throttle.passes("k", code)
    assert isinstance(held, Held)
    assert held.count == 7
    assert held.since > 1_600_000_000
    now[0] += 1.0
    assert throttle.passes("k", code) is True
    assert throttle.passes("other", code) is True


def test_throttling_counts_exactly_over_threads() -> None:
    """No pass and no hold is lost when many threads ask at once."""
    throttle = Throttle(1e-9)
    passed: list[int] = []

    def ask() -> None:
        passed.append(sum(throttle.passes("k", None) is not False for _ in range(1_000)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == BURST
    assert throttle._sites["k"].held == 8_000 - BURST


def test_the_contracts_buckets() -> None:
    """Fifty per class and ten more every ten seconds; zero lets nothing pass."""
    now = [0.0]
    buckets = Buckets(50, 10, 10.0, clock=lambda: now[0])
    assert sum(buckets.passes("ValueError") for _ in range(80)) == 50
    assert buckets.passes("KeyError")
    now[0] = 25.0
    assert sum(buckets.passes("ValueError") for _ in range(80)) == 20
    assert not Buckets(0, 10, 10.0).passes("ValueError")


def test_buckets_limit_hooks_and_not_manual_captures(make: Make) -> None:
    """`enable_exception_autocapture_rate_limiting` is for what comes by itself."""
    recorder = make(
        enable_exception_autocapture=True,
        enable_exception_autocapture_rate_limiting=True,
        exception_autocapture_bucket_size=2,
    )
    from phtrack.errors.boundary import THREAD_HOOK

    for n in range(5):
        try:
            raise ValueError(n)
        except ValueError as error:
            recorder.client.errors.capture(error, boundary=THREAD_HOOK)
    assert len(recorder.events()) == 2
    assert storm(recorder.client, 5) == 5


@pytest.mark.parametrize("levels", [1, 3])
def test_nothing_of_the_program_is_kept_alive(recorder: Recorder, levels: int) -> None:
    """After the capture no frame, traceback or local lives on because of it."""
    import gc
    import weakref

    class Precious:
        pass

    refs: list[weakref.ref[Any]] = []

    def work(n: int) -> None:
        precious = Precious()
        refs.append(weakref.ref(precious))
        if n:
            work(n - 1)
        raise ValueError("x")

    gc.collect()
    gc.disable()
    try:
        try:
            work(levels)
        except ValueError as error:
            recorder.client.capture_exception(error)
        assert [ref() for ref in refs] == [None] * (levels + 1)
    finally:
        gc.enable()
