"""
`FeatureFlagEvaluations`: the flags of one user at one moment. Made by `evaluate_flags`; nothing it does after touches the network.

Local values are kept as they are; the server's fill the gaps. Reads are reported, once each, through the client that made it.
Rules: wire contract, flags.md §12.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from phtrack import _guard
from phtrack.flags.called import Reading
from phtrack.flags.remote import RemoteAnswer, attribution_of
from phtrack.flags.values import FeatureFlag, FlagMetadata, FlagValue, UnresolvedFlagReason, decode_payload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from phtrack.flags.rules import Flag

_NOTHING: Mapping[str, Any] = MappingProxyType({})
NO_ANSWER = RemoteAnswer()


class FeatureFlagEvaluations:
    """
    The flags of one user, as they were when this was made.

    Pass it to ``capture(..., flags=snapshot)`` to attach the values to an event.
    """

    __slots__ = (
        "_accessed", "_answer", "_flags", "_keys", "_minimal", "_report", "_unresolved", "_values", "distinct_id",
    )  # fmt: skip

    def __init__(
        self,
        *,
        distinct_id: str | None = None,
        values: Mapping[str, FlagValue] = _NOTHING,
        flags: Mapping[str, Flag] = _NOTHING,
        minimal: bool = False,
        answer: RemoteAnswer = NO_ANSWER,
        unresolved: Mapping[str, UnresolvedFlagReason] = _NOTHING,
        keys: frozenset[str] | None = None,
        report: Callable[[Reading], None] | None = None,
    ) -> None:
        """
        Args:
            distinct_id: The user; None for an empty snapshot.
            values: What was evaluated locally.
            flags: The definitions it was evaluated with.
            minimal: The definitions ask for minimal events.
            answer: The server's answer, if it was asked.
            unresolved: Flags without local value, and why.
            keys: What is visible; None is everything.
            report: Called for each read whose event is wanted; None in a snapshot that reports nothing.
        """
        self.distinct_id = distinct_id
        self._values = values
        self._flags = flags
        self._minimal = minimal
        self._answer = answer
        self._unresolved = MappingProxyType(dict(unresolved)) if unresolved else _NOTHING
        self._keys = keys
        self._report = report
        self._accessed: dict[str, None] = {}

    def __repr__(self) -> str:
        return f"<FeatureFlagEvaluations of {len(self.values())} flags>"

    # --- reading -----------------------------------------------------------------------------------------------------

    def is_enabled(self, key: str, default_value: bool = False, *, send_feature_flag_events: bool = True) -> bool:
        """Whether *key* is on or has a variant; *default_value* if it has no value."""
        value = self._read(key, send_feature_flag_events)
        return default_value if value is None else bool(value)

    def get_flag(self, key: str, *, send_feature_flag_events: bool = True) -> FlagValue | None:
        """The variant, True, False, or None if *key* has no value."""
        return self._read(key, send_feature_flag_events)

    def get_flag_payload(self, key: str) -> Any:
        """The decoded payload of *key*, or None. Doesn't count as reading the flag. Each call returns a new object."""
        local = self._local(key)
        if local is not None:
            return decode_payload(self._flags[key].payload(local)) if key in self._flags else None
        record = self._remote(key)
        return decode_payload(record.metadata.payload) if record is not None and record.failure is None else None

    @property
    def keys(self) -> list[str]:
        """Keys of all flags that have a value."""
        return list(self.values())

    @property
    def unresolved_flags(self) -> Mapping[str, UnresolvedFlagReason]:
        """Flags that have no local value, and why; also where the server had one. Empty in what `only` returns."""
        return self._unresolved if self._keys is None else _NOTHING

    def values(self) -> dict[str, FlagValue]:
        """Key -> value of all flags that have one."""
        found = dict(self._values)
        for key, record in self._answer.flags.items():
            if key not in found and record.failure != "evaluation_failed":
                found[key] = record.get_value()
        return found if self._keys is None else {key: value for key, value in found.items() if key in self._keys}

    # --- parts -------------------------------------------------------------------------------------------------------

    def only(self, keys: Iterable[str]) -> FeatureFlagEvaluations:
        """A snapshot of just *keys*; those without a value are dropped, with one log line."""
        wanted, have = list(keys), set(self.keys)
        unknown = [key for key in wanted if key not in have]
        if unknown:
            _guard.say(
                "warning",
                "only(): these feature flags have no value here: %s",
                ", ".join(map(str, unknown[:10])),
                every=60,
            )
        return self._part(frozenset(key for key in wanted if key in have))

    def only_accessed(self) -> FeatureFlagEvaluations:
        """A snapshot of what was read through `is_enabled` and `get_flag` so far; may be empty."""
        return self._part(frozenset(self._accessed))

    def _part(self, keys: frozenset[str]) -> FeatureFlagEvaluations:
        return FeatureFlagEvaluations(
            distinct_id=self.distinct_id,
            values=self._values,
            flags=self._flags,
            minimal=self._minimal,
            answer=self._answer,
            unresolved=self._unresolved,
            keys=keys,
            report=self._report,
        )

    # --- inside ------------------------------------------------------------------------------------------------------

    def _local(self, key: str) -> FlagValue | None:
        return self._values.get(key) if self._keys is None or key in self._keys else None

    def _remote(self, key: str) -> FeatureFlag | None:
        return self._answer.flags.get(key) if self._keys is None or key in self._keys else None

    def _read(self, key: str, send: bool) -> FlagValue | None:
        local = self._local(key)
        record = None if local is not None else self._remote(key)
        value: FlagValue | None = local
        if record is not None and record.failure != "evaluation_failed":
            value = record.get_value()
        if value is not None:
            self._accessed[key] = None
        report = self._report
        if report is not None and send:
            with _guard.shield("reporting a flag that was read"):
                report(
                    self._local_reading(key, local) if local is not None else self._remote_reading(key, value, record)
                )
        return value

    def _local_reading(self, key: str, value: FlagValue) -> Reading:
        flag = self._flags[key]
        return Reading(
            key,
            value,
            local=True,
            payload=flag.payload(value),
            reason="Evaluated locally",
            id=flag.id,
            version=flag.version,
            has_experiment=flag.has_experiment,
            request_id=self._answer.request_id,
            minimal=self._minimal,
        )

    def _remote_reading(self, key: str, value: FlagValue | None, record: FeatureFlag | None) -> Reading:
        answer = self._answer
        error = self._error_of(key, record)
        return reading_of(key, value, record, answer, error, minimal=answer.minimal_events)

    def _error_of(self, key: str, record: FeatureFlag | None) -> str | None:
        answer = self._answer
        if record is not None:
            return error_words(answer.computing_errors, False, record.failure)
        if answer.failure is not None:
            return answer.failure
        if key in self._unresolved and answer is NO_ANSWER:
            return "local_evaluation_inconclusive"
        return error_words(answer.computing_errors, True, None)


def error_words(computing_errors: bool, missing: bool, failure: str | None) -> str | None:
    """The value of `$feature_flag_error`: all that went wrong, in the contract's order."""
    words = [
        *(["errors_while_computing_flags"] if computing_errors else []),
        *(["flag_missing"] if missing else []),
        *([failure] if failure is not None else []),
    ]
    return ",".join(words) or None


def reading_of(
    key: str,
    value: FlagValue | None,
    record: FeatureFlag | None,
    answer: RemoteAnswer,
    error: str | None,
    *,
    minimal: bool,
) -> Reading:
    """A read that the server answered, with *record* None where it knows no such flag."""
    reading = Reading(
        key, value, error=error, request_id=answer.request_id, evaluated_at=answer.evaluated_at, minimal=minimal
    )
    if record is not None:
        reading.payload = record.metadata.payload
        reading.reason = record.reason.description if record.reason is not None else None
        reading.rule = attribution_of(record)
        if isinstance(record.metadata, FlagMetadata):
            reading.id, reading.version = record.metadata.id, record.metadata.version
            reading.has_experiment = record.metadata.has_experiment
    return reading
