"""
All flag calls of one client: local where the definitions suffice, the server where they don't.

    Subject (who, from arguments and context) -> local Reading, or remote Reading, or stale one -> value, event

Each read has a part that never blocks (`_local`) and a part that may (`_remote`): the coroutine forms in `phtrack.async_client` run
only the second one elsewhere. Nothing starts before the first call. Rules: wire contract, flags.md §9-§13.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from phtrack import _guard, context, encode
from phtrack.event import distinct_id_text
from phtrack.flags import providers, stale
from phtrack.flags.called import CalledEvents, Reading
from phtrack.flags.definitions import Definitions
from phtrack.flags.remote import Remote, RemoteAnswer
from phtrack.flags.rules import Run
from phtrack.flags.snapshot import NO_ANSWER, FeatureFlagEvaluations, error_words, reading_of
from phtrack.flags.transport import HttpTransport, Transport
from phtrack.flags.values import FeatureFlagEvaluationRuntime, FeatureFlagResult, FlagValue, decode_payload
from phtrack.flags.verdicts import Unresolved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from phtrack.flags.ruleset import Ruleset
    from phtrack.options import Options
    from phtrack.tally import Tally

_NOTHING: Mapping[str, Any] = {}
_MAX_MISSING = 1_000


class Subject(Run):
    """Who a flag is read for: arguments, filled up from the context. Also the run in which the flags are evaluated."""

    given_groups: Mapping[str, Any] = _NOTHING
    """As the caller gave them, for the event."""
    disable_geoip: bool | None = None

    def under(self, rules: Ruleset) -> Subject:
        """Itself, about to be evaluated by *rules*."""
        self.flags = rules.flags
        self.values = self.memo = None
        return self

    def body(self, disable_geoip: bool, keys: Sequence[str] | None) -> dict[str, Any]:
        """What the server is asked."""
        body: dict[str, Any] = {
            "distinct_id": self.distinct_id,
            "groups": self.groups,
            "person_properties": encode.clean(self.person),
            "group_properties": {
                kind: {"$group_key": key, **encode.clean(self.group_properties.get(kind) or {})}
                for kind, key in self.groups.items()
            },
            "geoip_disable": disable_geoip if self.disable_geoip is None else self.disable_geoip,
        }
        if self.device_id is not None:
            body["device_id"] = self.device_id
        if keys is not None:
            body["flag_keys_to_evaluate"] = list(keys)
        return body


def subject_of(
    distinct_id: Any,
    groups: Mapping[str, Any] | None = None,
    person_properties: Mapping[str, Any] | None = None,
    group_properties: Mapping[str, Mapping[str, Any]] | None = None,
    disable_geoip: bool | None = None,
    device_id: Any = None,
) -> Subject | None:
    """
    The subject of these arguments here and now; None if there is no id, neither given nor in the context.

    Properties given with the call win over the context's. Groups not given are those of the context's tag ``$groups``.
    """
    scope = context.current()
    who = distinct_id if type(distinct_id) is str and distinct_id else distinct_id_text(distinct_id)
    if scope is not None:
        who = who or scope.distinct_id
        device_id = device_id if device_id is not None else scope.device_id
        if groups is None and scope.tags:
            groups = _groups_tag(scope.tags)
        if scope.person_properties:
            person_properties = {**scope.person_properties, **(person_properties or {})}
        if scope.group_properties:
            group_properties = _merged(scope.group_properties, group_properties or {})
    if not who:
        return None
    subject = Subject(_NOTHING, who, person_properties, None, group_properties)
    if groups:
        subject.given_groups = groups
        subject.groups = {str(kind): _text(key) for kind, key in groups.items() if key is not None}
    if device_id is not None:
        subject.device_id = _text(device_id)
    if disable_geoip is not None:
        subject.disable_geoip = disable_geoip
    return subject


def _text(value: Any) -> str:
    return value if type(value) is str else str(value)


def _groups_tag(tags: Mapping[str, Any]) -> Mapping[str, Any] | None:
    groups = tags.get("$groups")
    return groups if isinstance(groups, dict) else None


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {kind: {**(below.get(kind) or {}), **(above.get(kind) or {})} for kind in {**below, **above}}


class Flags:
    """The flags of one client."""

    def __init__(
        self,
        options: Options,
        *,
        api_key: str,
        host: str,
        capture: Callable[..., Any],
        is_disabled: Callable[[], bool],
        tally: Tally,
        transport: Transport | None = None,
    ) -> None:
        """
        Args:
            capture: Sends an event; see `called.CalledEvents`.
            is_disabled: True while nothing may be asked or sent.
            transport: **Seam** for tests.

        Raises:
            TypeError: the definition cache provider lacks a method.
        """
        chosen, delivery = options.flags, options.delivery
        self._options = options
        self._api_key = api_key
        self._host = host
        self._is_disabled = is_disabled
        self._tally = tally
        self._closing = threading.Event()
        self._http = HttpTransport(proxies=delivery.proxies, verify=delivery.verify)
        self._transport: Transport = transport if transport is not None else self._http
        self._secret_key = options.project.secret_key or options.project.personal_api_key
        self._provider = chosen.flag_definition_cache_provider
        if self._provider is not None:
            providers.check(self._provider)
        self._remote = Remote(
            host=host,
            api_key=api_key,
            transport=self._transport,
            timeout=chosen.feature_flags_request_timeout_seconds,
            retries=chosen.feature_flags_request_max_retries,
            gzip=delivery.gzip,
            pause=lambda seconds: self._closing.wait(seconds),
        )
        self.definitions = Definitions(
            host=host,
            api_key=api_key,
            secret_key=self._secret_key,
            transport=self._transport,
            enabled=chosen.enable_local_evaluation,
            poll_interval=chosen.poll_interval,
            first_wait=chosen.feature_flags_request_timeout_seconds,
            provider=self._provider,
        )
        self.called = CalledEvents(capture)
        self._stale = stale.open_cache(chosen.flag_fallback_cache_url)
        self._missing: dict[str, int] = {}
        """Keys that neither the definitions nor the server know -> the publication under which that was so."""

    # --- one flag ----------------------------------------------------------------------------------------------------

    def value(self, key: str, send: bool, only_locally: bool, *about: Any) -> FlagValue | None:
        """
        The value of flag *key*: the quick way, which makes nothing but the value where nothing has to be reported.

        Args:
            about: The arguments of `subject_of`, in their order.
        """
        if self._is_disabled():
            return None
        subject = subject_of(*about)
        if subject is None:
            return None
        rules = self.definitions.ensure()
        if rules is not None:
            flag = rules.flags.get(key)
            if flag is not None:
                value = flag.evaluate(subject.under(rules))
                if type(value) is not Unresolved:
                    self._after_local(rules, key, value, subject, send)  # type: ignore[arg-type]
                    return value  # type: ignore[return-value]
        return self.finish(self.remotely(key, subject, rules, only_locally), subject, send).value

    def _after_local(self, rules: Ruleset, key: str, value: FlagValue, subject: Subject, send: bool) -> None:
        if self._stale is not None and self._stale.writes_local:
            payload = rules.flags[key].payload(value)
            self._stale.put(subject.distinct_id, key, {"value": value, "payload": payload}, rules.version)
        if context.current() is not None:
            context.note_flag_read(key, value)
        if send:
            if not self.called.was_sent(subject.distinct_id, key, value, subject.given_groups):
                self._report(self._local_reading(rules, key, value), subject)

    def reading(self, key: str, subject: Subject, only_locally: bool) -> Reading:
        """The reading of *key* for *subject*. May block: definitions, then the server."""
        rules = self.definitions.ensure()
        found = self.locally(key, subject, rules)
        return found if found is not None else self.remotely(key, subject, rules, only_locally)

    def locally(self, key: str, subject: Subject, rules: Ruleset | None) -> Reading | None:
        """The reading by the definitions alone, or None if they don't suffice. Never blocks."""
        flag = rules.flags.get(key) if rules is not None else None
        if rules is None or flag is None:
            return None
        value = flag.evaluate(subject.under(rules))
        if isinstance(value, Unresolved):
            return None
        return self._local_reading(rules, key, value)

    def _local_reading(self, rules: Ruleset, key: str, value: FlagValue) -> Reading:
        flag = rules.flags[key]
        return Reading(
            key,
            value,
            local=True,
            payload=flag.payload(value),
            id=flag.id,
            version=flag.version,
            has_experiment=flag.has_experiment,
            minimal=rules.minimal_events,
        )

    def remotely(self, key: str, subject: Subject, rules: Ruleset | None, only_locally: bool) -> Reading:
        """The reading by the server, or a stale one if it doesn't answer. Blocks, no longer than the options say."""
        if only_locally:
            known = rules is not None and key in rules.flags
            return Reading(key, None, error="local_evaluation_inconclusive" if known else "flag_missing")
        if self._is_known_missing(key, rules):
            return Reading(key, None, error="flag_missing")
        answer = self.ask_about(subject, [key])
        record = answer.flags.get(key)
        failure = answer.failure or (
            record.failure if record is not None and record.failure == "unknown_error" else None
        )
        version = rules.version if rules is not None else None
        if failure is not None:
            return self._stale_reading(key, subject, answer, failure, version)
        if record is None:
            self._remember_missing(key, rules, answer)
        error = error_words(answer.computing_errors, record is None, record.failure if record is not None else None)
        value = record.get_value() if record is not None and record.failure is None else None
        if value is not None and self._stale is not None and record is not None:
            self._stale.put(subject.distinct_id, key, {"value": value, "payload": record.metadata.payload}, version)
        return reading_of(key, value, record, answer, error, minimal=answer.minimal_events)

    def _stale_reading(
        self, key: str, subject: Subject, answer: RemoteAnswer, failure: str, version: str | None
    ) -> Reading:
        entry = self._stale.get(subject.distinct_id, key, version) if self._stale is not None else None
        if entry is not None:
            return Reading(key, entry["value"], payload=entry.get("payload"), error=failure)
        malformed = answer.flags.get(key)
        value = False if malformed is not None else None
        return Reading(
            key,
            value,
            error=failure,
            request_id=answer.request_id,
            evaluated_at=answer.evaluated_at,
            minimal=answer.minimal_events,
        )

    def _is_known_missing(self, key: str, rules: Ruleset | None) -> bool:
        return rules is not None and key not in rules.flags and self._missing.get(key) == self.definitions.publications

    def _remember_missing(self, key: str, rules: Ruleset | None, answer: RemoteAnswer) -> None:
        """A key that nobody knows needs no further request until the definitions were refreshed."""
        if rules is None or key in rules.flags or answer.computing_errors:
            return
        if len(self._missing) >= _MAX_MISSING:
            self._missing.clear()
        self._missing[key] = self.definitions.publications

    def read(self, key: str, distinct_id: Any, *, send: bool, only_locally: bool, **about: Any) -> Reading | None:
        """The whole reading, reported if *send*; None when disabled or without an id."""
        subject = self.subject(distinct_id, **about)
        if subject is None:
            return None
        return self.finish(self.reading(key, subject, only_locally), subject, send)

    def finish(self, reading: Reading, subject: Subject, send: bool) -> Reading:
        """Remember and, if *send*, report a reading. Never blocks."""
        if reading.local and self._stale is not None and self._stale.writes_local and reading.value is not None:
            rules = self.definitions.current
            entry = {"value": reading.value, "payload": reading.payload}
            self._stale.put(subject.distinct_id, reading.key, entry, rules.version if rules is not None else None)
        if send:
            self._report(reading, subject)
        return reading

    def subject(self, distinct_id: Any, **about: Any) -> Subject | None:
        """The subject of these arguments; None when disabled or without an id."""
        return None if self._is_disabled() else subject_of(distinct_id, **about)

    def _report(self, reading: Reading, subject: Subject) -> None:
        with _guard.shield("$feature_flag_called", debug=self._options.project.debug):
            if reading.value is not None:
                context.note_flag_read(reading.key, reading.value)
            self.called.report(reading, subject.distinct_id, subject.given_groups, subject.disable_geoip)

    def ask_about(self, subject: Subject, keys: Sequence[str] | None) -> RemoteAnswer:
        """The server's answer about *subject*. Blocks."""
        return self._remote.ask(subject.body(self._options.events.disable_geoip, keys))

    # --- many flags --------------------------------------------------------------------------------------------------

    def snapshot(
        self, distinct_id: Any, *, only_locally: bool = False, keys: Iterable[str] | None = None, **about: Any
    ) -> FeatureFlagEvaluations:
        """`evaluate_flags`: local values, and one request for the rest if there is any."""
        subject = self.subject(distinct_id, **about)
        wanted = None if keys is None else list(keys)
        if subject is None or wanted == []:
            return FeatureFlagEvaluations()
        rules = self.definitions.ensure()
        evaluated = self.evaluate(subject, rules, wanted)
        needs_server = not only_locally and self.is_incomplete(rules, evaluated, wanted)
        answer = self.ask_about(subject, wanted) if needs_server else NO_ANSWER
        return self.assemble(subject, rules, evaluated, answer)

    def evaluate(
        self, subject: Subject, rules: Ruleset | None, keys: Sequence[str] | None
    ) -> tuple[dict[str, FlagValue], dict[str, Unresolved]]:
        """Values by the definitions alone, and what has none. Never blocks."""
        return rules.evaluate(subject.under(rules), keys) if rules is not None else ({}, {})

    @staticmethod
    def is_incomplete(rules: Ruleset | None, evaluated: tuple[Any, Any], keys: Sequence[str] | None) -> bool:
        """True if the server has to be asked."""
        if rules is None or evaluated[1]:
            return True
        return keys is not None and any(key not in rules.flags for key in keys)

    def assemble(
        self,
        subject: Subject,
        rules: Ruleset | None,
        evaluated: tuple[dict[str, FlagValue], dict[str, Unresolved]],
        answer: RemoteAnswer,
    ) -> FeatureFlagEvaluations:
        """The snapshot of what was found."""
        values, unresolved = evaluated

        def report(reading: Reading) -> None:
            if not self._is_disabled():
                self._report(reading, subject)

        return FeatureFlagEvaluations(
            distinct_id=subject.distinct_id,
            values=values,
            flags=rules.flags if rules is not None else _NOTHING,
            minimal=rules is not None and rules.minimal_events,
            answer=answer,
            unresolved={key: reason.reason for key, reason in unresolved.items()},
            report=report,
        )

    def all_values(
        self, distinct_id: Any, *, only_locally: bool = False, keys: Sequence[str] | None = None, **about: Any
    ) -> tuple[dict[str, FlagValue], dict[str, Any]] | None:
        """
        (values, payloads as JSON text) of all flags, or of *keys*; None when there is nobody to ask about or no answer.

        Local if every flag resolves locally; else the server's answer takes the place of the local one.
        """
        subject = self.subject(distinct_id, **about)
        if subject is None:
            return None
        rules = self.definitions.ensure()
        evaluated = self.evaluate(subject, rules, keys)
        needs_server = not only_locally and self.is_incomplete(rules, evaluated, keys)
        answer = self.ask_about(subject, keys) if needs_server else None
        return self.bulk(rules, evaluated[0], answer)

    @staticmethod
    def bulk(
        rules: Ruleset | None, values: dict[str, FlagValue], answer: RemoteAnswer | None
    ) -> tuple[dict[str, FlagValue], dict[str, Any]] | None:
        """What bulk getters return: of the server's answer if it was asked and gave one, else of the local *values*."""
        if answer is not None and answer.failure is None:
            return answer_values(answer)
        return None if rules is None else (values, local_payloads(rules, values))

    def ask(self, distinct_id: Any, *, keys: Sequence[str] | None = None, **about: Any) -> RemoteAnswer | None:
        """The server's answer, whatever the definitions say; None when there is nobody to ask about."""
        subject = self.subject(distinct_id, **about)
        return None if subject is None else self.ask_about(subject, keys)

    # --- on other events ---------------------------------------------------------------------------------------------

    def event_properties(self, values: Mapping[str, FlagValue]) -> dict[str, Any]:
        """The properties that tell on an event which flags its user has."""
        given: dict[str, Any] = {f"$feature/{key}": value for key, value in values.items()}
        enabled = sorted(key for key, value in values.items() if value)
        if enabled:
            given["$active_feature_flags"] = enabled
        return given

    def properties_for_capture(self, flags: Any, legacy: Any, about: Mapping[str, Any]) -> dict[str, Any] | None:
        """
        The properties for ``capture(flags=..., send_feature_flags=...)``; None for none.

        Args:
            flags: A snapshot, or None.
            legacy: What `send_feature_flags` was: a bool, or a dict of options, which counts as True.
            about: The other arguments of the capture: ``distinct_id``, ``groups``, ``disable_geoip``.
        """
        if flags is not None:
            if legacy:
                _guard.say("warning", "capture() got flags and send_feature_flags; flags is used", every=60)
            if isinstance(flags, FeatureFlagEvaluations):
                return self.event_properties(flags.values())
            _guard.say(
                "warning",
                "capture(flags=...) takes what evaluate_flags() returned, got %s",
                type(flags).__name__,
                every=60,
            )
            return None
        if not legacy and not isinstance(legacy, dict):
            return None
        chosen = legacy if isinstance(legacy, dict) else _NOTHING
        rules = self.definitions.current
        wanted = chosen.get("only_evaluate_locally")
        found = self.all_values(
            about.get("distinct_id"),
            only_locally=rules is not None if wanted is None else bool(wanted),
            keys=chosen.get("flag_keys_filter"),
            groups=about.get("groups"),
            person_properties=chosen.get("person_properties"),
            group_properties=chosen.get("group_properties"),
            disable_geoip=about.get("disable_geoip"),
        )
        return None if found is None else self.event_properties(found[0])

    # --- the rest ----------------------------------------------------------------------------------------------------

    def remote_config(self, key: str) -> Any:
        """The decrypted payload of a remote config; None without a secret key or without an answer. Blocks."""
        if self._is_disabled():
            return None
        if self._secret_key is None:
            _guard.say("warning", "get_remote_config_payload() needs secret_key; nothing was asked", every=60)
            return None
        from urllib.parse import quote

        path = f"/api/projects/@current/feature_flags/{quote(str(key), safe='')}/remote_config"
        reply = self._transport(
            "GET",
            f"{self._host}{path}?token={quote(self._api_key, safe='')}",
            headers={"Authorization": f"Bearer {self._secret_key}"},
            body=None,
            timeout=self._options.flags.feature_flags_request_timeout_seconds,
        )
        if reply.status != 200:
            _guard.say(
                "warning", "the remote config payload could not be fetched: %s", reply.status or reply.failure, every=60
            )
            return None
        return decode_payload(reply.body.decode("utf-8", "replace"))

    def load(self) -> tuple[Any, Any]:
        """Load the definitions now: see `Definitions.load`. Nothing happens when disabled."""
        return ("kept", None) if self._is_disabled() else self.definitions.load()

    def payload_of_value(self, key: str, value: FlagValue) -> Any:
        """The payload that the definitions have for *value* of flag *key*; None if they don't say. May block."""
        rules = None if self._is_disabled() else self.definitions.ensure()
        flag = rules.flags.get(key) if rules is not None else None
        return None if flag is None else flag.payload(value)

    def runtime_of(self, key: str) -> FeatureFlagEvaluationRuntime | None:
        """Where flag *key* is meant to be evaluated; None if it isn't known."""
        rules = self.definitions.ensure()
        flag = rules.flags.get(key) if rules is not None else None
        if flag is None:
            return None
        try:
            return FeatureFlagEvaluationRuntime(flag.runtime or "all")
        except ValueError:
            return None

    def keys_by_runtime(self, runtime: Any) -> list[str]:
        """
        Keys of the flags that are evaluated in *runtime*; those for all runtimes count for each.

        Raises:
            ValueError: no such runtime.
        """
        wanted = FeatureFlagEvaluationRuntime(runtime)
        rules = self.definitions.ensure()
        found = []
        for key in rules.flags if rules is not None else ():
            runtime_of = self.runtime_of(key)
            if runtime_of in (wanted, FeatureFlagEvaluationRuntime.ALL):
                found.append(key)
        return found

    def close(self) -> None:
        """Stop polling, let provider and connections go, forget what was reported. Idempotent."""
        self._closing.set()
        self.definitions.close()
        self.called.clear()
        if self._stale is not None:
            self._stale.close()
        self._http.close()

    def reset_after_fork(self) -> None:
        """In a child: new locks and connections; the definitions stay, polling starts again at the next use."""
        self._closing = threading.Event()
        self._http.reset_after_fork()
        self.definitions.reset_after_fork()
        self.called.reset_after_fork()
        if self._stale is not None:
            self._stale.reset_after_fork()
        reset = getattr(self._provider, "reset_after_fork", None)
        if callable(reset):
            reset()


def answer_values(answer: RemoteAnswer) -> tuple[dict[str, FlagValue], dict[str, Any]]:
    """(values, payloads as JSON text) of a server's answer; flags that it could not evaluate are left out."""
    values = {key: flag.get_value() for key, flag in answer.flags.items() if flag.failure != "evaluation_failed"}
    payloads = {
        key: flag.metadata.payload
        for key, flag in answer.flags.items()
        if flag.metadata.payload is not None and key in values
    }
    return values, payloads


def local_payloads(rules: Ruleset, values: Mapping[str, FlagValue]) -> dict[str, Any]:
    """The payloads that belong to *values*, as the definitions have them; flags without one are left out."""
    found = {}
    for key, value in values.items():
        payload = rules.flags[key].payload(value)
        if payload is not None:
            found[key] = payload
    return found


def result_of(reading: Reading | None) -> FeatureFlagResult | None:
    """A reading as single reads return it; None without a value."""
    if reading is None or reading.value is None:
        return None
    value = reading.value
    return FeatureFlagResult(
        key=reading.key,
        enabled=bool(value),
        variant=value if isinstance(value, str) else None,
        payload=decode_payload(reading.payload),
        reason=reading.reason,
    )
