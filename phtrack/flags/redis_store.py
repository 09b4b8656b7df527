"""
Redis, for a fleet: definitions that one process loads for all, and stale values for when the server is down.

The `redis` package (extra ``phtrack[redis]``) loads with the first object made here.
"""

from __future__ import annotations

import threading
import uuid
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from phtrack import _guard, encode
from phtrack.flags.providers import FlagDefinitionCacheData, await_first
from phtrack.flags.stale import MAX_AGE, Stale, pack, unpack

if TYPE_CHECKING:
    from redis import Redis

_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
_RENEW = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"


def connect(url: str, *, timeout: float) -> Redis:
    """
    A client for *url* (``redis://``, ``rediss://``, ``unix://``). Connects at its first command.

    Raises:
        ImportError: the package isn't installed.
        ValueError: the URL is of another kind.
    """
    import redis

    return redis.Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)


class RedisFlagDefinitionCache:
    """
    Definitions in Redis: one process of a fleet loads them from the server, the others read them.

    The one that loads holds a lock with its name in it, which it renews at each load; when it ends or dies, the lock is
    given up or expires, and another takes over.

    Args:
        redis: A URL, or a `redis.Redis` client.
        prefix: What the keys start with. Use one per project.
        lock_seconds: How long a fetcher that fell silent keeps its turn; a few times ``poll_interval``.
        patience: Seconds to wait for the first definitions while another process loads them.
    """

    def __init__(
        self,
        redis: str | Redis,
        *,
        prefix: str = "posthog:definitions",
        lock_seconds: float = 90.0,
        patience: float = 2.0,
    ) -> None:
        if lock_seconds <= 0:
            raise ValueError(f"lock_seconds must be above 0, got {lock_seconds!r}")
        self._redis: Any = connect(redis, timeout=2.0) if isinstance(redis, str) else redis
        self._data_key = f"{prefix}:data"
        self._lock_key = f"{prefix}:lock"
        self._lock_ms = int(lock_seconds * 1000)
        self._patience = patience
        self._owner = uuid.uuid4().hex

    def reset_after_fork(self) -> None:
        """A child is another process, and no owner of its parent's lock."""
        self._owner = uuid.uuid4().hex

    def should_fetch_flag_definitions(self) -> bool:
        """True for the process that holds the lock, or takes it."""
        if self._redis.set(self._lock_key, self._owner, nx=True, px=self._lock_ms):
            return True
        return bool(self._redis.eval(_RENEW, 1, self._lock_key, self._owner, self._lock_ms))

    def get_flag_definitions(self) -> Any:
        """What the fetcher stored; None if there is nothing, and nobody who is about to store it."""
        return await_first(self._read, lambda: bool(self._redis.exists(self._lock_key)), self._patience)

    def _read(self) -> Any:
        body = self._redis.get(self._data_key)
        return None if body is None else encode.loads(body)

    def on_flag_definitions_received(self, data: FlagDefinitionCacheData) -> None:
        """Store *data* for the others. It doesn't expire: old definitions are better than none."""
        self._redis.set(self._data_key, encode.dumps(data))

    def shutdown(self) -> None:
        """Give the lock up, if it is ours, so that another process takes over at once."""
        self._redis.eval(_RELEASE, 1, self._lock_key, self._owner)


class RedisStale(Stale):
    """
    Stale values in Redis.

    Only what came from the server is written here: a round trip on top of one that was made anyway. After a failure Redis is
    left alone for a while.
    """

    writes_local = False
    _REST = 30.0

    def __init__(self, url: str) -> None:
        self._redis: Any = connect(url, timeout=0.25)
        self._lock = threading.Lock()
        self._silent_until = 0.0

    def get(self, distinct_id: str, key: str, version: str | None) -> Any:
        """See `Stale`."""
        body = self._try("get", self._redis.get, self._key(distinct_id, key))
        return None if body is None else unpack(body, version, time())

    def put(self, distinct_id: str, key: str, entry: dict[str, Any], version: str | None) -> None:
        """See `Stale`."""
        self._try("set", self._redis.set, self._key(distinct_id, key), pack(entry, version, time()), MAX_AGE)

    def _key(self, distinct_id: str, key: str) -> str:
        return f"posthog:flags:{distinct_id}:{key}"

    def _try(self, what: str, command: Any, *args: Any) -> Any:
        if monotonic() < self._silent_until:
            return None
        try:
            with _guard.quiet():
                return command(*args)
        except Exception as error:
            self._silent_until = monotonic() + self._REST
            _guard.say(
                "warning",
                "flag_fallback_cache_url: redis failed (%s); not asked again for %d s",
                type(error).__name__,
                self._REST,
                every=60,
            )
            return None

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
