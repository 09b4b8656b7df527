"""
Names that code written for the `posthog` package imports from `posthog.types`. The shapes live in `phtrack.flags.values`.
"""

from __future__ import annotations

from phtrack.arguments import BeforeSendCallback
from phtrack.flags.snapshot import FeatureFlagEvaluations
from phtrack.flags.values import (
    FeatureFlag,
    FeatureFlagEvaluationRuntime,
    FeatureFlagResult,
    FlagMetadata,
    FlagReason,
    FlagsAndPayloads,
    FlagsResponse,
    FlagValue,
    LegacyFlagMetadata,
    SendFeatureFlagsOptions,
    UnresolvedFlagReason,
)

__all__ = [
    "BeforeSendCallback",
    "FeatureFlag",
    "FeatureFlagError",
    "FeatureFlagEvaluationRuntime",
    "FeatureFlagEvaluations",
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


class FeatureFlagError:
    """The words that `$feature_flag_error` is made of."""

    ERRORS_WHILE_COMPUTING = "errors_while_computing_flags"
    FLAG_MISSING = "flag_missing"
    QUOTA_LIMITED = "quota_limited"
    TIMEOUT = "timeout"
    CONNECTION_ERROR = "connection_error"
    UNKNOWN_ERROR = "unknown_error"
    EVALUATION_FAILED = "evaluation_failed"
    LOCAL_EVALUATION_INCONCLUSIVE = "local_evaluation_inconclusive"

    @staticmethod
    def api_error(status: int) -> str:
        """The word for an HTTP status."""
        return f"api_error_{status}"
