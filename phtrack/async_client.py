"""
The client for asyncio: what only puts an event into a queue stays a plain call, what may wait is a coroutine.

    async with AsyncPosthog("phc_...") as posthog:
        posthog.capture("order placed", distinct_id="u1")
        if await posthog.feature_enabled("new-nav", "u1"): ...

One core, two faces: a `Client` does the work, and its thread the sending. Whatever may touch the network runs on threads of this
client's own; the loop never waits. Flags are evaluated on the loop where the definitions suffice. A coroutine that is cancelled
leaves its thread to finish alone, within the time its request may take.
"""

from __future__ import annotations

import threading
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypedDict, TypeVar

from phtrack import _guard, _process
from phtrack.client import Client
from phtrack.flags.snapshot import NO_ANSWER, FeatureFlagEvaluations
from phtrack.flags.values import decode_payload

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from concurrent.futures import ThreadPoolExecutor
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from phtrack.arguments import CaptureArguments, ClientOptions, ExceptionArguments, SetArguments
    from phtrack.flags import Flags
    from phtrack.flags.called import Reading
    from phtrack.flags.ruleset import Ruleset
    from phtrack.flags.service import Subject
    from phtrack.flags.values import FeatureFlagResult, FlagsAndPayloads, FlagValue
    from phtrack.seams import Transport

T = TypeVar("T")
P = ParamSpec("P")
_THREADS = 32


class SubjectArguments(TypedDict, total=False):
    """Of all flag calls: who is asked about. What isn't given is the context's."""

    groups: Mapping[str, Any] | None
    person_properties: Mapping[str, Any] | None
    group_properties: Mapping[str, Mapping[str, Any]] | None
    disable_geoip: bool | None
    device_id: Any


def _harmless(
    otherwise: Callable[[], Any],
) -> Callable[
    [Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]],
    Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
]:
    """An internal error in a coroutine is logged, and answered with *otherwise()*; with debug=True it is raised."""

    def decorate(
        coroutine: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
    ) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
        @wraps(coroutine)
        async def wrapper(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
            for name in kwargs:
                if name not in _KNOWN:
                    raise TypeError(f"{coroutine.__name__}() got an unexpected keyword argument {name!r}")
            try:
                return await coroutine(self, *args, **kwargs)
            except Exception as error:
                if self.client.debug:
                    raise
                _guard.swallowed(coroutine.__name__, error)
                return otherwise()  # type: ignore[no-any-return]

        return wrapper

    return decorate


_KNOWN = frozenset(
    (
        *SubjectArguments.__annotations__, "key", "distinct_id", "send_feature_flag_events", "only_evaluate_locally",
        "default_value", "match_value", "flag_keys", "flag_keys_to_evaluate",
    )
)  # fmt: skip


class _OfClient:
    """An attribute or method of the client behind, under the same name: what neither waits nor differs here."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: AsyncClient | None, owner: type | None = None) -> Any:
        return self if instance is None else getattr(instance.client, self._name)

    def __set__(self, instance: AsyncClient, value: Any) -> None:
        setattr(instance.client, self._name, value)


class AsyncClient:
    """
    Captures events and reads flags for one project, in programs that run on asyncio.

    Takes the options of `Client` except ``sync_mode``, which would block the loop. May be made anywhere, also before there is
    a loop; `shutdown`, or ``async with``, ends it.

    Raises:
        TypeError, ValueError: an option that can't be right, with its value in the message.
    """

    def __init__(
        self,
        project_api_key: str | None = None,
        host: str | None = None,
        *,
        transport: Transport | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        if options.get("sync_mode"):
            raise TypeError(
                "sync_mode=True would block the event loop; use capture_immediate() where an event must be out"
            )
        self.client = Client(project_api_key, host, transport=transport, **options)
        """The client that does the work; its blocking calls are not for the loop's thread."""
        self.reset_after_fork()
        _process.on_fork(self)

    def reset_after_fork(self) -> None:
        """In a child: other threads."""
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    api_key = _OfClient()
    host = _OfClient()
    debug = _OfClient()
    disabled = _OfClient()
    before_send = _OfClient()
    super_properties = _OfClient()
    feature_flags = _OfClient()
    feature_flag_definitions = _OfClient()
    new_context = _OfClient()
    scoped = _OfClient()
    tag = _OfClient()
    get_tags = _OfClient()
    identify_context = _OfClient()
    set_context_session = _OfClient()
    set_context_device_id = _OfClient()
    get_distinct_id = _OfClient()
    set_person_properties_for_flags = _OfClient()
    reset_person_properties_for_flags = _OfClient()
    set_group_properties_for_flags = _OfClient()
    reset_group_properties_for_flags = _OfClient()
    opt_out = _OfClient()
    opt_in = _OfClient()
    is_opted_out = _OfClient()
    stats = _OfClient()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.shutdown()

    # --- events: plain calls, they only queue --------------------------------------------------------------------------

    def capture(self, event: str, **about: Unpack[CaptureArguments]) -> str | None:
        """See `Client.capture`. `send_feature_flags` uses the definitions at hand; it asks nobody here."""
        self._no_request(about)
        return self.client.capture(event, **about)

    def capture_exception(self, exception: Any = None, **about: Unpack[ExceptionArguments]) -> str | None:
        """See `Client.capture_exception`."""
        self._no_request(about)
        return self.client.capture_exception(exception, **about)

    def _no_request(self, about: Any) -> None:
        """Keep `send_feature_flags` from asking the server on the loop's thread."""
        legacy = about.get("send_feature_flags")
        if not legacy and not isinstance(legacy, dict):
            return
        if self.client.flags.definitions.current is None:
            _guard.say(
                "warning", "send_feature_flags would block the loop; use flags=await evaluate_flags(...)", every=60
            )
            del about["send_feature_flags"]
            return
        about["send_feature_flags"] = {**(legacy if isinstance(legacy, dict) else {}), "only_evaluate_locally": True}

    def set(self, **about: Unpack[SetArguments]) -> str | None:
        """See `Client.set`."""
        return self.client.set(**about)

    def set_once(self, **about: Unpack[SetArguments]) -> str | None:
        """See `Client.set_once`."""
        return self.client.set_once(**about)

    def alias(
        self,
        previous_id: Any,
        distinct_id: Any = None,
        timestamp: Any = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """See `Client.alias`."""
        return self.client.alias(previous_id, distinct_id, timestamp, uuid, disable_geoip)

    def group_identify(
        self,
        group_type: Any,
        group_key: Any,
        properties: Mapping[str, Any] | None = None,
        timestamp: Any = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
        distinct_id: Any = None,
    ) -> str | None:
        """See `Client.group_identify`."""
        return self.client.group_identify(
            group_type, group_key, properties, timestamp, uuid, disable_geoip, distinct_id
        )

    async def capture_immediate(
        self, event: str, *, timeout_seconds: float | None = 10, **about: Unpack[CaptureArguments]
    ) -> str | None:
        """Capture, and wait until the event, and what was queued before it, is out or *timeout_seconds* are over."""
        uuid = self.capture(event, **about)
        if uuid is not None:
            await self.flush(timeout_seconds)
        return uuid

    # --- one flag ----------------------------------------------------------------------------------------------------

    @_harmless(lambda: None)
    async def get_feature_flag(
        self,
        key: str,
        distinct_id: Any = None,
        *,
        only_evaluate_locally: bool = False,
        send_feature_flag_events: bool = True,
        **about: Unpack[SubjectArguments],
    ) -> FlagValue | None:
        """See `Client.get_feature_flag`."""
        reading = await self._read(key, distinct_id, send_feature_flag_events, only_evaluate_locally, about)
        return None if reading is None else reading.value

    @_harmless(lambda: None)
    async def feature_enabled(
        self,
        key: str,
        distinct_id: Any = None,
        *,
        only_evaluate_locally: bool = False,
        send_feature_flag_events: bool = True,
        default_value: bool | None = None,
        **about: Unpack[SubjectArguments],
    ) -> bool | None:
        """See `Client.feature_enabled`."""
        reading = await self._read(key, distinct_id, send_feature_flag_events, only_evaluate_locally, about)
        return default_value if reading is None or reading.value is None else bool(reading.value)

    is_feature_enabled = feature_enabled

    @_harmless(lambda: None)
    async def get_feature_flag_result(
        self,
        key: str,
        distinct_id: Any = None,
        *,
        only_evaluate_locally: bool = False,
        send_feature_flag_events: bool = True,
        **about: Unpack[SubjectArguments],
    ) -> FeatureFlagResult | None:
        """See `Client.get_feature_flag_result`."""
        from phtrack.flags.service import result_of

        return result_of(await self._read(key, distinct_id, send_feature_flag_events, only_evaluate_locally, about))

    @_harmless(lambda: None)
    async def get_feature_flag_payload(
        self,
        key: str,
        distinct_id: Any = None,
        *,
        match_value: FlagValue | None = None,
        only_evaluate_locally: bool = False,
        **about: Unpack[SubjectArguments],
    ) -> Any:
        """See `Client.get_feature_flag_payload`; sends no event."""
        if match_value is not None:
            rules = await self._rules(self.client.flags)
            found = rules.flags[key].payload(match_value) if rules is not None and key in rules.flags else None
            if found is not None:
                return decode_payload(found)
        reading = await self._read(key, distinct_id, False, only_evaluate_locally, about)
        return None if reading is None or reading.value is None else decode_payload(reading.payload)

    async def _read(
        self, key: str, distinct_id: Any, send: bool, only_locally: bool, about: SubjectArguments
    ) -> Reading | None:
        """The reading with all that is known about it; None when disabled or without a user."""
        flags = self.client.flags
        subject = flags.subject(distinct_id, **about)
        if subject is None:
            return None
        rules = await self._rules(flags)
        reading = flags.locally(key, subject, rules)
        if reading is None and only_locally:
            reading = flags.remotely(key, subject, rules, True)
        if reading is None:
            reading = await self._off_loop(flags.remotely, key, subject, rules, False)
        return flags.finish(reading, subject, send)

    async def _rules(self, flags: Flags) -> Ruleset | None:
        """The definitions in force; the first load is waited for elsewhere."""
        if flags.definitions.would_wait:
            return await self._off_loop(flags.definitions.ensure)
        return flags.definitions.ensure()

    # --- many flags --------------------------------------------------------------------------------------------------

    @_harmless(FeatureFlagEvaluations)
    async def evaluate_flags(
        self,
        distinct_id: Any = None,
        *,
        only_evaluate_locally: bool = False,
        flag_keys: Iterable[str] | None = None,
        **about: Unpack[SubjectArguments],
    ) -> FeatureFlagEvaluations:
        """See `Client.evaluate_flags`. What it returns is read without waiting."""
        flags = self.client.flags
        subject = flags.subject(distinct_id, **about)
        wanted = None if flag_keys is None else list(flag_keys)
        if subject is None or wanted == []:
            return FeatureFlagEvaluations()
        rules = await self._rules(flags)
        evaluated = flags.evaluate(subject, rules, wanted)
        needs_server = not only_evaluate_locally and flags.is_incomplete(rules, evaluated, wanted)
        answer = await self._off_loop(flags.ask_about, subject, wanted) if needs_server else NO_ANSWER
        return flags.assemble(subject, rules, evaluated, answer)

    @_harmless(lambda: None)
    async def get_all_flags(
        self,
        distinct_id: Any = None,
        *,
        only_evaluate_locally: bool = False,
        flag_keys_to_evaluate: Sequence[str] | None = None,
        **about: Unpack[SubjectArguments],
    ) -> dict[str, FlagValue] | None:
        """See `Client.get_all_flags`."""
        found = await self._all(distinct_id, only_evaluate_locally, flag_keys_to_evaluate, about)
        return None if found is None else found[0]

    @_harmless(lambda: {"featureFlags": None, "featureFlagPayloads": None})
    async def get_all_flags_and_payloads(
        self,
        distinct_id: Any = None,
        *,
        only_evaluate_locally: bool = False,
        flag_keys_to_evaluate: Sequence[str] | None = None,
        **about: Unpack[SubjectArguments],
    ) -> FlagsAndPayloads:
        """See `Client.get_all_flags_and_payloads`."""
        found = await self._all(distinct_id, only_evaluate_locally, flag_keys_to_evaluate, about)
        values, payloads = found if found is not None else (None, None)
        return {"featureFlags": values, "featureFlagPayloads": payloads}

    async def _all(
        self, distinct_id: Any, only_locally: bool, keys: Sequence[str] | None, about: SubjectArguments
    ) -> tuple[dict[str, FlagValue], dict[str, Any]] | None:
        flags = self.client.flags
        subject: Subject | None = flags.subject(distinct_id, **about)
        if subject is None:
            return None
        rules = await self._rules(flags)
        evaluated = flags.evaluate(subject, rules, keys)
        needs_server = not only_locally and flags.is_incomplete(rules, evaluated, keys)
        answer = await self._off_loop(flags.ask_about, subject, keys) if needs_server else None
        return flags.bulk(rules, evaluated[0], answer)

    async def get_remote_config_payload(self, key: str) -> Any:
        """See `Client.get_remote_config_payload`."""
        return await self._off_loop(self.client.get_remote_config_payload, key)

    async def load_feature_flags(self) -> None:
        """See `Client.load_feature_flags`."""
        await self._off_loop(self.client.load_feature_flags)

    # --- life --------------------------------------------------------------------------------------------------------

    async def flush(self, timeout_seconds: float | None = 10) -> bool:
        """Send what waits now; True when nothing waits any more. See `Client.flush`."""
        return await self._off_loop(self.client.flush, timeout_seconds)

    async def join(self) -> None:
        """Deliver what waits and stop."""
        await self.shutdown()

    async def shutdown(self, timeout: float | None = None) -> None:
        """Deliver what waits and stop. Idempotent. Cancelled, it goes on in the background."""
        await self._off_loop(self.client.shutdown, timeout)
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    async def _off_loop(self, function: Callable[..., T], *args: Any) -> T:
        """Call *function* on a thread of this client, in the current context."""
        import asyncio
        from contextvars import copy_context

        if self.client._closed:  # nothing waits any more, and no thread should be left behind
            return function(*args)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads(), copy_context().run, function, *args)

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor

                self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="phtrack-async")
            return self._pool


class AsyncPosthog(AsyncClient):
    """The name that code written for the `posthog` package uses."""
