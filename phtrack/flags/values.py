"""
What flags answer with: the shapes users see. Plain data; nothing here evaluates or fetches.

`FeatureFlag` is one flag of a server's answer, `FeatureFlagResult` is what a single read returns. Field names are those of the
`posthog` package.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, TypedDict

from phtrack.flags.verdicts import UnresolvedFlagReason

__all__ = [
    "FeatureFlag",
    "FeatureFlagEvaluationRuntime",
    "FeatureFlagResult",
    "FlagMetadata",
    "FlagReason",
    "FlagValue",
    "FlagsAndPayloads",
    "FlagsResponse",
    "LegacyFlagMetadata",
    "SendFeatureFlagsOptions",
    "UnresolvedFlagReason",
]

FlagValue = bool | str
"""On, off, or the key of a variant."""


class FeatureFlagEvaluationRuntime(str, Enum):
    """Where a flag is meant to be evaluated."""

    ALL = "all"
    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True)
class FlagReason:
    """Why the server gave a flag its value."""

    code: str
    condition_index: int | None
    description: str


@dataclass(frozen=True)
class FlagMetadata:
    """What the server says about a flag beside its value."""

    id: int | None
    payload: str | None
    """JSON text."""
    version: int | None
    description: str
    has_experiment: bool | None = None
    """None: the server didn't say."""
    config_version: int | None = None
    rule_type: str | None = None
    rule_id: str | None = None
    variant_key: str | None = None


@dataclass(frozen=True)
class LegacyFlagMetadata:
    """All that older servers say."""

    payload: Any


@dataclass(frozen=True)
class FeatureFlag:
    """One flag of a server's answer."""

    key: str
    enabled: bool
    variant: str | None
    reason: FlagReason | None
    metadata: FlagMetadata | LegacyFlagMetadata
    failure: str | None = None
    """None, ``evaluation_failed`` (the server could not) or ``unknown_error`` (the record makes no sense)."""

    def get_value(self) -> FlagValue:
        """The variant, or whether the flag is on."""
        return self.variant if self.variant is not None else self.enabled


@dataclass(frozen=True)
class FeatureFlagResult:
    """What a single read of a flag found."""

    key: str
    enabled: bool
    variant: str | None
    payload: Any
    """Decoded from JSON; None if there is none."""
    reason: str | None
    """The server's words; None for a value that was evaluated locally."""

    def get_value(self) -> FlagValue:
        """The variant, or whether the flag is on."""
        return self.variant if self.variant is not None else self.enabled


class FlagsAndPayloads(TypedDict, total=True):
    """Values by key, and payloads as JSON text by key."""

    featureFlags: dict[str, FlagValue] | None
    featureFlagPayloads: dict[str, Any] | None


class FlagsResponse(TypedDict, total=False):
    """A server's answer."""

    flags: dict[str, FeatureFlag]
    errorsWhileComputingFlags: bool
    requestId: str | None
    quotaLimit: list[str] | None
    quotaLimited: list[str] | None
    evaluatedAt: int | None
    minimalFlagCalledEvents: bool


class SendFeatureFlagsOptions(TypedDict, total=False):
    """What `send_feature_flags` of a capture may hold in place of True."""

    should_send: bool
    only_evaluate_locally: bool | None
    person_properties: dict[str, Any] | None
    group_properties: dict[str, dict[str, Any]] | None
    flag_keys_filter: list[str] | None


def decode_payload(payload: Any) -> Any:
    """A payload from its JSON text: strictly, so that NaN, Infinity and anything malformed is None. Other values as they are."""
    if not isinstance(payload, str):
        return payload
    import json

    try:
        return json.loads(payload, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(name: str) -> Any:
    raise ValueError(name)
