"""
The last known values of flags, for when the server doesn't answer. Not read while it does.

    flag_fallback_cache_url -> open_cache -> a `Stale` in memory or in Redis, or None

Rules: wire contract, flags.md §9.1.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from time import time
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

from phtrack import _guard, encode

MAX_AGE = 3600
"""Seconds after which a value is too old even for this."""
_DEFAULT_SIZE = 10_000


class Stale:
    """**Seam.** Keeps entries ``{"value": ..., "payload": JSON text or None}`` by user and flag. Never raises."""

    writes_local = True
    """False if values that were evaluated locally are not to be written: they cost nothing to make, writing does."""

    def get(self, distinct_id: str, key: str, version: str | None) -> Any:
        """The entry, or None if there is none, it is too old, or it was made under other definitions than *version*."""
        raise NotImplementedError

    def put(self, distinct_id: str, key: str, entry: dict[str, Any], version: str | None) -> None:
        """Keep *entry*, made now under the definitions *version* (None: there were none)."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of connections."""

    def reset_after_fork(self) -> None:
        """Replace locks."""


class MemoryStale(Stale):
    """Stale values in this process, at most *size* of them; the least recently written give way."""

    def __init__(self, size: int = _DEFAULT_SIZE) -> None:
        self._size = size
        self._entries: OrderedDict[tuple[str, str], tuple[float, str | None, dict[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def reset_after_fork(self) -> None:
        """See `Stale`."""
        self._lock = threading.Lock()

    def get(self, distinct_id: str, key: str, version: str | None) -> Any:
        """See `Stale`."""
        found = self._entries.get((distinct_id, key))
        if found is None:
            return None
        at, made_under, entry = found
        return entry if _usable(at, made_under, version, time()) else None

    def put(self, distinct_id: str, key: str, entry: dict[str, Any], version: str | None) -> None:
        """See `Stale`."""
        place = (distinct_id, key)
        with self._lock:
            self._entries[place] = (time(), version, entry)
            self._entries.move_to_end(place)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)


def pack(entry: dict[str, Any], version: str | None, now: float) -> bytes:
    """An entry as bytes, with its time and its definitions."""
    return encode.dumps({**entry, "at": now, "definitions": version})


def unpack(body: bytes, version: str | None, now: float) -> Any:
    """The entry in *body* if it may still be used, else None; also for bytes that are something else."""
    try:
        entry = encode.loads(body)
        at, made_under = entry["at"], entry["definitions"]
        value = entry["value"]
    except (ValueError, KeyError, TypeError):
        return None
    fits = isinstance(value, (bool, str)) and isinstance(at, (int, float))
    return entry if fits and _usable(at, made_under, version, now) else None


def _usable(at: float, made_under: str | None, version: str | None, now: float) -> bool:
    older_definitions = made_under is not None and version is not None and made_under != version
    return not older_definitions and -60 <= now - at <= MAX_AGE


def open_cache(url: str | None) -> Stale | None:
    """
    The cache that *url* names: ``memory://local/?size=10000``, ``redis://host/0``, ``rediss://...``.

    A URL that names none, or a missing package, is said once, and there is no cache. ``ttl`` is accepted: what isn't read
    while the server answers has no use for it.
    """
    if not url:
        return None
    try:
        parts = urlsplit(url)
        if parts.scheme == "memory":
            size = int(parse_qs(parts.query).get("size", [str(_DEFAULT_SIZE)])[0])
            if size < 1:
                raise ValueError
            return MemoryStale(size)
        if parts.scheme in ("redis", "rediss"):
            from phtrack.flags.redis_store import RedisStale

            kept = [(name, value) for name, value in parse_qsl(parts.query) if name not in ("ttl", "size")]
            return RedisStale(urlunsplit(parts._replace(query=urlencode(kept))))
        raise ValueError
    except ImportError:
        _guard.say(
            "warning",
            "flag_fallback_cache_url needs the package redis (phtrack[redis]); no stale flags are kept",
            every=3600,
        )
    except ValueError:
        _guard.say("warning", "flag_fallback_cache_url is not understood; no stale flags are kept", every=3600)
    return None
