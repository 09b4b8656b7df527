"""
The definitions in force: loaded at first need, then every `poll_interval` by a daemon thread, never by a caller who is waiting.

    ensure() -> Ruleset | None          load() -> the outcome, now          step() -> one turn of the thread, seconds to wait

The thread is a loop around `step`. The first caller starts it and waits for its first load, no longer than for a flag request;
callers after that take what is there. A failing server is asked ever more rarely. Rules: wire contract, flags.md §5.
"""

from __future__ import annotations

import random
import threading
import weakref
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Literal

from phtrack import _guard, encode
from phtrack.flags import providers
from phtrack.flags.ruleset import Ruleset
from phtrack.request import APIError, QuotaLimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from phtrack.flags.transport import Reply, Transport

TIMEOUT = 10.0
"""Seconds that loading definitions may take."""
_LONGEST_PAUSE = 300.0
_JITTER = 0.1

Outcome = Literal["loaded", "unchanged", "shared", "kept", "refused"]
"""New definitions, the same ones, another process's; the old ones kept after a failure; or thrown away (401, 402)."""


class Definitions:
    """Holds the current `Ruleset` of one client and keeps it fresh."""

    def __init__(
        self,
        *,
        host: str,
        api_key: str,
        secret_key: str | None,
        transport: Transport,
        enabled: bool = True,
        poll_interval: float = 30.0,
        first_wait: float = 3.0,
        provider: Any = None,
    ) -> None:
        """
        Args:
            secret_key: Without one there is no local evaluation.
            first_wait: The longest that callers wait for the first load, in seconds.
            provider: See `providers.FlagDefinitionCacheProvider`.
        """
        self._url = f"{host}/flags/definitions?token={_quoted(api_key)}&send_cohorts"
        self._secret_key = secret_key
        self._transport = transport
        self._poll_interval = poll_interval
        self._first_wait = first_wait
        self._provider = provider
        self._enabled = enabled
        self.current: Ruleset | None = None
        """What is in force; None while nothing is known. Read it once per evaluation and go on with what was read."""
        self.publications = 0
        """Goes up with every successful refresh, also when nothing changed."""
        self._etag: str | None = None
        self._generation = 0
        self._published = 0
        self._failures = 0
        self._told: set[str] = set()
        self._closed = False
        self._fresh_threads()

    def _fresh_threads(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._first_done = threading.Event()
        self._thread: threading.Thread | None = None
        self._started = 0.0
        self._settled = self.current is not None and not self._can_load
        """True once nobody has to start or wait for anything."""

    def reset_after_fork(self) -> None:
        """A child keeps the definitions and starts a thread of its own when it first needs one."""
        self._fresh_threads()

    @property
    def _can_load(self) -> bool:
        return self._enabled and not self._closed and (self._secret_key is not None or self._provider is not None)

    @property
    def poller(self) -> threading.Thread | None:
        """The thread that polls, if it was started."""
        return self._thread

    # --- for those who evaluate --------------------------------------------------------------------------------------

    def ensure(self) -> Ruleset | None:
        """The definitions in force; at first need this starts the polling and waits a moment for the first load."""
        return self.current if self._settled else self._settle()

    @property
    def would_wait(self) -> bool:
        """True if `ensure` may block."""
        return not self._settled and self._can_load and not self._first_done.is_set()

    def _settle(self) -> Ruleset | None:
        if not self._can_load:
            if self._enabled and not self._closed and self._secret_key is None:
                _guard.once("warning", "no secret_key: feature flags are evaluated by the server, one request each")
            self._settled = True
            return self.current
        self._start()
        if self.current is None:
            self._first_done.wait(max(0.0, self._started + self._first_wait - monotonic()))
        if self._first_done.is_set():
            self._settled = True
        return self.current

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None or self._closed:
                return
            self._started = monotonic()
            stop = self._stop
            # The thread must not keep a client alive that the application let go of.
            me = weakref.ref(self, lambda _: stop.set())
            self._thread = threading.Thread(
                target=_poll, args=(me, stop, self._first_done), name="phtrack-flags", daemon=True
            )
            try:
                self._thread.start()
                return
            except RuntimeError:  # the interpreter ends, or the system has no more threads
                self._thread = None
        self.step(timeout=self._first_wait)
        self._first_done.set()

    # --- one turn of the thread --------------------------------------------------------------------------------------

    def step(self, *, timeout: float = TIMEOUT) -> float:
        """One load; never raises. Returns the seconds to wait before the next one."""
        with _guard.quiet():
            try:
                outcome, asked, _ = self._load(timeout)
            except Exception as error:
                _guard.swallowed("loading flag definitions", error)
                outcome, asked = "kept", None
        if outcome in ("kept", "refused"):
            self._failures += 1
        else:
            self._failures = 0
        return self._pause(asked)

    def _pause(self, asked: float | None = None) -> float:
        """The interval, doubled for every failure in a row, never shorter than the server asked; spread a little."""
        wait = self._poll_interval
        if self._failures > 1:
            wait = max(wait, min(wait * 2.0 ** min(self._failures - 1, 10), _LONGEST_PAUSE))
        if asked is not None:
            wait = max(wait, min(asked, _LONGEST_PAUSE))
        return wait * random.uniform(1 - _JITTER, 1 + _JITTER)

    # --- loading -----------------------------------------------------------------------------------------------------

    def load(self) -> tuple[Outcome, APIError | None]:
        """
        Load now, on this thread, and start the polling.

        Returns:
            What came of it, and the server's refusal where there was one. Never raises.
        """
        if not self._can_load:
            self._settle()
            return "kept", None
        outcome: Outcome = "kept"
        refusal: APIError | None = None
        with _guard.quiet():
            try:
                outcome, _, refusal = self._load(TIMEOUT)
            except Exception as error:
                _guard.swallowed("loading flag definitions", error)
        self._first_done.set()
        self._start()
        return outcome, refusal

    def _load(self, timeout: float) -> tuple[Outcome, float | None, APIError | None]:
        """(outcome, seconds the server asked to wait, its refusal)."""
        with self._lock:
            self._generation += 1
            generation = self._generation
        if self._provider is not None and not self._should_fetch():
            outcome = self._take_shared(generation)
            if outcome is not None:
                return outcome, None, None
        if self._secret_key is None:
            return "kept", None, None
        etag = self._etag
        headers = {"Authorization": f"Bearer {self._secret_key}"}
        if etag is not None:
            headers["If-None-Match"] = etag
        reply = self._transport("GET", self._url, headers=headers, body=None, timeout=timeout)
        return self._take_reply(reply, generation, etag)

    def _take_reply(
        self, reply: Reply, generation: int, etag: str | None
    ) -> tuple[Outcome, float | None, APIError | None]:
        new_etag = reply.headers.get("ETag") if reply.headers else None
        if reply.status == 200:
            try:
                data = encode.loads(reply.body)
                rules = Ruleset(_checked(data), etag=new_etag)
            except (ValueError, RecursionError) as error:
                self._warn("an answer that makes no sense", type(error).__name__)
                return "kept", None, None
            if self._publish(rules, generation, new_etag):
                self._pass_on(data)
            return "loaded", None, None
        if reply.status == 304:
            self._keep(generation, etag, new_etag)
            return "unchanged", None, None
        if reply.status in (401, 402):
            return self._refused(reply, generation)
        if reply.status is None:
            self._warn(reply.failure or "no answer", reply.detail)
        else:
            self._warn(f"status {reply.status}", "")
        return "kept", _seconds(reply.headers.get("Retry-After") if reply.headers else None), None

    def _publish(self, rules: Ruleset | None, generation: int, etag: str | None) -> bool:
        """Put *rules* in force, unless a load that began later was faster."""
        with self._lock:
            if generation < self._published or self._closed:
                return False
            self._published = generation
            self.current = rules
            self._etag = etag
            self.publications += 1
        if rules is not None:
            self._tell(rules)
        return True

    def _keep(self, generation: int, sent: str | None, etag: str | None) -> None:
        """Nothing changed, if it was about what is in force."""
        with self._lock:
            if generation < self._published or self._etag != sent:
                return
            self._published = generation
            self._etag = etag or self._etag
            self.publications += 1

    def _refused(self, reply: Reply, generation: int) -> tuple[Outcome, float | None, APIError]:
        self._publish(None, generation, None)
        if reply.status == 401:
            message = "the secret key was refused: no local evaluation of feature flags"
            _guard.say("error", "%s. Use a Project Secret API Key or a Personal API Key.", message, every=3600)
            return "refused", None, APIError(401, message)
        message = "the quota for feature flags is used up: no local evaluation"
        _guard.say("warning", "%s", message, every=3600)
        return "refused", None, QuotaLimitError(402, message)

    def _warn(self, what: str, detail: str) -> None:
        _guard.say(
            "warning",
            "flag definitions could not be loaded (%s %s); going on with what is there",
            what,
            detail,
            every=60,
        )

    def _tell(self, rules: Ruleset) -> None:
        """Once per definition: which flags will always need the server, and why."""
        for key, reason in rules.hopeless().items():
            name = f"{key}@{rules.flags[key].version}"
            if name not in self._told and len(self._told) < 10_000:
                self._told.add(name)
                _guard.say("info", "feature flag %r can't be evaluated locally: %s", key, reason.reason.value)

    # --- the provider ------------------------------------------------------------------------------------------------

    def _should_fetch(self) -> bool:
        try:
            return bool(providers.call(self._provider.should_fetch_flag_definitions))
        except Exception as error:
            providers.said("should_fetch_flag_definitions", error)
            return True

    def _take_shared(self, generation: int) -> Outcome | None:
        """Another process's definitions; None if this one should load them itself after all."""
        try:
            data = providers.call(self._provider.get_flag_definitions)
            if data is None:
                return "kept" if self.current is not None else None
            if self.current is not None and data == self.current.data:
                self._keep(generation, self._etag, None)
                return "unchanged"
            rules = Ruleset(_checked(data))
        except Exception as error:
            providers.said("get_flag_definitions", error)
            return "kept" if self.current is not None else None
        self._publish(rules, generation, None)
        return "shared"

    def _pass_on(self, data: Mapping[str, Any]) -> None:
        if self._provider is None:
            return
        try:
            providers.call(self._provider.on_flag_definitions_received, providers.as_data(data))
        except Exception as error:
            providers.said("on_flag_definitions_received", error)

    # --- set by hand, and the end ------------------------------------------------------------------------------------

    def replace(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Put definitions in force that the application made itself: *change* edits a copy of the current ones."""
        data = dict(self.current.data) if self.current is not None else {}
        change(data)
        rules = Ruleset(data)
        with self._lock:
            self._generation += 1
            generation = self._generation
        self._publish(rules, generation, None)

    def close(self) -> None:
        """Stop polling and let the provider go. Idempotent; doesn't wait for a load under way."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._settled = True
        self._stop.set()
        self._first_done.set()
        if self._provider is not None:
            try:
                providers.call_within(providers.PATIENCE, self._provider.shutdown)
            except Exception as error:
                providers.said("shutdown", error)


def _poll(me: weakref.ref[Definitions], stop: threading.Event, first_done: threading.Event) -> None:
    """The thread: turn after turn until *stop*, or until nobody needs the definitions any more."""
    wait = 0.0
    if first_done.is_set():  # somebody has just loaded
        definitions = me()
        wait = definitions._pause() if definitions is not None else 0.0
        del definitions
    while not stop.wait(wait):
        definitions = me()
        if definitions is None:
            return
        wait = definitions.step()
        first_done.set()
        del definitions


def _checked(data: Any) -> Mapping[str, Any]:
    if not isinstance(data, dict) or not isinstance(data.get("flags"), list):
        raise ValueError("no list of flags")
    return data


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _seconds(retry_after: str | None) -> float | None:
    """A `Retry-After` header in seconds; None if absent or unreadable."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time())
    except (TypeError, ValueError, OverflowError):
        return None
