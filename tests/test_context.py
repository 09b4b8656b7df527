"""Contexts: what is inherited, what stays apart, and what leaves them."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import phtrack
from phtrack import context, contexts
from phtrack.testing import FakeClock, RecordingTransport


@pytest.fixture
def client() -> Iterator[phtrack.Posthog]:
    client = phtrack.Posthog("phc_test", transport=RecordingTransport(), clock=FakeClock())
    yield client
    client.shutdown()


def events(client: phtrack.Posthog) -> list[dict[str, Any]]:
    client.flush()
    recorded: list[dict[str, Any]] = client._delivery._transport.events  # type: ignore[attr-defined]
    return recorded


def test_a_child_inherits_and_overrides_and_the_parent_keeps_its_own() -> None:
    """Tags, user and session pass down; what is set below does not pass up."""
    with phtrack.new_context():
        phtrack.tag("a", 1)
        phtrack.tag("b", 1)
        phtrack.identify_context("u1")
        phtrack.set_context_session("s1")
        with phtrack.new_context():
            phtrack.tag("b", 2)
            phtrack.identify_context("u2")
            assert phtrack.get_tags() == {"a": 1, "b": 2}
            assert phtrack.get_context_distinct_id() == "u2"
            assert phtrack.get_context_session_id() == "s1"
        assert phtrack.get_tags() == {"a": 1, "b": 1}
        assert phtrack.get_context_distinct_id() == "u1"
    assert phtrack.get_tags() == {}
    assert phtrack.get_context_distinct_id() is None


def test_a_fresh_context_inherits_nothing() -> None:
    """`fresh=True` cuts every field, and leaving restores the parent."""
    with phtrack.new_context():
        phtrack.tag("a", 1)
        phtrack.identify_context("u1")
        phtrack.set_context_device_id("d1")
        with phtrack.new_context(fresh=True):
            assert phtrack.get_tags() == {}
            assert phtrack.get_context_distinct_id() is None
            assert phtrack.get_context_device_id() is None
        assert phtrack.get_tags() == {"a": 1}


def test_a_fresh_context_may_keep_what_is_masked(client: phtrack.Posthog) -> None:
    """With `keep_switches` the say over values stays, and nothing else."""
    shown: list[bool] = []
    for keep in (True, False):
        with phtrack.new_context():
            phtrack.tag("a", 1)
            phtrack.set_capture_exception_code_variables_context(False)
            with phtrack.new_context(fresh=True, capture_exceptions=False, keep_switches=keep):
                assert phtrack.get_tags() == {}
                try:
                    number = 42
                    assert number < 0
                except AssertionError as error:
                    client.capture_exception(error)
        frame = events(client)[-1]["properties"]["$exception_list"][0]["stacktrace"]["frames"][-1]
        shown.append("number" in frame.get("code_variables", {}))
    assert shown == [False, True]


def test_tags_may_be_made_when_they_are_read(client: phtrack.Posthog) -> None:
    """`set_tags` replaces all tags by a mapping that stays as it is; an event, `get_tags` and a further tag read it."""
    reads: list[str] = []

    class Late(Mapping[str, Any]):
        def __getitem__(self, name: str) -> Any:
            return {"plan": "pro"}[name]

        def __iter__(self) -> Iterator[str]:
            reads.append("read")
            return iter(["plan"])

        def __len__(self) -> int:
            return 1

    late = Late()
    with phtrack.new_context(shared=True):
        phtrack.tag("before", 1)
        contexts.set_tags(late)
        assert contexts.current_tags() is late
        assert reads == []
        client.capture("opened")
        assert reads
        phtrack.tag("more", 2)
        assert phtrack.get_tags() == {"plan": "pro", "more": 2}
    assert contexts.current_tags() == {}
    (event,) = events(client)
    assert event["properties"]["plan"] == "pro"
    assert "before" not in event["properties"]


def test_setters_outside_are_silent() -> None:
    """Without a context nothing is kept and nothing is raised."""
    phtrack.tag("a", 1)
    phtrack.identify_context("u1")
    assert phtrack.get_tags() == {}
    assert phtrack.get_context_distinct_id() is None


def test_get_tags_is_a_copy() -> None:
    """Changing what was read changes nothing."""
    with phtrack.new_context():
        phtrack.tag("a", 1)
        phtrack.get_tags()["a"] = 2
        assert phtrack.get_tags() == {"a": 1}


def test_tasks_in_one_context_do_not_mix() -> None:
    """Two tasks started in the same context identify different users, and each sees its own."""

    async def one(user: str, turn: asyncio.Event, other: asyncio.Event) -> tuple[str | None, dict[str, Any]]:
        phtrack.identify_context(user)
        phtrack.tag("user", user)
        other.set()
        await turn.wait()
        return phtrack.get_context_distinct_id(), phtrack.get_tags()

    async def main() -> list[Any]:
        with phtrack.new_context():
            phtrack.tag("shared", True)
            a, b = asyncio.Event(), asyncio.Event()
            return await asyncio.gather(one("u1", a, b), one("u2", b, a))

    assert asyncio.run(main()) == [
        ("u1", {"shared": True, "user": "u1"}),
        ("u2", {"shared": True, "user": "u2"}),
    ]


def test_fifty_interleaved_requests_never_mix() -> None:
    """Requests that take turns at every step keep user and tags apart."""

    async def request(n: int) -> bool:
        async with phtrack.new_context(fresh=True):
            phtrack.identify_context(f"u{n}")
            for step in range(5):
                phtrack.tag(f"step{step}", n)
                await asyncio.sleep(0)
                if phtrack.get_context_distinct_id() != f"u{n}" or set(phtrack.get_tags().values()) != {n}:
                    return False
        return True

    async def main() -> list[bool]:
        return await asyncio.gather(*(request(n) for n in range(50)))

    assert all(asyncio.run(main()))


def test_a_shared_scope_sees_what_a_worker_thread_sets() -> None:
    """An integration's request scope is one for the whole request, also where a framework uses a thread for the handler."""
    with context.new_context(shared=True):
        inside = contextvars.copy_context()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(inside.run, phtrack.identify_context, "u1").result()
            pool.submit(inside.run, phtrack.tag, "a", 1).result()
        assert phtrack.get_context_distinct_id() == "u1"
        assert phtrack.get_tags() == {"a": 1}


def test_a_new_thread_starts_empty() -> None:
    """A thread of the operating system inherits nothing by itself."""
    seen: list[Any] = []
    with phtrack.new_context():
        phtrack.tag("a", 1)
        thread = threading.Thread(target=lambda: seen.append(context.current()))
        # Free-threaded and future interpreters may hand contexts down; run it in an empty one to be exact.
        thread.run = lambda: contextvars.Context().run(seen.append, phtrack.get_tags())  # type: ignore[method-assign]
        thread.start()
        thread.join()
    assert seen == [{}]


def test_what_leaves_a_context_is_captured_with_its_tags_and_raised_on(client: phtrack.Posthog) -> None:
    """The exception passes unchanged; its event has the tags and the user of the block it left."""
    boom = ValueError("boom")
    with pytest.raises(ValueError) as caught, client.new_context():
        phtrack.tag("order", 7)
        phtrack.identify_context("u1")
        raise boom
    assert caught.value is boom
    (event,) = events(client)
    assert event["event"] == "$exception"
    assert event["distinct_id"] == "u1"
    assert event["properties"]["order"] == 7
    assert event["properties"]["$context_tags"] == ["order"]
    mechanism = event["properties"]["$exception_list"][0]["mechanism"]
    assert mechanism["type"] == "generic"
    assert mechanism["handled"] is True
    assert "$exception_source" not in event["properties"]


def test_nested_contexts_report_once(client: phtrack.Posthog) -> None:
    """An exception that leaves two blocks is one event, with the inner block's tags."""
    with pytest.raises(KeyError), client.new_context(), client.new_context():
        phtrack.tag("inner", 1)
        raise KeyError("x")
    (event,) = events(client)
    assert event["properties"]["inner"] == 1


def test_capture_can_be_turned_off(client: phtrack.Posthog) -> None:
    """`capture_exceptions=False` leaves the exception alone."""
    with pytest.raises(ValueError), client.new_context(capture_exceptions=False):
        raise ValueError
    assert events(client) == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_what_ends_a_program_is_no_error(client: phtrack.Posthog, kind: type[BaseException]) -> None:
    """Only `Exception`s are captured on their way out."""
    with pytest.raises(kind), client.new_context():
        raise kind
    assert events(client) == []


def test_without_a_client_nothing_is_started() -> None:
    """An exception leaving a context doesn't bring phtrack up by itself."""
    with pytest.raises(ValueError), phtrack.new_context():
        raise ValueError
    assert phtrack.default_client is None


# --- scoped ----------------------------------------------------------------------------------------------------------


def test_scoped_functions_have_their_own_context(client: phtrack.Posthog) -> None:
    """Tags set inside end with the call; the name and doc of the function stay."""

    @client.scoped()
    def work(n: int) -> dict[str, Any]:
        "Does it."
        phtrack.tag("n", n)
        return phtrack.get_tags()

    assert work(1) == {"n": 1}
    assert work(2) == {"n": 2}
    assert phtrack.get_tags() == {}
    assert (work.__name__, work.__doc__) == ("work", "Does it.")


def test_scoped_coroutines_keep_their_context_over_awaits(client: phtrack.Posthog) -> None:
    """The context is there after each await, and an escaping exception is captured with it."""

    @client.scoped()
    async def work() -> None:
        phtrack.tag("n", 1)
        await asyncio.sleep(0)
        assert phtrack.get_tags() == {"n": 1}
        raise ValueError("late")

    with pytest.raises(ValueError):
        asyncio.run(work())
    (event,) = events(client)
    assert event["properties"]["n"] == 1


def test_scoped_generators_keep_their_context_between_resumptions(client: phtrack.Posthog) -> None:
    """What was set before a yield is there after it, and the consumer never sees it."""

    @client.scoped()
    def work() -> Iterator[Any]:
        phtrack.tag("n", 1)
        got = yield phtrack.get_tags()
        phtrack.tag("got", got)
        yield phtrack.get_tags()
        raise ValueError("end")

    generator = work()
    assert next(generator) == {"n": 1}
    assert phtrack.get_tags() == {}
    with phtrack.new_context():
        phtrack.tag("consumer", 1)
        assert generator.send("x") == {"n": 1, "got": "x"}  # type: ignore[attr-defined]
    with pytest.raises(ValueError):
        next(generator)
    assert events(client)[0]["properties"]["got"] == "x"


def test_scoped_generators_pass_throw_close_and_return(client: phtrack.Posthog) -> None:
    """The wrapper is a generator like the one it wraps."""
    closed = []

    @client.scoped()
    def work() -> Any:
        try:
            try:
                yield 1
            except KeyError:
                yield 2
            return 3
        finally:
            closed.append(phtrack.get_tags())

    generator = work()
    assert next(generator) == 1
    assert generator.throw(KeyError("x")) == 2
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert end.value.value == 3
    other = work()
    next(other)
    other.close()
    assert len(closed) == 2
    assert events(client) == []


def test_scoped_async_generators_keep_their_context(client: phtrack.Posthog) -> None:
    """Async generators too, also when the consumer is in another context."""

    @client.scoped()
    async def work() -> AsyncIterator[Any]:
        phtrack.tag("n", 1)
        yield phtrack.get_tags()
        await asyncio.sleep(0)
        yield phtrack.get_tags()

    async def main() -> list[Any]:
        seen = []
        with phtrack.new_context():
            async for one in work():
                seen.append(one)
                assert phtrack.get_tags() == {}
        return seen

    assert asyncio.run(main()) == [{"n": 1}, {"n": 1}]


def test_a_context_left_in_another_task_restores(client: phtrack.Posthog) -> None:
    """A block entered in one context of the interpreter and left in another does no harm."""
    block = phtrack.new_context()
    contextvars.copy_context().run(block.__enter__)
    block.__exit__(None, None, None)
    assert context.current() is None


# --- flags and steps -------------------------------------------------------------------------------------------------


def test_flag_properties_are_context_scoped_and_merge() -> None:
    """Defaults for flag evaluation add up inside a context and end with it."""
    with phtrack.new_context():
        phtrack.set_person_properties_for_flags({"plan": "pro"})
        phtrack.set_group_properties_for_flags({"company": {"size": 3}})
        with phtrack.new_context():
            phtrack.set_person_properties_for_flags({"age": 5})
            phtrack.set_group_properties_for_flags({"company": {"name": "A"}, "team": {"x": 1}})
            person, groups = context.flag_properties()
            assert person == {"plan": "pro", "age": 5}
            assert groups == {"company": {"size": 3, "name": "A"}, "team": {"x": 1}}
            phtrack.reset_group_properties_for_flags("team")
            assert set(context.flag_properties()[1]) == {"company"}
            phtrack.reset_person_properties_for_flags()
            assert context.flag_properties()[0] == {}
        assert context.flag_properties() == ({"plan": "pro"}, {"company": {"size": 3}})
    assert context.flag_properties() == ({}, {})


def test_a_carried_context_goes_on_where_it_is_entered(client: phtrack.Posthog) -> None:
    """A thread, or a callback after the block, sees the context and adds to it; around it nothing changes."""
    from phtrack.contexts import carry

    with phtrack.new_context(client=client):
        phtrack.identify_context("u1")
        carried = carry()
    seen: list[Any] = []

    def elsewhere() -> None:
        with carried:
            seen.append(phtrack.get_context_distinct_id())
            phtrack.tag("chunk", 1)
        seen.append(phtrack.get_context_distinct_id())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    with phtrack.new_context(), carried:
        seen.append(phtrack.get_tags())
    assert seen == ["u1", None, {"chunk": 1}]
    assert phtrack.get_tags() == {}


def test_a_unit_of_work_starts_without_the_steps_of_its_thread(client: phtrack.Posthog) -> None:
    """What a worker's thread noted between two requests is not on the second one's events; a plain context has it."""
    phtrack.step("access log of the request before")
    with phtrack.new_context(client=client, shared=True):
        client.capture_exception(ValueError("in a request"))
    with phtrack.new_context(client=client):
        client.capture_exception(KeyError("elsewhere"))
    first, second = events(client)
    assert "$exception_steps" not in first["properties"]
    assert len(second["properties"]["$exception_steps"]) == 1
