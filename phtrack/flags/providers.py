"""
Sharing definitions between processes: the protocol, how a provider is called, and the file provider.

A provider decides who fetches and keeps what was fetched. Its methods may be plain or coroutines; what they return is awaited in
an event loop of its own, for a few seconds at most. Rules: wire contract, flags.md §5.1. The provider over Redis is in
`redis_store`.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, runtime_checkable

from phtrack import _guard, encode

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 5.0
"""Seconds that one call of a provider may take."""


class _Required(TypedDict):
    flags: list[dict[str, Any]]
    group_type_mapping: dict[str, str]
    cohorts: dict[str, Any]


class FlagDefinitionCacheData(_Required, total=False):
    """Definitions as they travel between processes."""

    minimal_flag_called_events: bool
    property_matching_version: int


@runtime_checkable
class FlagDefinitionCacheProvider(Protocol):
    """**Seam.** Shares definitions between processes. Every method may also be a coroutine function."""

    def should_fetch_flag_definitions(self) -> bool | Awaitable[bool]:
        """True: this process loads them from the server now. Asked before every load."""
        ...

    def get_flag_definitions(self) -> FlagDefinitionCacheData | Awaitable[FlagDefinitionCacheData | None] | None:
        """What another process has loaded, or None."""
        ...

    def on_flag_definitions_received(self, data: FlagDefinitionCacheData) -> Awaitable[None] | None:
        """The server sent *data*; keep it for others."""
        ...

    def shutdown(self) -> Awaitable[None] | None:
        """The client ends."""
        ...


def call(method: Callable[..., Any], *args: Any) -> Any:
    """
    Call a provider's *method* and, if it answers with an awaitable, wait for it.

    Raises:
        TimeoutError: an awaitable took longer than `PATIENCE`.
        Exception: whatever the method raised.
    """
    answer = method(*args)
    return _complete(answer) if isinstance(answer, Awaitable) else answer


def call_within(seconds: float, method: Callable[..., Any], *args: Any) -> None:
    """Like `call`, on a thread of its own, and given up after *seconds*: for the end of a process. Raises what was raised."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            call(method, *args)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="phtrack-flag-provider", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter ends and starts no more threads
        run()
    else:
        thread.join(seconds)
        if thread.is_alive():
            raise TimeoutError(f"no answer within {seconds} s")
    if failed:
        raise failed[0]


def _complete(answer: Awaitable[Any]) -> Any:
    """Run *answer* in a new event loop. On a thread that runs a loop already, this needs a thread of its own."""
    import asyncio

    async def bounded() -> Any:
        try:
            return await asyncio.wait_for(_as_coroutine(answer), PATIENCE)
        except asyncio.TimeoutError:  # another class than the builtin before Python 3.11
            raise TimeoutError(f"no answer within {PATIENCE} s") from None

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(bounded())
    result: list[Any] = []
    call_within(PATIENCE + 1.0, lambda: result.append(asyncio.run(bounded())))
    return result[0]


async def _as_coroutine(answer: Awaitable[Any]) -> Any:
    return await answer


class FileFlagDefinitionCache:
    """
    Definitions in a file that the processes of one machine share.

    The first process that needs them loads them and writes the file; the others read it. Whoever finds it older than
    *max_age* loads again; a file beside it, made anew by whoever loads, keeps the others from doing the same at once.

    Args:
        path: The file; its directory must exist and be writable. Definitions hold no secrets of users, but your targeting.
        max_age: Seconds after which the file is renewed. Best a little less than ``poll_interval``.
        claim: Seconds after which a process that wanted to load, and didn't, is no longer waited for.
        patience: Seconds to wait for the first definitions while another process loads them.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, max_age: float = 25.0, claim: float = 15.0, patience: float = 2.0
    ) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"path must be a path, got {path!r}")
        if not 0 < max_age < float("inf"):
            raise ValueError(f"max_age must be above 0, got {max_age!r}")
        self._path = Path(path)
        self._lock = self._path.with_name(self._path.name + ".lock")
        self._max_age = max_age
        self._claim = claim
        self._patience = patience
        self._owner = False

    def should_fetch_flag_definitions(self) -> bool:
        """True if the file is too old and no other process is renewing it."""
        if self._is_fresh():
            return False
        self._owner = self._try_claim()
        if self._owner and self._is_fresh():  # another process finished between our look and our claim
            self._release()
        return self._owner

    def _is_fresh(self) -> bool:
        age = _age(self._path)
        return age is not None and age < self._max_age

    def get_flag_definitions(self) -> Any:
        """The file's content; None if there is no readable file, and nobody who is about to write it."""
        return await_first(self._read, self._lock.exists, self._patience)

    def _read(self) -> Any:
        try:
            data = encode.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return None
        return data if isinstance(data, dict) else None

    def on_flag_definitions_received(self, data: FlagDefinitionCacheData) -> None:
        """Replace the file, in one step, and let the others have their turn."""
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}.{threading.get_ident()}.new")
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(encode.dumps(data))
            os.replace(new, self._path)
        finally:
            new.unlink(missing_ok=True)
            self._release()

    def shutdown(self) -> None:
        """Give up a claim that is held."""
        self._release()

    def _try_claim(self) -> bool:
        for _ in range(2):
            try:
                os.close(os.open(self._lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                return True
            except FileExistsError:
                age = _age(self._lock)
                if age is None or age < self._claim:
                    return False
                self._break_claim()
        return False

    def _break_claim(self) -> None:
        """Remove a stale claim. Renaming first lets only one of several processes do it."""
        aside = self._lock.with_name(f"{self._lock.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            os.rename(self._lock, aside)
        except OSError:
            return
        aside.unlink(missing_ok=True)

    def _release(self) -> None:
        if self._owner:
            self._owner = False
            self._lock.unlink(missing_ok=True)


def await_first(read: Callable[[], Any], coming: Callable[[], bool], patience: float) -> Any:
    """
    What *read* finds; while it finds None and something is *coming*, look again for up to *patience* seconds.

    Without this a fleet that starts at once would all ask the server: one loads, and the others find nothing yet.
    """
    until = time.monotonic() + patience
    while (found := read()) is None and time.monotonic() < until:
        if not coming():
            return read()  # it may have come between the two looks
        time.sleep(0.02 + 0.03 * random.random())
    return found


def _age(path: Path) -> float | None:
    """Seconds since *path* was written, or None if it isn't there. A clock that was set back makes it look old."""
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return None
    return age if age > -1 else float("inf")


def as_data(data: Mapping[str, Any]) -> FlagDefinitionCacheData:
    """The part of a server's answer that is shared."""
    shared: dict[str, Any] = {
        "flags": data.get("flags") or [],
        "group_type_mapping": data.get("group_type_mapping") or {},
        "cohorts": data.get("cohorts") or {},
    }
    for name in ("minimal_flag_called_events", "property_matching_version"):
        if name in data:
            shared[name] = data[name]
    return shared  # type: ignore[return-value]


def check(provider: Any) -> None:
    """
    Raises:
        TypeError: *provider* lacks one of the four methods.
    """
    for name in ("should_fetch_flag_definitions", "get_flag_definitions", "on_flag_definitions_received", "shutdown"):
        if not callable(getattr(provider, name, None)):
            raise TypeError(f"flag_definition_cache_provider has no method {name}: {type(provider).__name__}")


def said(what: str, error: BaseException) -> None:
    """One log line for a provider that failed; its message may hold anything, so only its class is shown."""
    _guard.say(
        "warning",
        "the flag definition cache provider failed in %s: %s",
        what,
        type(error).__name__,
        every=60,
        key=f"provider:{what}",
    )
