"""
The server's answer about one user: a request body in, a `RemoteAnswer` out.

What can go wrong is in the answer, as the word that goes into `$feature_flag_error`; nothing raises. Both shapes of answer (v2
and the typed v4) and the one of older servers are read. Rules: wire contract, flags.md §1-§4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phtrack import _guard, encode
from phtrack.flags.values import FeatureFlag, FlagMetadata, FlagReason, LegacyFlagMetadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from phtrack.flags.transport import Reply, Transport

PATH = "/flags/?v=2"
_FIRST_PAUSE = 0.3
_RETRIED_STATUSES = (502, 504)
_RETRIED_FAILURES = ("timeout", "connection_error")


@dataclass(frozen=True)
class RemoteAnswer:
    """What the server said about one user."""

    flags: Mapping[str, FeatureFlag] = field(default_factory=dict)
    failure: str | None = None
    """Why there is no answer at all: ``timeout``, ``connection_error``, ``quota_limited``, ``api_error_<status>``, ``unknown_error``."""
    computing_errors: bool = False
    """The server says that its answer may be incomplete."""
    request_id: str | None = None
    evaluated_at: int | None = None
    """Milliseconds since the epoch."""
    minimal_events: bool = False
    quota_limited: tuple[str, ...] = ()


class Remote:
    """Asks one server for one project."""

    def __init__(
        self,
        *,
        host: str,
        api_key: str,
        transport: Transport,
        timeout: float,
        retries: int,
        gzip: bool,
        pause: Callable[[float], Any],
    ) -> None:
        """
        Args:
            timeout: Seconds per attempt.
            retries: Attempts after the first; only for time-outs, broken connections, 502 and 504.
            pause: Waits so many seconds between attempts; may return early at shutdown.
        """
        self._url = host + PATH
        self._api_key = api_key
        self._transport = transport
        self._timeout = timeout
        self._retries = retries
        self._gzip = gzip
        self._pause = pause

    def ask(self, about: Mapping[str, Any]) -> RemoteAnswer:
        """The answer to the body *about* (distinct id, groups, properties ...). Blocks; never raises."""
        from phtrack.event import now_text

        body = encode.dumps({"api_key": self._api_key, "token": self._api_key, **about, "sent_at": now_text()})
        headers = {"Content-Type": "application/json"}
        if self._gzip:
            import gzip

            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        attempt = 0
        while True:
            reply = self._transport("POST", self._url, headers=headers, body=body, timeout=self._timeout)
            if attempt >= self._retries or not _worth_another(reply):
                break
            self._pause(_FIRST_PAUSE * 2**attempt)
            attempt += 1
        answer = read_reply(reply)
        if answer.failure is not None:
            _guard.say(
                "warning",
                "feature flags could not be fetched: %s %s",
                answer.failure,
                reply.detail,
                every=60,
                key=f"flags:{answer.failure}",
            )
        return answer


def _worth_another(reply: Reply) -> bool:
    return reply.status in _RETRIED_STATUSES or reply.failure in _RETRIED_FAILURES


def read_reply(reply: Reply) -> RemoteAnswer:
    """The answer that *reply* holds."""
    if reply.status is None:
        failure = reply.failure or "unknown_error"
        return RemoteAnswer(failure="connection_error" if failure == "connection_refused" else failure)
    if reply.status != 200:
        return RemoteAnswer(failure=f"api_error_{reply.status}")
    try:
        data = encode.loads(reply.body)
    except (ValueError, RecursionError):
        return RemoteAnswer(failure="unknown_error")
    return read_answer(data)


def read_answer(data: Any) -> RemoteAnswer:
    """The answer in decoded JSON, whichever of the three shapes it has."""
    if not isinstance(data, dict):
        return RemoteAnswer(failure="unknown_error")
    limited = data.get("quotaLimited")
    quota = tuple(one for one in limited if isinstance(one, str)) if isinstance(limited, list) else ()
    if "feature_flags" in quota:
        return RemoteAnswer(failure="quota_limited", quota_limited=quota)
    records, legacy = data.get("flags"), data.get("featureFlags")
    if isinstance(records, dict):
        flags = {key: read_flag(key, record) for key, record in records.items()}
    elif isinstance(legacy, dict):
        payloads = data.get("featureFlagPayloads")
        payloads = payloads if isinstance(payloads, dict) else {}
        flags = {key: _read_legacy(key, value, payloads.get(key)) for key, value in legacy.items()}
    else:
        return RemoteAnswer(failure="unknown_error")
    request_id, at = data.get("requestId"), data.get("evaluatedAt")
    return RemoteAnswer(
        flags,
        computing_errors=data.get("errorsWhileComputingFlags") is True,
        request_id=request_id if isinstance(request_id, str) else None,
        evaluated_at=int(at) if isinstance(at, (int, float)) else None,
        minimal_events=data.get("minimalFlagCalledEvents") is True,
        quota_limited=quota,
    )


class _Malformed(Exception):
    """A field of a record has another type than it may have."""


def read_flag(key: str, record: Any) -> FeatureFlag:
    """One record. A malformed one is off, with a failure, and costs no other flag anything."""
    try:
        return _read_record(key, record)
    except _Malformed:
        nothing = FlagMetadata(None, None, None, "")
        return FeatureFlag(key, False, None, None, nothing, failure="unknown_error")


def _read_record(key: str, record: Any) -> FeatureFlag:
    record = _typed(record, dict)
    metadata = _typed(record.get("metadata"), dict, or_none=True) or {}
    payload = _typed(metadata.get("payload"), str, or_none=True)
    if "value" in record:
        enabled, variant, payload = _read_value(record["value"], payload)
    else:
        enabled = _typed(record.get("enabled"), bool, or_none=True) or False
        variant = _typed(record.get("variant"), str, or_none=True) if enabled else None
    experiment = metadata.get("has_experiment")
    return FeatureFlag(
        key,
        enabled,
        variant,
        _read_reason(record.get("reason")),
        FlagMetadata(
            id=_whole(metadata.get("id")),
            payload=payload,
            version=_whole(metadata.get("version")),
            description=_typed(metadata.get("description"), str, or_none=True) or "",
            has_experiment=experiment if isinstance(experiment, bool) else None,
            config_version=_soft(metadata.get("config_version"), int),
            rule_type=_soft(metadata.get("rule_type"), str),
            rule_id=_soft(metadata.get("rule_id"), str),
            variant_key=_soft(metadata.get("variant_key"), str),
        ),
        failure="evaluation_failed" if record.get("failed") is True else None,
    )


def _read_value(value: Any, payload: str | None) -> tuple[bool, str | None, str | None]:
    """(enabled, variant, payload) of a typed value."""
    if value is None or isinstance(value, bool):
        return bool(value), None, payload
    if isinstance(value, str):
        return True, value, payload
    if isinstance(value, (int, float, dict)):
        return True, None, encode.dumps(value).decode()
    raise _Malformed


def _read_reason(reason: Any) -> FlagReason | None:
    if reason is None:
        return None
    reason = _typed(reason, dict)
    return FlagReason(
        code=_typed(reason.get("code"), str, or_none=True) or "",
        condition_index=_whole(reason.get("condition_index")),
        description=_typed(reason.get("description"), str, or_none=True) or "",
    )


def _read_legacy(key: str, value: Any, payload: Any) -> FeatureFlag:
    if not isinstance(value, (bool, str)):
        return FeatureFlag(key, False, None, None, LegacyFlagMetadata(None), failure="unknown_error")
    variant = value if isinstance(value, str) else None
    return FeatureFlag(key, bool(value) or variant is not None, variant, None, LegacyFlagMetadata(payload))


def _typed(value: Any, kind: type, *, or_none: bool = False) -> Any:
    if value is None and or_none:
        return None
    if not isinstance(value, kind):
        raise _Malformed
    return value


def _soft(value: Any, kind: type) -> Any:
    return value if isinstance(value, kind) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    """A whole number; 2.0 counts as one."""
    if value is None:
        return None
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise _Malformed
    return value


# --- attribution of rules (records with configuration version 2) -------------------------------------------------------

_PAIRS = {
    "targeting_match": ("targeted_release", "percentage_rollout"),
    "experiment_split": ("experiment",),
    "experiment_paused": ("experiment",),
    "holdout": ("experiment",),
    "rollout_miss": ("percentage_rollout", "experiment"),
}
"""Reason code -> the rule types it may come with."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Attribution:
    """Which rule gave a flag its value. The three last fields are None unless they belong together."""

    reason_code: str | None
    rule_id: str | None = None
    rule_type: str | None = None
    variant_key: str | None = None
    """Only of an experiment's split."""

    @property
    def is_split(self) -> bool:
        """True if this read exposes the user to an experiment."""
        return self.reason_code == "experiment_split" and self.rule_id is not None and self.variant_key is not None


def attribution_of(flag: FeatureFlag) -> Attribution | None:
    """The attribution of a record with configuration version 2, None for others."""
    about = flag.metadata
    if not isinstance(about, FlagMetadata) or about.config_version != 2:
        return None
    code = flag.reason.code or None if flag.reason is not None else None
    valid = (
        about.rule_type in _PAIRS.get(code or "", ()) and about.rule_id is not None and _UUID.fullmatch(about.rule_id)
    )
    if not valid:
        return Attribution(code)
    return Attribution(code, about.rule_id, about.rule_type, about.variant_key if code == "experiment_split" else None)
