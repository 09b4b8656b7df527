"""The client for asyncio: the loop never waits, whatever the network does."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from phtrack import context
from phtrack.async_client import AsyncClient, AsyncPosthog
from phtrack.client import Client
from phtrack.flags.values import FeatureFlagResult
from phtrack.testing import RecordingTransport
from tests.flags.definitions import condition, flag, prop, variants
from tests.flags.server import Answer, FlagServer, definitions, record, remote

BLUE = flag("blue", filters={"multivariate": variants(blue=100), "payloads": {"blue": "[1]"}})
PRO = flag("pro", condition(prop("plan", "pro")))


@asynccontextmanager
async def client(
    server: FlagServer, *, local: bool = False, **options: Any
) -> AsyncIterator[tuple[AsyncPosthog, RecordingTransport]]:
    outbox = RecordingTransport()
    options.setdefault("feature_flags_request_timeout_seconds", 30)
    if local:
        options |= {"secret_key": "phs_s", "poll_interval": 3600}
    async with AsyncPosthog("phc_key", server.url, transport=outbox, **options) as posthog:
        yield posthog, outbox


class Watch:
    """Counts the turns the loop takes, to tell whether something held it up."""

    async def __aenter__(self) -> Watch:
        self.turns = 0
        self._task = asyncio.create_task(self._count())
        return self

    async def _count(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0.001)

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()


def test_local_flags_on_the_loop(server: FlagServer) -> None:
    """After the first load, reads are evaluated right here: no thread, no request."""
    server.definitions = definitions(BLUE, PRO)

    async def program() -> None:
        async with client(server, local=True) as (posthog, outbox):
            assert await posthog.get_feature_flag("blue", "u1") == "blue"
            posthog._threads = None  # type: ignore[assignment,method-assign]
            assert await posthog.feature_enabled("pro", "u1", person_properties={"plan": "pro"}) is True
            assert await posthog.is_feature_enabled("pro", "u1", person_properties={"plan": "free"}) is False
            assert await posthog.get_feature_flag_payload("blue", "u1", match_value="blue") == [1]
            assert await posthog.get_feature_flag_result("blue", "u1") == FeatureFlagResult(
                "blue", True, "blue", [1], None
            )
            assert await posthog.get_all_flags("u1", only_evaluate_locally=True) == {"blue": "blue"}
            assert (await posthog.evaluate_flags("u1", flag_keys=["blue"])).get_flag("blue") == "blue"
            assert await posthog.get_feature_flag("pro", "u1", only_evaluate_locally=True) is None
            del posthog._threads
            await posthog.flush()
            assert len(outbox.named("$feature_flag_called")) == 4

    asyncio.run(program())
    assert (server.loads, server.asked) == (1, [])


def test_remote_flags(server: FlagServer) -> None:
    """What the server has to answer is awaited; the arguments are those of the plain client."""
    server.flags = remote(record("f", "v", payload='{"a": 1}'), record("off", False))
    server.other = Answer({"secret": 1})

    async def program() -> None:
        async with client(server) as (posthog, _):
            assert await posthog.get_feature_flag("f", "u1", groups={"company": "a"}, device_id="d") == "v"
            assert await posthog.feature_enabled("nobody", "u1", default_value=True) is True
            assert await posthog.get_feature_flag_payload("f", "u1") == {"a": 1}
            assert await posthog.get_all_flags("u1") == {"f": "v", "off": False}
            both = await posthog.get_all_flags_and_payloads("u1")
            assert both == {"featureFlags": {"f": "v", "off": False}, "featureFlagPayloads": {"f": '{"a": 1}'}}
            flags = await posthog.evaluate_flags("u1")
            assert flags.keys == ["f", "off"]
            assert posthog.capture("e", distinct_id="u1", flags=flags) is not None
            assert await posthog.get_remote_config_payload("k") is None
        async with client(server, local=True) as (posthog, _):
            assert await posthog.get_remote_config_payload("k") == {"secret": 1}
            await posthog.load_feature_flags()
            assert posthog.feature_flag_definitions() == []

    asyncio.run(program())
    assert (server.asked[0]["groups"], server.asked[0]["device_id"]) == ({"company": "a"}, "d")


@pytest.mark.parametrize("local", [False, True])
def test_the_loop_goes_on_while_the_server_hangs(server: FlagServer, local: bool) -> None:
    """Reads that wait for a hanging server (definitions, flags, remote config, events) hold up nothing else."""
    gate = threading.Event()
    server.flags = Answer({"flags": {"f": record("f")}}, hold=gate)
    server.definitions = Answer({"flags": [BLUE]}, hold=gate)
    server.other = Answer({}, hold=gate)

    async def program() -> None:
        async with client(server, local=local) as (posthog, _), Watch() as watch:
            waiting = [
                asyncio.create_task(one)
                for one in (
                    posthog.get_feature_flag("f", "u1"),
                    posthog.evaluate_flags("u1"),
                    posthog.get_all_flags("u1"),
                    posthog.get_remote_config_payload("k"),
                    posthog.load_feature_flags(),
                )
            ]
            arrives = "/flags/definitions" if local else "/flags/"
            await asyncio.get_running_loop().run_in_executor(None, server.wait_for, arrives, 1)
            before = watch.turns
            while watch.turns < before + 20:
                await asyncio.sleep(0.001)
            assert not waiting[0].done()
            gate.set()
            await asyncio.gather(*waiting)
            assert waiting[0].result() is True

    asyncio.run(program())


def test_cancelling_a_read(server: FlagServer) -> None:
    """A cancelled read ends at once; the client goes on."""
    gate = threading.Event()
    server.flags = Answer({"flags": {"f": record("f")}}, hold=gate)

    async def program() -> None:
        async with client(server) as (posthog, _):
            task = asyncio.create_task(posthog.get_feature_flag("f", "u1"))
            await asyncio.get_running_loop().run_in_executor(None, server.wait_for, "/flags/", 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.set()
            assert await posthog.get_feature_flag("f", "u1") is True

    asyncio.run(program())


def test_events(server: FlagServer) -> None:
    """Plain calls queue, `capture_immediate` waits until it is out, the end delivers the rest."""
    outbox = RecordingTransport()

    async def program() -> None:
        async with AsyncClient("phc_key", server.url, transport=outbox, flush_interval=3600.0) as posthog:
            assert posthog.capture("one", distinct_id="u1")
            assert posthog.set(distinct_id="u1", properties={"a": 1})
            assert posthog.set_once(distinct_id="u1", properties={"a": 1})
            assert posthog.alias("anon", "u1")
            assert posthog.group_identify("company", "acme", {"a": 1})
            assert posthog.capture_exception(ValueError("x"), distinct_id="u1")
            assert await posthog.capture_immediate("now", distinct_id="u1")
            assert [event["event"] for event in outbox.events if event["event"] == "now"] == ["now"]
            posthog.capture("last", distinct_id="u1")
        assert posthog.capture("late", distinct_id="u1") is None
        await posthog.shutdown()
        assert await posthog.flush() is True

    asyncio.run(program())
    names = {event["event"] for event in outbox.events}
    assert names == {"one", "$set", "$set_once", "$create_alias", "$groupidentify", "$exception", "now", "last"}


def test_contexts_of_tasks(server: FlagServer) -> None:
    """Each task reads flags as its own user, on the loop and off it."""
    server.flags = lambda request: remote(record("f", request.body["distinct_id"]))

    async def program() -> None:
        async with client(server) as (posthog, _):

            async def request(user: str) -> Any:
                with context.new_context():
                    posthog.identify_context(user)
                    await asyncio.sleep(0)
                    return await posthog.get_feature_flag("f")

            users = [f"u{n}" for n in range(20)]
            assert await asyncio.gather(*(request(user) for user in users)) == users

    asyncio.run(program())


def test_send_feature_flags_asks_nobody(server: FlagServer) -> None:
    """The deprecated argument would block the loop: it uses the definitions at hand, or does nothing."""
    server.definitions = definitions(BLUE)
    outbox = RecordingTransport()

    async def program() -> None:
        async with AsyncPosthog("phc_key", server.url, transport=outbox, secret_key="s", poll_interval=3600) as posthog:
            posthog.capture("before", distinct_id="u1", send_feature_flags=True)
            await posthog.load_feature_flags()
            with pytest.warns(DeprecationWarning):
                posthog.capture("after", distinct_id="u1", send_feature_flags=True)

    asyncio.run(program())
    before, after = (
        next(event["properties"] for event in outbox.events if event["event"] == name) for name in ("before", "after")
    )
    assert "$feature/blue" not in before
    assert after["$feature/blue"] == "blue"
    assert server.asked == []


def test_what_the_caller_got_wrong() -> None:
    """Options and arguments that can't be right raise, with their name."""
    with pytest.raises(TypeError, match="sync_mode"):
        AsyncPosthog("k", sync_mode=True)
    with pytest.raises(TypeError, match="unknown option"):
        AsyncPosthog("k", nonsense=1)  # type: ignore[call-arg]

    async def program() -> None:
        async with AsyncPosthog("k", send=False) as posthog:
            with pytest.raises(TypeError, match="grups"):
                await posthog.get_feature_flag("f", "u1", grups={})  # type: ignore[call-arg]

    asyncio.run(program())


def test_made_before_there_is_a_loop(server: FlagServer) -> None:
    """A module may make it at import; settings reach the client behind."""
    posthog = AsyncPosthog("phc_key", server.url, transport=RecordingTransport())
    server.flags = remote(record("f"))
    assert posthog.api_key == "phc_key"

    async def program() -> None:
        assert await posthog.get_feature_flag("f", "u1") is True
        posthog.disabled = True
        assert posthog.client.disabled is True
        assert await posthog.get_feature_flag("f", "u1") is None
        await posthog.shutdown()

    asyncio.run(program())


@pytest.mark.parametrize(
    "name",
    [
        "get_feature_flag",
        "feature_enabled",
        "get_feature_flag_result",
        "evaluate_flags",
        "get_all_flags",
        "get_all_flags_and_payloads",
    ],
)
def test_coroutines_take_what_the_plain_calls_take(name: str) -> None:
    """The two faces have the same arguments."""
    from phtrack.async_client import _KNOWN

    plain = set(inspect.signature(getattr(Client, name)).parameters) - {"self"}
    assert plain <= _KNOWN
    assert inspect.iscoroutinefunction(getattr(AsyncClient, name))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs Linux: os.fork")
def test_a_child_has_threads_of_its_own(server: FlagServer) -> None:
    """After a fork, coroutines work in the child's own loop."""
    server.flags = remote(record("f"))
    posthog = AsyncPosthog("phc_key", server.url, transport=RecordingTransport())
    assert asyncio.run(posthog.get_feature_flag("f", "u1")) is True
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if asyncio.run(posthog.get_feature_flag("f", "u2")) is True else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    asyncio.run(posthog.shutdown())
