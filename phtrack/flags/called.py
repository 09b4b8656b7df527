"""
`$feature_flag_called`: that a user saw a value of a flag, once per user, flag, value and groups.

    Reading -> CalledEvents.report -> capture(...)

Also `$experiment_exposure` where the server says which experiment's rule gave the value. Rules: wire contract, flags.md §10.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phtrack.flags.values import decode_payload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from phtrack.flags.remote import Attribution

MAX_IDS = 50_000
"""Users whose reads are remembered; the oldest give way."""
MAX_READS_PER_ID = 10_000
"""Reads remembered of one user (one id may stand for many groups)."""

MINIMAL = frozenset(
    (
        "$feature_flag", "$feature_flag_response", "$feature_flag_has_experiment", "$feature_flag_id", "$feature_flag_version",
        "$feature_flag_reason", "$feature_flag_request_id", "$feature_flag_evaluated_at", "$feature_flag_error",
        "locally_evaluated", "$groups", "$process_person_profile", "$session_id", "$lib", "$lib_version", "$is_server",
        "$geoip_disable", "$os", "$os_version", "$os_distro", "$python_runtime", "$python_version",
    )
)  # fmt: skip
"""All that an event keeps where the server asked for small ones."""
MINIMAL_WITH_RULE = MINIMAL | {
    "$feature_flag_config_version", "$feature_flag_reason_code", "$feature_flag_rule_id", "$feature_flag_rule_type",
    "$feature_flag_variant_key",
}  # fmt: skip


@dataclass
class Reading:
    """One read of one flag: the value, and all that is known about it."""

    key: str
    value: bool | str | None
    """None: no value, `error` says why."""
    local: bool = False
    payload: Any = None
    """JSON text, as the definition or the answer has it."""
    reason: str | None = None
    id: Any = None
    version: Any = None
    has_experiment: bool | None = None
    request_id: str | None = None
    evaluated_at: int | None = None
    error: str | None = None
    minimal: bool = False
    """The server asked for minimal events."""
    rule: Attribution | None = None

    def decoded_payload(self) -> Any:
        """The payload, decoded anew each time; None if there is none."""
        return decode_payload(self.payload)

    def properties(self) -> dict[str, Any]:
        """The event's properties."""
        given: dict[str, Any] = {
            "$feature_flag": self.key,
            "$feature_flag_response": self.value,
            f"$feature/{self.key}": self.value,
            "locally_evaluated": self.local,
        }
        payload = self.decoded_payload()
        if payload is not None:
            given["$feature_flag_payload"] = payload
        optional = {
            "id": self.id or None,
            "version": self.version or None,
            "request_id": self.request_id,
            "evaluated_at": self.evaluated_at,
            "has_experiment": self.has_experiment,
            "error": self.error,
        }
        given.update({f"$feature_flag_{name}": known for name, known in optional.items() if known is not None})
        if self.rule is not None:
            given.update(self._rule_properties(self.rule))
        elif self.reason:
            given["$feature_flag_reason"] = self.reason
        return given

    def _rule_properties(self, rule: Attribution) -> dict[str, Any]:
        given: dict[str, Any] = {"$feature_flag_config_version": 2}
        optional = {
            "reason_code": rule.reason_code,
            "rule_id": rule.rule_id,
            "rule_type": rule.rule_type,
            "variant_key": rule.variant_key,
        }
        given.update({f"$feature_flag_{name}": known for name, known in optional.items() if known is not None})
        return given

    @property
    def only(self) -> frozenset[str] | None:
        """The properties the event may keep; None is all."""
        if not self.minimal or self.has_experiment is not False:
            return None
        return MINIMAL if self.rule is None else MINIMAL_WITH_RULE


class CalledEvents:
    """Sends what wasn't sent before, for one client."""

    def __init__(self, capture: Callable[..., Any]) -> None:
        """
        Args:
            capture: ``capture(event, *, distinct_id, properties, groups, disable_geoip, only)``. If it raises, or answers
                False, the event was not admitted and the next such read tries again; None and a uuid count as sent.
        """
        self._capture = capture
        self._lock = threading.Lock()
        self.sent: dict[str, dict[tuple[Any, ...], None]] = {}
        """User -> what was sent about them; the oldest first."""

    def reset_after_fork(self) -> None:
        """Replace the lock; what the parent sent need not be sent again."""
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self.sent = {}

    def was_sent(self, distinct_id: str, key: str, value: Any, groups: Mapping[str, Any] | None) -> bool:
        """True if there is nothing to report: a quick look before a `Reading` is made, for flags without an attribution."""
        known = self.sent.get(distinct_id)
        return known is not None and (key, value, _sorted(groups) if groups else ()) in known

    def report(
        self, reading: Reading, distinct_id: str, groups: Mapping[str, Any] | None, disable_geoip: bool | None
    ) -> None:
        """Send the event for *reading*, unless it was sent."""
        place: tuple[Any, ...] = (reading.key, reading.value, _sorted(groups) if groups else ())
        rule = reading.rule
        if rule is not None:
            place = (*place, 2, rule.reason_code, rule.rule_id, rule.rule_type, rule.variant_key)
        about = {"distinct_id": distinct_id, "groups": groups or None, "disable_geoip": disable_geoip}
        self._once(distinct_id, place, "$feature_flag_called", reading.properties, reading.only, about)
        if rule is not None and rule.is_split:
            exposed = ("exposure", reading.key, place[2], rule.rule_id, rule.variant_key)
            self._once(distinct_id, exposed, "$experiment_exposure", lambda: _exposure(reading, rule), None, about)

    def _once(
        self,
        distinct_id: str,
        place: tuple[Any, ...],
        event: str,
        properties: Callable[[], dict[str, Any]],
        only: frozenset[str] | None,
        about: dict[str, Any],
    ) -> None:
        if not self._mark(distinct_id, place):
            return
        admitted: Any = False
        try:
            admitted = self._capture(event, properties=properties(), only=only, **about)
        finally:
            if admitted is False:
                self._unmark(distinct_id, place)

    def _mark(self, distinct_id: str, place: tuple[Any, ...]) -> bool:
        """Check and add in one step: of several threads one sends."""
        with self._lock:
            known = self.sent.get(distinct_id)
            if known is None:
                if len(self.sent) >= MAX_IDS:
                    del self.sent[next(iter(self.sent))]
                known = self.sent[distinct_id] = {}
            elif place in known:
                return False
            elif len(known) >= MAX_READS_PER_ID:
                del known[next(iter(known))]
            known[place] = None
            return True

    def _unmark(self, distinct_id: str, place: tuple[Any, ...]) -> None:
        with self._lock:
            self.sent.get(distinct_id, {}).pop(place, None)


def _sorted(groups: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((str(kind), str(key)) for kind, key in groups.items()))


def _exposure(reading: Reading, rule: Attribution) -> dict[str, Any]:
    given: dict[str, Any] = {
        "$feature_flag": reading.key,
        "$feature_flag_response": reading.value,
        "locally_evaluated": reading.local,
        "$feature_flag_variant_key": rule.variant_key,
        "$feature_flag_rule_id": rule.rule_id,
    }
    optional = {
        "id": reading.id,
        "version": reading.version,
        "request_id": reading.request_id,
        "evaluated_at": reading.evaluated_at,
    }
    given.update({f"$feature_flag_{name}": known for name, known in optional.items() if known})
    return given
