"""
Local evaluation under the names that code written for the `posthog` package imports from `posthog.feature_flags`.

What is unresolved is an exception here, as there; inside phtrack it is a value (`phtrack.flags.verdicts`).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from phtrack.flags import hashing, operators
from phtrack.flags.rules import Run
from phtrack.flags.ruleset import Ruleset
from phtrack.flags.values import FlagValue, UnresolvedFlagReason
from phtrack.flags.verdicts import MISSING, Unresolved

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FlagValue",
    "InconclusiveMatchError",
    "RequiresServerEvaluation",
    "UnresolvedFlagReason",
    "match_cohort",
    "match_feature_flag_properties",
    "match_property",
]


class InconclusiveMatchError(Exception):
    """There is no local answer; the server may have one."""

    def __init__(self, *args: Any, reason: UnresolvedFlagReason | None = None) -> None:
        super().__init__(*args)
        self.reason = reason


class RequiresServerEvaluation(Exception):
    """There is no local answer, and no later condition may be looked at: only the server knows."""

    def __init__(self, *args: Any, reason: UnresolvedFlagReason | None = None) -> None:
        super().__init__(*args)
        self.reason = reason


def match_property(
    property: Mapping[str, Any], property_values: Mapping[str, Any], property_matching_version: int = 1
) -> bool:
    """
    Whether a filter matches these property values.

    Raises:
        InconclusiveMatchError: it can't be told; `reason` says why.
    """
    key = property.get("key")
    value = property.get("value", operators.ABSENT)
    test = operators.compile_test(property.get("operator"), value, property_matching_version)
    found = property_values.get(key, operators.ABSENT) if isinstance(key, str) else operators.ABSENT
    run = Run({}, "")
    return bool(_answer(MISSING if found is operators.ABSENT else test(found, run.now)))


def match_cohort(
    property: Mapping[str, Any],
    property_values: Mapping[str, Any],
    cohort_properties: Mapping[str, Any],
    flags_by_key: Mapping[str, Any] | None = None,
    evaluation_cache: Any = None,
    distinct_id: str | None = None,
    device_id: str | None = None,
    property_matching_version: int = 1,
) -> bool:
    """
    Whether somebody with these property values is in the cohort that a filter names.

    Raises:
        InconclusiveMatchError, RequiresServerEvaluation: it can't be told.
    """
    flag = {"key": "", "active": True, "filters": {"groups": [{"properties": [{"type": "cohort", **property}]}]}}
    return bool(
        match_feature_flag_properties(
            flag,
            distinct_id or "",
            property_values,
            cohort_properties=cohort_properties,
            flags_by_key=flags_by_key,
            device_id=device_id,
            bucketing_value=distinct_id or "",
            property_matching_version=property_matching_version,
        )
    )


def match_feature_flag_properties(
    flag: Mapping[str, Any],
    distinct_id: str,
    properties: Mapping[str, Any],
    *,
    cohort_properties: Mapping[str, Any] | None = None,
    flags_by_key: Mapping[str, Any] | None = None,
    evaluation_cache: Any = None,
    device_id: str | None = None,
    bucketing_value: str | None = None,
    group_type_mapping: Mapping[str, str] | None = None,
    groups: Mapping[str, Any] | None = None,
    group_properties: Mapping[str, Mapping[str, Any]] | None = None,
    property_matching_version: int = 1,
) -> FlagValue:
    """
    The value of a definition for a user, or for a group if the flag is about groups.

    Args:
        properties: Of the user, or of the group.
        bucketing_value: What is hashed: the user's id, the device's, or the group's key.
        evaluation_cache: Accepted, and not needed.

    Raises:
        InconclusiveMatchError, RequiresServerEvaluation: there is no local answer; `reason` says why.
    """
    if bucketing_value is None:
        warnings.warn(
            "match_feature_flag_properties() without bucketing_value is deprecated", DeprecationWarning, stacklevel=2
        )
        bucketing_value = str(distinct_id)
    others = [other for key, other in (flags_by_key or {}).items() if key != flag.get("key")]
    index = (flag.get("filters") or {}).get("aggregation_group_type_index")
    names = dict(group_type_mapping or {})
    own: dict[str, Any] = {}
    if index is not None:
        own = {names.setdefault(str(index), f"group {index}"): bucketing_value}
    rules = Ruleset(
        {
            "flags": [*others, flag],
            "cohorts": cohort_properties or {},
            "group_type_mapping": names,
            "property_matching_version": property_matching_version,
        }
    )
    run = rules.run(
        str(distinct_id),
        person=properties,
        groups={kind: str(key) for kind, key in {**(groups or {}), **own}.items()},
        group_properties={**(group_properties or {}), **dict.fromkeys(own, properties)},
        device_id=device_id,
    )
    run.ident = bucketing_value.encode()
    return _answer(rules.flags[flag["key"]].evaluate(run))


def _answer(verdict: FlagValue | Unresolved) -> FlagValue:
    if not isinstance(verdict, Unresolved):
        return verdict
    kind = RequiresServerEvaluation if verdict.needs_server else InconclusiveMatchError
    raise kind(f"no local answer: {verdict.reason.value}", reason=verdict.reason)


def _hash(key: str, bucketing_value: str, salt: str = "") -> float:
    """Where *bucketing_value* falls for flag *key*, in [0, 1]."""
    return hashing.fraction(key, bucketing_value, salt)
