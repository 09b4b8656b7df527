"""One flag, evaluated: the order of the rules, cohorts, groups, dependencies."""

from __future__ import annotations

from typing import Any

import pytest

from phtrack.flags.verdicts import Unresolved
from tests.flags.definitions import cohort, condition, dependency, flag, prop, read, ruleset, variants

YES, NO, UNKNOWN = prop("t", "1"), prop("t", "0"), prop("missing", "1")
SERVER = cohort(99)
T = {"t": "1"}
MISSING, UNSUPPORTED, CONTINUITY, DEPENDS = (
    "?missing_context", "?unsupported_definition", "?experience_continuity", "?unresolved_dependency",
)  # fmt: skip


def value(*conditions: Any, person: Any = T, filters: Any = None, about: Any = None, **more: Any) -> Any:
    """What a flag with these conditions is for a user with ``t=1``."""
    return read(ruleset(flag("f", *conditions, filters=filters, **more)), "f", person=person, **(about or {}))


# --- before the conditions -------------------------------------------------------------------------------------------


def test_an_inactive_flag_is_off_whatever_else_it_says() -> None:
    """Switching a flag off needs no context."""
    assert value(condition(UNKNOWN), active=False) is False
    assert value(active=False, ensure_experience_continuity=True) is False


def test_what_only_the_server_can_evaluate_is_left_to_it() -> None:
    """Continuity, super groups, old holdouts and unknown bucketing have no local value."""
    assert value(ensure_experience_continuity=True) == CONTINUITY
    assert value(filters={"super_groups": [condition()]}) == UNSUPPORTED
    assert value(filters={"super_groups": []}) is True
    assert value(filters={"holdout_groups": [{"id": 1}]}) == UNSUPPORTED
    assert value(bucketing_identifier="browser") == UNSUPPORTED


@pytest.mark.parametrize(
    "empty", [{"filters": None}, {"filters": {}}, {"filters": {"groups": None}}, {"filters": {"groups": []}}]
)
def test_a_flag_without_conditions_is_off(empty: dict[str, Any]) -> None:
    """Null anywhere in the filters means that nothing is there."""
    assert read(ruleset({"key": "f", "active": True, **empty}), "f") is False


@pytest.mark.parametrize("field", ["properties", "rollout_percentage", "variant", "aggregation_group_type_index"])
def test_null_in_a_condition_means_absent(field: str) -> None:
    """The server writes null for what isn't set."""
    assert value({field: None}) is True


@pytest.mark.parametrize(
    "broken",
    [{"groups": 5}, {"groups": [5]}, {"groups": [{"properties": 5}]}, {"groups": [{"properties": [5]}]},
     {"groups": [{"rollout_percentage": "50"}]}, {"groups": [{"rollout_percentage": True}]}, {"groups": [{"rollout_percentage": float("nan")}]},
     {"groups": [{"rollout_percentage": 10**400}]}, {"holdout": 5}, {"holdout": {"id": 1, "exclusion_percentage": []}}, {"multivariate": 5}, {"multivariate": {"variants": [{"key": "a"}]}},
     {"multivariate": {"variants": [{"rollout_percentage": 100}]}}, {"multivariate": {"variants": [{"key": "a", "rollout_percentage": -1}]}}, {"aggregation_group_type_index": "x"}, {"aggregation_group_type_index": []}],
)  # fmt: skip
def test_a_broken_definition_costs_one_flag_its_local_value(broken: dict[str, Any]) -> None:
    """A malformed flag is unsupported, and its neighbour is untouched."""
    filters = {"groups": [condition()], **broken}
    rules = ruleset({"key": "f", "active": True, "filters": filters}, flag("g"))
    assert read(rules, "f") == UNSUPPORTED
    assert read(rules, "g") is True


def test_definitions_without_a_key_are_left_out() -> None:
    """What can't be asked for is not kept."""
    assert list(ruleset({"active": True}, 5, None, {"key": 7}, flag("g")).flags) == ["g"]


@pytest.mark.parametrize(
    "found", [(True, True), ("true", True), ("TRUE", False), (False, False), (1, False), (None, False)]
)
def test_enrollment_decides_alone(found: tuple[Any, bool]) -> None:
    """A user who opted in to an early-access feature has it, others don't, whatever the conditions say."""
    property_, expected = found
    about = {"$feature_enrollment/f": property_}
    assert value(condition(NO), filters={"feature_enrollment": True}, person=about) is expected


def test_enrollment_that_is_not_known_is_unresolved() -> None:
    """The server knows who opted in; only the word true makes a definition an enrollment."""
    assert value(filters={"feature_enrollment": True}) == MISSING
    assert value(filters={"feature_enrollment": "true"}) is True
    group = {"feature_enrollment": True, "aggregation_group_type_index": 0}
    assert value(filters=group, about={"groups": {"company": "a"}}) == UNSUPPORTED


def test_a_holdout_comes_before_the_conditions() -> None:
    """Users who are held out get the holdout, matching or not."""
    held = {"holdout": {"id": 7, "exclusion_percentage": 100}}
    assert value(condition(NO), filters=held) == "holdout-7"
    assert value(condition(NO), filters={"holdout": {"id": 7}}) is False
    assert value(filters={"holdout": {}}) is True


# --- conditions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([condition(YES, YES)], True),
        ([condition(YES, NO)], False),
        ([condition(NO), condition(YES)], True),
        ([condition(UNKNOWN)], MISSING),
        ([condition(UNKNOWN, NO)], False),
        ([condition(NO, UNKNOWN)], False),
        ([condition(UNKNOWN), condition(YES)], True),
        ([condition(YES, rollout=0), condition(UNKNOWN)], MISSING),
        ([condition(UNKNOWN), condition(NO)], MISSING),
        ([condition(SERVER), condition(YES)], UNSUPPORTED),
        ([condition(SERVER, NO), condition(YES)], True),
        ([condition(UNKNOWN, SERVER), condition(YES)], True),
        ([condition(SERVER, UNKNOWN), condition(YES)], UNSUPPORTED),
        ([condition(UNKNOWN), condition(SERVER), condition(YES)], UNSUPPORTED),
        ([condition(prop("t", "(?i)1", "regex")), condition(UNKNOWN)], UNSUPPORTED),
        ([condition(UNKNOWN), condition(prop("t", "(?i)1", "regex"))], UNSUPPORTED),
    ],
)  # fmt: skip
def test_conditions_in_their_order(conditions: list[Any], expected: Any) -> None:
    """A sure no rules a condition out, an unknown is remembered, a later match wins; the server's filters stop it all."""
    assert value(*conditions) == expected


def test_early_exit_stops_at_the_first_condition_whose_filters_match() -> None:
    """With early exit, being outside of one rollout is final; what was unknown before stays unknown."""
    early = {"early_exit": True}
    assert value(condition(YES, rollout=0), condition(YES)) is True
    assert value(condition(YES, rollout=0), condition(YES), filters=early) is False
    assert value(condition(NO, rollout=0), condition(YES), filters=early) is True
    assert value(condition(UNKNOWN), condition(YES, rollout=0), condition(YES), filters=early) == MISSING


def test_variant_overrides() -> None:
    """A condition may name the variant; a name that no variant has is ignored."""
    two = {"multivariate": variants(a=100, b=0)}
    assert value(filters=two) == "a"
    assert value(condition(variant="b"), filters=two) == "b"
    assert value(condition(variant="zz"), filters=two) == "a"
    assert value(condition(NO, variant="b"), condition(), filters=two) == "a"


def test_the_distinct_id_is_a_property() -> None:
    """Filters on `distinct_id` work without passing it twice; the caller's property wins."""
    assert value(condition(prop("distinct_id", "u1"))) is True
    assert value(condition(prop("distinct_id", "u1")), person={"distinct_id": "other"}) is False


@pytest.mark.parametrize("kind", ["event", "session", 5, {}])
def test_filters_of_unknown_types_are_left_to_the_server(kind: Any) -> None:
    """A type that is not in the contract may mean anything."""
    assert value(condition({**YES, "type": kind})) == UNSUPPORTED
    assert value(condition({**YES, "negation": True})) == UNSUPPORTED


# --- groups and devices ----------------------------------------------------------------------------------------------

COMPANY = {"aggregation_group_type_index": 0}


def test_group_flags() -> None:
    """A group flag looks at the group's properties and hashes its key."""
    about = {"groups": {"company": "acme"}, "group_properties": {"company": {"plan": "pro"}}}
    assert value(condition(prop("plan", "pro", type="group")), filters=COMPANY, about=about) is True
    assert value(condition(prop("$group_key", "acme")), filters=COMPANY, about=about) is True
    assert value(condition(YES), filters=COMPANY, about=about) == MISSING
    assert value(filters=COMPANY, about={"groups": {"team": "x"}}) == MISSING
    assert value(filters=COMPANY) == MISSING
    assert value(filters={"aggregation_group_type_index": 9}, about=about) == UNSUPPORTED
    half = {"multivariate": variants(a=50, b=50), **COMPANY}
    by_key = {key: value(filters=half, about={"groups": {"company": key}}) for key in ("acme", "b", "c", "d", "e")}
    assert set(by_key.values()) == {"a", "b"}


def test_conditions_about_another_group_than_the_flag() -> None:
    """Mixed targeting: each condition hashes and matches its own subject; a group that isn't given doesn't match."""
    company = condition(prop("plan", "pro", type="group"), aggregation_group_type_index=0)
    pro = {"groups": {"company": "acme"}, "group_properties": {"company": {"plan": "pro"}}}
    assert value(company, about=pro) is True
    assert value(company, about={"groups": {"company": "acme"}}) == MISSING
    assert value(company) is False
    assert value(company, condition(YES)) is True
    assert value(condition(aggregation_group_type_index=9)) == UNSUPPORTED
    assert value(condition(rollout=0, aggregation_group_type_index=0), condition(), about=pro) is True
    early = {"early_exit": True}
    assert value(condition(rollout=0, aggregation_group_type_index=0), condition(), about=pro, filters=early) is False
    inherits = condition(prop("plan", "pro"), aggregation_group_type_index=None)
    assert value(inherits, filters=COMPANY, about=pro) is True


def test_flags_by_device() -> None:
    """Bucketed by device, two users of one device see the same; without a device it is unresolved."""
    half = {"multivariate": variants(a=50, b=50)}
    rules = ruleset(flag("f", filters=half, bucketing_identifier="device_id"))
    assert read(rules, "f") == MISSING
    assert {read(rules, "f", f"u{n}", device_id="d1") for n in range(9)} == {read(rules, "f", device_id="d1")}
    assert {read(rules, "f", device_id=f"d{n}") for n in range(9)} == {"a", "b"}


# --- cohorts ---------------------------------------------------------------------------------------------------------


def member(definition: Any, *, person: Any = T, others: Any = None, **more: Any) -> Any:
    """Whether a user with ``t=1`` is in a cohort of this *definition*."""
    rules = ruleset(flag("f", condition(cohort(1, **more))), cohorts={"1": definition, **(others or {})})
    return read(rules, "f", person=person)


def all_of(*values: Any) -> dict[str, Any]:
    return {"type": "AND", "values": list(values)}


def any_of(*values: Any) -> dict[str, Any]:
    return {"type": "OR", "values": list(values)}


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        (all_of(YES), True), (all_of(YES, NO), False), (any_of(NO, YES), True), (any_of(NO, NO), False),
        (all_of(UNKNOWN, NO), False), (any_of(UNKNOWN, YES), True), (all_of(UNKNOWN, YES), MISSING), (any_of(UNKNOWN, NO), MISSING),
        (all_of({**NO, "negation": True}), True), (all_of({**UNKNOWN, "negation": True}), MISSING), (all_of({**YES, "negation": False}), True),
        (any_of(NO, all_of(YES)), True), (any_of(all_of(NO), YES), True), (all_of(any_of(NO, YES), YES), True),
        ({}, True), (all_of(), True), (any_of(), True),
        ({"type": "AND"}, UNSUPPORTED), (None, UNSUPPORTED), ([], UNSUPPORTED), ({"type": "XOR", "values": [YES]}, UNSUPPORTED),
        ({"type": "or", "values": [YES]}, UNSUPPORTED), (all_of(5), UNSUPPORTED), (all_of({"type": "AND", "values": [YES], "negation": True}), UNSUPPORTED),
        (all_of({**YES, "type": "behavioral"}), UNSUPPORTED), (all_of(cohort(2)), True), (all_of(cohort(3)), UNSUPPORTED), (all_of(cohort(1)), UNSUPPORTED),
        (all_of(cohort(3), NO), False),
    ],
)  # fmt: skip
def test_cohorts(definition: Any, expected: Any) -> None:
    """A decisive part wins over unknown ones; cohorts nest; one that contains itself or a stranger is the server's."""
    assert member(definition, others={"2": all_of(YES)}) == expected


def test_operators_on_cohorts() -> None:
    """In, not in, and nothing else."""
    for operator in ("exact", "in", None):
        assert member(all_of(YES), operator=operator) is True
    assert member(all_of(YES), operator="not_in") is False
    assert member(all_of(NO), operator="not_in") is True
    assert member(all_of(UNKNOWN), operator="not_in") == MISSING
    assert member(all_of(YES), operator="is_not") == UNSUPPORTED


def test_a_cohort_is_evaluated_for_each_subject() -> None:
    """What was found out about the person is not taken for the company."""
    rules = ruleset(
        flag("f", condition(cohort(1), aggregation_group_type_index=0), condition(cohort(1))),
        cohorts={"1": all_of(prop("t", "1"))},
    )
    about = {"groups": {"company": "a"}, "group_properties": {"company": {"t": "0"}}}
    run = rules.run("u1", person=T, **about)
    assert rules.evaluate(run)[0] == {"f": True}
    assert sorted(run.memo.values()) == [False, True]  # type: ignore[union-attr]


# --- dependencies ----------------------------------------------------------------------------------------------------

ON, OFF, GONE, WAITING = flag("d"), flag("d", condition(NO)), flag("d", active=False), flag("d", condition(UNKNOWN))
BLUE = flag("d", filters={"multivariate": variants(blue=100)})


@pytest.mark.parametrize(
    ("other", "wanted", "expected"),
    [
        (ON, True, True), (ON, False, False), (OFF, True, False), (OFF, False, True), (GONE, True, False), (GONE, False, True),
        (BLUE, True, True), (BLUE, "blue", True), (BLUE, "Blue", False), (BLUE, False, False), (ON, "true", False), (ON, "blue", False),
        (ON, 1, False), (WAITING, True, DEPENDS), (WAITING, False, DEPENDS), (flag("d", ensure_experience_continuity=True), True, DEPENDS),
    ],
)  # fmt: skip
def test_dependencies(other: Any, wanted: Any, expected: Any) -> None:
    """A flag that depends on another compares its value; an unresolved one leaves both unresolved."""
    rules = ruleset(flag("f", condition(dependency("d", wanted))), other)
    assert read(rules, "f", person=T) == expected


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ({"operator": "exact"}, False), ({"value": None}, False), ({"key": None}, False), ({"dependency_chain": []}, DEPENDS),
        ({"dependency_chain": None}, DEPENDS), ({"dependency_chain": "d"}, DEPENDS), ({"dependency_chain": ["nobody"]}, DEPENDS),
        ({"dependency_chain": ["nobody", "d"]}, DEPENDS),
    ],
)  # fmt: skip
def test_broken_dependencies(broken: dict[str, Any], expected: Any) -> None:
    """What names no flag matches nobody; what can't be followed is unresolved."""
    assert read(ruleset(flag("f", condition(dependency("d") | broken)), ON), "f") == expected


def test_dependencies_that_go_in_a_circle_end() -> None:
    """Two flags that depend on each other are unresolved, not endless."""
    rules = ruleset(flag("a", condition(dependency("b"))), flag("b", condition(dependency("a"))))
    assert rules.evaluate(rules.run("u"))[0] == {}


def test_a_chain_is_evaluated_once_per_run() -> None:
    """All flags of a call share the values of the flags they depend on."""
    chain = [
        flag("f0"),
        *(
            flag(f"f{n}", condition(dependency(f"f{n - 1}", dependency_chain=[f"f{m}" for m in range(n)])))
            for n in range(1, 60)
        ),
    ]
    rules = ruleset(*reversed(chain))
    values, unresolved = rules.evaluate(rules.run("u"))
    assert (len(values), set(values.values()), unresolved) == (60, {True}, {})


# --- a whole set -----------------------------------------------------------------------------------------------------


def test_evaluating_all_equals_evaluating_each() -> None:
    """One run over all flags gives each flag the value it has alone."""
    rules = ruleset(
        flag("a", condition(dependency("c"))), flag("b", condition(UNKNOWN)), flag("c", condition(YES)), flag("d", condition(cohort(1))),
        cohorts={"1": all_of(YES)},
    )  # fmt: skip
    values, unresolved = rules.evaluate(rules.run("u1", person=T))
    assert values == {key: read(rules, key, person=T) for key in "acd"}
    assert {key: reason.reason.value for key, reason in unresolved.items()} == {"b": "missing_context"}
    assert rules.evaluate(rules.run("u1", person=T), ["c", "nobody", "b"]) == ({"c": True}, {"b": unresolved["b"]})


def test_flags_that_no_user_can_resolve_are_known() -> None:
    """Definitions say beforehand which flags will always need the server, and why; flags for clients don't count."""
    rules = ruleset(
        flag("fine"), flag("often", condition(UNKNOWN)), flag("continuity", ensure_experience_continuity=True),
        flag("static", condition(SERVER)), flag("partly", condition(SERVER), condition()), flag("browser", ensure_experience_continuity=True, evaluation_runtime="client"),
        flag("regex", condition(prop("a", "(?i)x", "regex"))),
    )  # fmt: skip
    assert {key: reason.reason.value for key, reason in rules.hopeless().items()} == {
        "continuity": "experience_continuity", "static": "unsupported_definition", "regex": "unsupported_definition",
    }  # fmt: skip


def test_payloads_by_value() -> None:
    """Payloads are found by variant, or by true and false."""
    rules = ruleset(flag("f", filters={"payloads": {"true": "1", "false": "2", "blue": "3"}}))
    assert [rules.flags["f"].payload(one) for one in (True, False, "blue", "x")] == ["1", "2", "3", None]


@pytest.mark.parametrize("data", [{"flags": 5}, {"cohorts": 5}, {"group_type_mapping": []}])
def test_definitions_of_another_shape_are_refused_whole(data: dict[str, Any]) -> None:
    """What isn't a set of definitions must not replace one."""
    with pytest.raises(ValueError):
        ruleset(**{"flags": [], **data}) if "flags" not in data else ruleset(flag("f"), **data)


def test_an_unresolved_verdict_shows_its_reason() -> None:
    """In a debugger or a log line the reason is readable."""
    rules = ruleset(flag("f", condition(UNKNOWN)))
    verdict = rules.flags["f"].evaluate(rules.run("u"))
    assert isinstance(verdict, Unresolved)
    assert repr(verdict) == "<unresolved: missing_context>"
