"""Definitions shared between processes: the protocol, files, Redis, and a fleet that starts at once."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phtrack.flags import providers
from phtrack.flags.definitions import Definitions
from phtrack.flags.providers import FileFlagDefinitionCache, FlagDefinitionCacheProvider
from phtrack.flags.transport import HttpTransport
from tests.flags.conftest import MakeClient
from tests.flags.definitions import flag, variants
from tests.flags.server import Answer, FlagServer, definitions, record, remote

BLUE = flag("blue", filters={"multivariate": variants(blue=100)})
SHARED = {"flags": [flag("shared")], "group_type_mapping": {}, "cohorts": {}}


class Provider:
    """Answers as told, writes down what it is asked; `wrap` makes its answers awaitable."""

    def __init__(self, *, fetch: Any = True, data: Any = None, wrap: Any = lambda value: value) -> None:
        self.fetch, self.data, self.wrap = fetch, data, wrap
        self.calls: list[str] = []
        self.received: list[Any] = []

    def _answer(self, name: str, value: Any) -> Any:
        self.calls.append(name)
        if isinstance(value, BaseException):
            raise value
        return self.wrap(value)

    def should_fetch_flag_definitions(self) -> Any:
        return self._answer("should_fetch", self.fetch)

    def get_flag_definitions(self) -> Any:
        return self._answer("get", self.data)

    def on_flag_definitions_received(self, data: Any) -> Any:
        self.received.append(data)
        return self._answer("received", None)

    def shutdown(self) -> Any:
        return self._answer("shutdown", None)


async def later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


WRAPS = [lambda value: value, later]


@pytest.mark.parametrize("wrap", WRAPS, ids=["plain", "awaitable"])
def test_the_fetcher_passes_on_what_it_got(server: FlagServer, client: MakeClient, wrap: Any) -> None:
    """True: load from the server, and hand the definitions, gate and version to the provider; shutdown is told."""
    server.definitions = definitions(BLUE, minimal_flag_called_events=True, property_matching_version=2, etag='"1"')
    provider = Provider(wrap=wrap)
    phtrack = client(local=True, flag_definition_cache_provider=provider)
    phtrack.load_feature_flags()
    assert phtrack.get_feature_flag("blue", "u1") == "blue"
    server.definitions = Answer(status=304)
    phtrack.load_feature_flags()
    phtrack.shutdown()
    assert provider.calls[:2] == ["should_fetch", "received"]
    assert provider.calls.count("received") == 1
    assert provider.calls[-1] == "shutdown"
    assert provider.received == [
        {
            "flags": [BLUE], "group_type_mapping": {"0": "company", "1": "team"}, "cohorts": {}, "minimal_flag_called_events": True,
            "property_matching_version": 2,
        }
    ]  # fmt: skip


@pytest.mark.parametrize("wrap", WRAPS, ids=["plain", "awaitable"])
def test_the_others_read(server: FlagServer, client: MakeClient, wrap: Any) -> None:
    """False: what the provider has is used, and the server isn't asked."""
    phtrack = client(local=True, flag_definition_cache_provider=Provider(fetch=False, data=SHARED, wrap=wrap))
    phtrack.load_feature_flags()
    assert phtrack.get_feature_flag("shared", "u1") is True
    assert server.loads == 0


def test_a_provider_without_data_does_not_leave_us_without() -> None:
    """Nothing there and nothing loaded: fetch after all; with something loaded, keep it."""
    from tests.flags.test_faults import GOOD, made

    provider = Provider(fetch=False)
    found, script = made(GOOD, provider=provider)
    found.step()
    assert found.current is not None
    before = found.current
    found.step()
    assert found.current is before
    assert len(script.headers) == 1


@pytest.mark.parametrize(
    "broken",
    [{"fetch": RuntimeError("redis is down")}, {"fetch": False, "data": RuntimeError("no")}, {"fetch": False, "data": {"flags": 5}}, {"fetch": False, "data": "x"}],
)  # fmt: skip
def test_a_failing_provider_costs_nothing(broken: dict[str, Any]) -> None:
    """An error while nothing is loaded means fetching; later it never erases what is there."""
    from tests.flags.test_faults import GOOD, made

    provider = Provider(**broken)
    found, script = made(GOOD, provider=provider)
    found.step()
    assert found.current is not None
    before = found.current.flags.keys()
    found.step()
    assert found.current.flags.keys() == before


def test_a_provider_that_fails_to_store_or_to_end(server: FlagServer, client: MakeClient) -> None:
    """Definitions that could not be passed on are used all the same; an end that fails is still an end."""

    class Failing(Provider):
        def on_flag_definitions_received(self, data: Any) -> Any:
            raise RuntimeError("full")

        def shutdown(self) -> Any:
            raise RuntimeError("gone")

    server.definitions = definitions(BLUE)
    phtrack = client(local=True, flag_definition_cache_provider=Failing())
    assert phtrack.get_feature_flag("blue", "u1") == "blue"
    phtrack.shutdown()


def test_the_end_is_told_even_if_nothing_was_fetched(client: MakeClient) -> None:
    """A provider may hold connections from its start."""
    provider = Provider()
    phtrack = client(local=True, flag_definition_cache_provider=provider)
    phtrack.get_feature_flag  # noqa: B018
    phtrack.flags  # noqa: B018
    phtrack.shutdown()
    assert provider.calls == ["shutdown"]


def test_a_provider_without_the_four_methods_is_refused() -> None:
    """A mistake in the configuration is said at once."""
    with pytest.raises(TypeError, match="should_fetch_flag_definitions"):
        providers.check(object())
    assert isinstance(Provider(), FlagDefinitionCacheProvider)


def test_an_awaitable_is_bounded_and_works_inside_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coroutine that never ends is given up; loading from code that runs in an event loop works."""
    monkeypatch.setattr(providers, "PATIENCE", 0.05)

    async def never() -> None:
        await asyncio.Event().wait()

    async def inside() -> Any:
        return providers.call(lambda: later(5))

    with pytest.raises(TimeoutError):
        providers.call(never)
    assert asyncio.run(inside()) == 5


def test_a_hanging_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that hangs in shutdown doesn't keep the process."""
    gate = threading.Event()
    with pytest.raises(TimeoutError):
        providers.call_within(0.05, gate.wait)
    gate.set()


# --- files -----------------------------------------------------------------------------------------------------------


def test_the_file_is_written_once_and_read_by_all(tmp_path: Path) -> None:
    """One claims and writes, the others read; when the file is old, one of them renews it."""
    path = tmp_path / "flags.json"
    first, second = FileFlagDefinitionCache(path, max_age=100), FileFlagDefinitionCache(path, max_age=100)
    assert first.should_fetch_flag_definitions() is True
    assert second.should_fetch_flag_definitions() is False
    first.on_flag_definitions_received(SHARED)  # type: ignore[arg-type]
    assert second.get_flag_definitions() == SHARED
    assert first.should_fetch_flag_definitions() is False
    os.utime(path, (1, 1))
    assert second.should_fetch_flag_definitions() is True
    assert first.should_fetch_flag_definitions() is False
    second.shutdown()
    assert first.should_fetch_flag_definitions() is True
    first.shutdown()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["flags.json"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_claim_of_the_dead_is_broken(tmp_path: Path) -> None:
    """A process that died while it wanted to load doesn't stop the others for ever."""
    path = tmp_path / "flags.json"
    dead, living = FileFlagDefinitionCache(path), FileFlagDefinitionCache(path)
    assert dead.should_fetch_flag_definitions() is True
    lock = tmp_path / "flags.json.lock"
    os.utime(lock, (time.time() - 60, time.time() - 60))
    assert living.should_fetch_flag_definitions() is True
    assert dead.should_fetch_flag_definitions() is False


def test_an_unreadable_file_is_no_file(tmp_path: Path) -> None:
    """Half a file, or something else, is not taken for definitions."""
    path = tmp_path / "flags.json"
    for words in ("{", "[]", ""):
        path.write_text(words, encoding="utf-8")
        assert FileFlagDefinitionCache(path).get_flag_definitions() is None


@pytest.mark.parametrize(("options", "error"), [({"path": 5}, TypeError), ({"path": "x", "max_age": 0}, ValueError)])
def test_bad_options_of_the_file(options: dict[str, Any], error: type[Exception]) -> None:
    """The value is in the message."""
    with pytest.raises(error, match="got"):
        FileFlagDefinitionCache(**options)


# --- Redis -----------------------------------------------------------------------------------------------------------

URL = os.environ.get("PHTRACK_TEST_REDIS", "redis://127.0.0.1:6379/9")


def _redis_answers() -> bool:
    try:
        import redis

        redis.Redis.from_url(URL, socket_connect_timeout=0.5).ping()
    except Exception:
        return False
    return True


needs_redis = pytest.mark.skipif(not _redis_answers(), reason="needs a Redis server at 127.0.0.1:6379")


@pytest.fixture
def prefix() -> Iterator[str]:
    """A name for this test's keys, which are gone afterwards."""
    import redis

    prefix = f"phtrack-test:{uuid.uuid4().hex}"
    yield prefix
    server = redis.Redis.from_url(URL)
    for key in server.scan_iter(f"*{prefix}*"):
        server.delete(key)
    server.close()


@needs_redis
def test_one_fetcher_in_a_fleet(prefix: str) -> None:
    """The owner of the lock keeps its turn and renews it; when it ends, another takes over."""
    from phtrack.flags.redis_store import RedisFlagDefinitionCache

    first = RedisFlagDefinitionCache(URL, prefix=prefix, lock_seconds=100)
    second = RedisFlagDefinitionCache(URL, prefix=prefix, lock_seconds=100, patience=0.05)
    assert [first.should_fetch_flag_definitions(), second.should_fetch_flag_definitions()] == [True, False]
    assert second.get_flag_definitions() is None
    first.on_flag_definitions_received(SHARED)  # type: ignore[arg-type]
    assert second.get_flag_definitions() == SHARED
    first._redis.pexpire(first._lock_key, 5_000)
    assert first.should_fetch_flag_definitions() is True
    assert first._redis.pttl(first._lock_key) > 50_000
    second.shutdown()
    assert second.should_fetch_flag_definitions() is False
    first.shutdown()
    assert second.should_fetch_flag_definitions() is True
    second.shutdown()


@needs_redis
def test_a_dead_fetcher_is_replaced_and_a_child_is_not_its_parent(prefix: str) -> None:
    """The lock expires with its owner; a forked child doesn't own its parent's lock."""
    from phtrack.flags.redis_store import RedisFlagDefinitionCache

    first = RedisFlagDefinitionCache(URL, prefix=prefix)
    second = RedisFlagDefinitionCache(URL, prefix=prefix)
    assert first.should_fetch_flag_definitions() is True
    first.reset_after_fork()
    assert first.should_fetch_flag_definitions() is False
    first._redis.delete(first._lock_key)  # as expiry does
    assert second.should_fetch_flag_definitions() is True


@needs_redis
def test_clients_share_definitions_through_redis(server: FlagServer, client: MakeClient, prefix: str) -> None:
    """Ten clients, one load; all evaluate locally."""
    from phtrack.flags.redis_store import RedisFlagDefinitionCache

    server.definitions = definitions(BLUE)
    fleet = [
        client(local=True, flag_definition_cache_provider=RedisFlagDefinitionCache(URL, prefix=prefix))
        for _ in range(10)
    ]
    assert [phtrack.get_feature_flag("blue", "u1") for phtrack in fleet] == ["blue"] * 10
    assert (server.loads, server.asked) == (1, [])


def test_redis_that_is_down_is_a_warning(
    server: FlagServer, client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Without Redis every process loads for itself; nothing fails."""
    pytest.importorskip("redis")
    from phtrack.flags.redis_store import RedisFlagDefinitionCache

    server.definitions = definitions(BLUE)
    provider = RedisFlagDefinitionCache("redis://127.0.0.1:1/0")
    phtrack = client(local=True, flag_definition_cache_provider=provider)
    assert phtrack.get_feature_flag("blue", "u1") == "blue"
    assert any("cache provider failed" in line for line in caplog.messages)


@needs_redis
def test_stale_values_in_redis(server: FlagServer, client: MakeClient, prefix: str) -> None:
    """Another process finds the last value when the server is down; nonsense under the key is nothing."""
    import redis

    server.flags = remote(record("f", "blue", payload="[1]"))
    user = f"{prefix}-u"
    one, other = (client(flag_fallback_cache_url=f"{URL}?ttl=300&size=5") for _ in range(2))
    assert one.get_feature_flag("f", user) == "blue"
    server.flags = Answer(status=500)
    result = other.get_feature_flag_result("f", user)
    assert (result.variant, result.payload) == ("blue", [1])
    store = redis.Redis.from_url(URL)
    key = f"posthog:flags:{user}:f"
    assert 0 < store.ttl(key) <= 3600
    for nonsense in (b"x", b"[]", b'{"value":5,"at":1,"definitions":null}', b"{}"):
        store.set(key, nonsense)
        assert other.get_feature_flag("f", user) is None
    store.close()


def test_a_stale_cache_that_is_down_is_left_alone(server: FlagServer, client: MakeClient) -> None:
    """One failure, then no further attempt for a while: reads don't wait for a dead Redis."""
    pytest.importorskip("redis")
    server.flags = remote(record("f"))
    phtrack = client(flag_fallback_cache_url="redis://127.0.0.1:1/0")
    tried: list[str] = []
    original = phtrack.flags._stale._redis.set

    def count(*args: Any) -> Any:
        tried.append("set")
        return original(*args)

    phtrack.flags._stale._redis.set = count
    for user in ("a", "b", "c"):
        assert phtrack.get_feature_flag("f", user) is True
    assert tried == ["set"]


# --- a fleet that starts at once -------------------------------------------------------------------------------------


def fleet_loads(server: FlagServer, make: Any, count: int = 200) -> tuple[int, list[Any]]:
    """*count* processes (simulated: each with its own provider and loader) need their first flag at the same moment."""
    server.definitions = definitions(BLUE)
    transport = HttpTransport()
    fleet = [
        Definitions(host=server.url, api_key="k", secret_key="s", transport=transport, provider=make(), first_wait=20.0)
        for _ in range(count)
    ]
    barrier = threading.Barrier(count)
    found: list[Any] = []

    def start(one: Definitions) -> None:
        barrier.wait()
        rules = one.ensure()
        found.append(rules is not None and list(rules.flags))

    threads = [threading.Thread(target=start, args=(one,)) for one in fleet]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loads = server.loads
    for one in fleet:
        one.close()
    transport.close()
    return loads, found


def test_two_hundred_processes_with_a_file(server: FlagServer, tmp_path: Path) -> None:
    """All have the definitions, and the server was asked a handful of times at most."""
    loads, found = fleet_loads(server, lambda: FileFlagDefinitionCache(tmp_path / "flags.json", patience=15))
    assert found == [["blue"]] * 200
    assert loads == 1


@needs_redis
def test_two_hundred_processes_with_redis(server: FlagServer, prefix: str) -> None:
    """The same through Redis."""
    from phtrack.flags.redis_store import RedisFlagDefinitionCache

    loads, found = fleet_loads(server, lambda: RedisFlagDefinitionCache(URL, prefix=prefix, patience=15))
    assert found == [["blue"]] * 200
    assert loads == 1


def test_polls_of_a_fleet_spread() -> None:
    """Processes that started together don't stay together: their pauses differ."""
    from tests.flags.test_faults import UNCHANGED, made

    pauses = sorted(made(UNCHANGED)[0].step() for _ in range(200))
    assert pauses[-1] - pauses[0] > 1.0
    assert 9 <= pauses[0] <= pauses[-1] <= 11
