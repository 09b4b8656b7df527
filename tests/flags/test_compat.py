"""Names that code written for the `posthog` package imports."""

from __future__ import annotations

from typing import Any

import pytest

from phtrack import feature_flags, flag_definition_cache, types
from phtrack.feature_flags import (
    InconclusiveMatchError,
    RequiresServerEvaluation,
    UnresolvedFlagReason,
    match_cohort,
    match_feature_flag_properties,
    match_property,
)
from tests.flags.definitions import cohort, condition, dependency, flag, prop


@pytest.mark.parametrize("module", [types, feature_flags, flag_definition_cache])
def test_every_promised_name_is_there(module: Any) -> None:
    """`__all__` and reality agree."""
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError):
        module.nothing_of_that_name  # noqa: B018


def test_matching_a_property() -> None:
    """Yes and no are bools; unknown is an exception with its reason."""
    assert match_property(prop("p", "a"), {"p": "A"}) is True
    assert match_property(prop("p", ["false"]), {"p": "x"}) is True
    assert match_property(prop("p", ["false"]), {"p": "x"}, 2) is False
    with pytest.raises(InconclusiveMatchError) as missing:
        match_property(prop("p", "a"), {})
    assert missing.value.reason is UnresolvedFlagReason.MISSING_CONTEXT
    with pytest.raises(InconclusiveMatchError) as unsupported:
        match_property(prop("p", "a", "unheard_of"), {"p": "a"})
    assert unsupported.value.reason is UnresolvedFlagReason.UNSUPPORTED_DEFINITION


def test_matching_a_definition() -> None:
    """Persons, groups, dependencies and cohorts; what only the server knows is another exception."""
    one = flag("f", condition(prop("p", "a")))
    assert match_feature_flag_properties(one, "u1", {"p": "a"}, bucketing_value="u1") is True
    company = flag("g", condition(prop("p", "a")), filters={"aggregation_group_type_index": 0})
    assert match_feature_flag_properties(company, "u1", {"p": "a"}, bucketing_value="acme") is True
    depends = flag("d", condition(dependency("f")))
    assert (
        match_feature_flag_properties(
            depends, "u1", {"p": "a"}, bucketing_value="u1", flags_by_key={"f": one, "d": depends}
        )
        is True
    )
    with pytest.raises(RequiresServerEvaluation):
        match_feature_flag_properties(flag("f", condition(cohort(5))), "u1", {}, bucketing_value="u1")
    with pytest.warns(DeprecationWarning, match="bucketing_value"):
        assert match_feature_flag_properties(one, "u1", {"p": "b"}) is False
    halves = flag("simple-flag", condition(rollout=50))
    assert match_feature_flag_properties(halves, "whoever", {}, bucketing_value="user-2") is True
    assert match_feature_flag_properties(halves, "whoever", {}, bucketing_value="user-1") is False


def test_matching_a_cohort() -> None:
    """Membership by properties."""
    cohorts = {"1": {"type": "AND", "values": [prop("p", "a")]}}
    assert match_cohort(cohort(1), {"p": "a"}, cohorts) is True
    assert match_cohort(cohort(1), {"p": "b"}, cohorts) is False
    with pytest.raises(RequiresServerEvaluation):
        match_cohort(cohort(2), {"p": "a"}, cohorts)


def test_the_hash_under_its_old_name() -> None:
    """Some programs bucket their own things with it."""
    assert abs(feature_flags._hash("checkout", "user-123", "variant") - 0.8334157448386892) < 1e-15
    assert types.FeatureFlagError.api_error(500) == "api_error_500"
