"""Every operator, with its truth table and the edges of it."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phtrack.flags import dates, semver
from phtrack.flags.operators import ABSENT, compile_test
from phtrack.flags.verdicts import Unresolved
from tests.flags.definitions import condition, flag, prop, read, ruleset

NOW = dt.datetime(2024, 3, 31, 12, tzinfo=dt.timezone.utc)
PROPERTY, FILTER = "?missing_context", "?unsupported_definition"


def judge(operator: str, filter_: Any, found: Any, *, version: int = 1) -> Any:
    """The verdict through a whole flag: True, False, or why there is none."""
    filters = {"key": "p", "operator": operator, "value": filter_, "type": "person"}
    if filter_ is ABSENT:
        del filters["value"]
    rules = ruleset(flag("f", condition(filters)), property_matching_version=version)
    person = {} if found is ABSENT else {"p": found}
    return read(rules, "f", person=person, now=lambda: NOW)


class Word(str, enum.Enum):
    ALICE = "Alice"


class Level(enum.IntEnum):
    HIGH = 5


class Hostile:
    """An object whose every method fails the test."""

    def __repr__(self) -> str:
        raise AssertionError("looked at")

    __str__ = __eq__ = __hash__ = __bool__ = __float__ = __lt__ = __repr__  # type: ignore[assignment]


TRUTH: list[tuple[str, Any, Any, Any]] = [
    # exact
    ("exact", "Alice", "alice", True),
    ("exact", ["a", "b"], "B", True),
    ("exact", ["a", "b"], "c", False),
    ("exact", 5, "5", True),
    ("exact", "5", 5, True),
    ("exact", "5.0", 5, False),
    ("exact", "5.0", 5.0, True),
    ("exact", "1e+16", 1e16, True),
    ("exact", "1e16", 1e16, False),
    ("exact", ["true"], True, True),
    ("exact", ["true"], "TRUE", True),
    ("exact", ["true"], 1, False),
    ("exact", ["true"], "yes", False),
    ("exact", "null", None, True),
    ("exact", None, None, True),
    ("exact", None, "null", True),
    ("exact", "None", None, False),
    ("exact", [], "true", True),
    ("exact", [], "TRUE", True),
    ("exact", [], True, True),
    ("exact", [], "x", False),
    ("exact", [], 1, False),
    ("exact", [], None, False),
    ("exact", [], {}, False),
    ("exact", [], [], True),
    ("exact", [], ["true", ["true"]], True),
    ("exact", [], [True, False], False),
    ("exact", "ÉCOLE", "école", True),
    ("exact", "STRASSE", "straße", False),
    ("exact", "", "", True),
    ("exact", '["é"]', ["é"], True),
    ("exact", '{"a":1,"b":[true,null]}', {"b": [True, None], "a": 1}, True),
    ("exact", [["a"]], ["a"], True),
    ("exact", ["a"], ["a"], False),
    ("exact", "1.5", decimal.Decimal("1.5"), True),
    ("exact", "00000000-0000-0000-0000-000000000001", uuid.UUID(int=1), True),
    ("exact", "2024-01-01T00:00:00", dt.datetime(2024, 1, 1), True),
    ("exact", "[1]", (1,), True),
    ("exact", "alice", Word.ALICE, True),
    ("exact", "5", Level.HIGH, True),
    ("exact", "null", float("nan"), True),
    ("exact", "null", Hostile(), True),
    ("exact", "<int>", 10**5000, True),
    # is_not
    ("is_not", ["a", "b"], "B", False),
    ("is_not", ["a", "b"], "c", True),
    ("is_not", "a", None, True),
    ("is_not", "null", None, False),
    ("is_not", [], True, False),
    ("is_not", [], "x", True),
    # presence
    ("is_set", "is_set", None, True),
    ("is_set", ABSENT, "", True),
    ("is_not_set", "is_not_set", None, False),
    ("is_not_set", ABSENT, "x", False),
    # text
    ("icontains", "É", "é", False),
    ("icontains", "ABC", "xxabcxx", True),
    ("icontains", "5", 1500, True),
    ("icontains", "tru", True, True),
    ("icontains", "null", None, True),
    ("icontains", "", "", True),
    ("icontains", ["a"], 'x["a"]', True),
    ("not_icontains", "abc", "xxABCxx", False),
    ("not_icontains", "abc", "xyz", True),
    ("starts_with", "admin@", "Admin@Example.com", True),
    ("starts_with", "É", "école", False),
    ("not_starts_with", "admin@", "Admin@Example.com", False),
    ("ends_with", ".COM", "a@b.com", True),
    ("ends_with", ".org", "a@b.com", False),
    ("not_ends_with", ".org", "a@b.com", True),
    # numbers
    ("gt", "5", "10", True),
    ("gt", 5, 5, False),
    ("gt", 5, 5.5, True),
    ("gt", 5, True, False),
    ("gt", 5, None, False),
    ("gt", 5, "abc", False),
    ("gt", 5, " 6", False),
    ("gt", 5, "6\n", False),
    ("gt", 5, "inf", False),
    ("gt", 5, "5.", False),
    ("gt", 5, "6_0", False),
    ("gt", 5, "６", False),
    ("gt", 5, ".6e2", True),
    ("gt", 5, "+6", True),
    ("gt", 5, [6], False),
    ("gt", 5, 10**400, False),
    ("gt", 5, float("inf"), False),
    ("gt", 5, decimal.Decimal(6), True),
    ("gt", "abc", 5, FILTER),
    ("gt", True, 5, FILTER),
    ("gt", None, 5, FILTER),
    ("gt", "inf", 5, FILTER),
    ("gt", [5], 6, FILTER),
    ("gte", "1e2", 100, True),
    ("gte", "1e2", 99.9, False),
    ("lt", 5, 4, True),
    ("lt", 5, 5, False),
    ("lt", 5, None, False),
    ("lte", 5, "5", True),
    ("lte", 5, -1e300, True),
    # dates
    ("is_date_before", "2024-06-01", "2024-06-01", False),
    ("is_date_after", "2024-06-01", "2024-06-01", False),
    ("is_date_before", "2024-06-01", "2024-05-31T23:59:59.999999Z", True),
    ("is_date_after", "2024-06-01T00:00:00+02:00", "2024-05-31T22:30:00Z", True),
    ("is_date_after", "2024-06-01T00:00:00+02:00", "2024-05-31T21:30:00Z", False),
    ("is_date_before", "2024-06-01 12:00 UTC", "2024-06-01T13:59+02:00", True),
    ("is_date_before", "2024-06-01", dt.date(2020, 1, 1), True),
    ("is_date_before", "2024-06-01", dt.datetime(2024, 5, 31, 23), True),
    ("is_date_before", "2024-06-01", dt.datetime(2024, 6, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))), True),
    ("is_date_before", "-1d", "2020-01-01", True),
    ("is_date_before", "1d", "2020-01-01", True),
    ("is_date_after", "-1d", "2024-03-30T13:00:00", True),
    ("is_date_after", "-1d", "2024-03-30T11:00:00", False),
    ("is_date_after", "-1h", "2024-03-31T11:30:00Z", True),
    ("is_date_after", "-2m", "2024-01-29T12:00:01Z", True),
    ("is_date_before", "-2m", "2024-01-29T11:59:59Z", True),
    ("is_date_before", "2024", "2024-03-30", True),
    ("is_date_after", "2024", "2024-03-31T00:00:01", True),
    ("is_date_before", 2024, "2020-01-01", True),
    ("is_date_before", "2024-06-01", None, False),
    ("is_date_after", "2024-06-01", None, False),
    ("is_date_before", "-10000d", "2020-01-01", FILTER),
    ("is_date_before", "-1x", "2020-01-01", FILTER),
    ("is_date_before", "-1M", "2020-01-01", FILTER),
    ("is_date_before", "-1d ", "2020-01-01", FILTER),
    ("is_date_before", "9999y", "2020-01-01", FILTER),
    ("is_date_before", "2024-06", "2020-01-01", FILTER),
    ("is_date_before", "June 1 2024", "2020-01-01", FILTER),
    ("is_date_before", "2024-02-30", "2020-01-01", FILTER),
    ("is_date_before", "", "2020-01-01", FILTER),
    ("is_date_before", None, "2020-01-01", FILTER),
    ("is_date_before", "2024-01-01", 1700000000, PROPERTY),
    ("is_date_before", "2024-01-01", "garbage", PROPERTY),
    ("is_date_before", "2024-01-01", "", PROPERTY),
    ("is_date_before", "2024-01-01", True, PROPERTY),
    ("is_date_before", "2024-01-01", "-1d", PROPERTY),
    ("is_date_before", "2024-01-01", "2024-W10", PROPERTY),
    ("is_date_before", "2024-01-01", "0001-01-01T00:00:00+23:00", PROPERTY),
    # versions
    ("semver_eq", "1.2", "1.2.0", True),
    ("semver_eq", "1.2", "v1.2.0", True),
    ("semver_eq", "V1.2", " 1.2.0 ", True),
    ("semver_eq", "1.2", "1.2.0-beta", True),
    ("semver_eq", "1.2", "1.2.0+build.5", True),
    ("semver_eq", "1.2.3", "1.2.3.4", True),
    ("semver_eq", 1.2, "1.2", True),
    ("semver_eq", "1.2", 1.2, True),
    ("semver_eq", "1.2.3", "01.2.3", PROPERTY),
    ("semver_eq", "1.2.3", "", PROPERTY),
    ("semver_eq", "1.2.3", "abc", PROPERTY),
    ("semver_eq", "1.2.3", True, PROPERTY),
    ("semver_eq", "1.2.3", "1.2.x", PROPERTY),
    ("semver_eq", "1.2.3", "1..3", PROPERTY),
    ("semver_eq", "1.2.3", "-1", PROPERTY),
    ("semver_eq", "1.2.3", None, False),
    ("semver_neq", "1.2.3", None, False),
    ("semver_neq", "1.2.3", "1.2.4", True),
    ("semver_eq", "01.2", "1.2", FILTER),
    ("semver_eq", None, "1.2", FILTER),
    ("semver_gt", "1.2.3", "1.10.0", True),
    ("semver_gt", "1.2.3", "1.2.3", False),
    ("semver_gte", "1.2.3", "1.2.3", True),
    ("semver_lt", "1.2.3", "1.2.3-rc1", False),
    ("semver_lt", "1.10.0", "1.9.9", True),
    ("semver_lte", "1.2.3", "1.2.3", True),
    ("semver_tilde", "1.2.3", "1.2.9", True),
    ("semver_tilde", "1.2.3", "1.3.0", False),
    ("semver_tilde", "1.2.3", "1.2.2", False),
    ("semver_tilde", "1", "1.0.5", True),
    ("semver_tilde", "1", "1.1.0", False),
    ("semver_caret", "1.2.3", "1.9.0", True),
    ("semver_caret", "1.2.3", "2.0.0", False),
    ("semver_caret", "0.2.3", "0.2.9", True),
    ("semver_caret", "0.2.3", "0.3.0", False),
    ("semver_caret", "0.0.3", "0.0.3", True),
    ("semver_caret", "0.0.3", "0.0.4", False),
    ("semver_wildcard", "1.*", "1.99.9", True),
    ("semver_wildcard", "1.*", "2.0.0", False),
    ("semver_wildcard", "1.2.*", "1.2.99", True),
    ("semver_wildcard", "1.2.*", "1.3.0", False),
    ("semver_wildcard", "1.2.3", "1.2.3", True),
    ("semver_wildcard", "1.2.3", "1.2.4", False),
    ("semver_wildcard", "v1.*.*", "1.2.3", True),
    ("semver_wildcard", "*", "1.2.3", FILTER),
    ("semver_wildcard", "1.*.3", "1.2.3", FILTER),
    # regular expressions (more in test_patterns.py)
    ("regex", "abc", "xxABC", False),
    ("regex", "abc", "xxabcxx", True),
    ("not_regex", "abc", "xxabcxx", False),
    ("regex", "(", "anything", False),
    ("not_regex", "(", "anything", False),
    ("regex", "a$", "a\n", False),
    ("regex", "", "anything", True),
    ("regex", "1.5", 1.5, True),
    ("regex", "^null$", None, True),
    ("regex", "(?i)a", "a", FILTER),
    ("regex", "(?=a)", "a", FILTER),
    ("regex", r"\bfoo\b", "foo", FILTER),
    # what only the server has, and what nobody has
    ("icontains_multi", ["a"], "a", FILTER),
    ("not_icontains_multi", ["a"], "a", FILTER),
    ("is_date_exact", "2024-01-01", "2024-01-01", FILTER),
    ("in", ["a"], "a", FILTER),
    ("not_in", ["a"], "a", FILTER),
    ("between", [1, 2], 1, FILTER),
    ("", "a", "a", FILTER),
    (5, "a", "a", FILTER),  # type: ignore[list-item]
    (None, "A", "a", True),  # type: ignore[list-item]
]


def _ids(rows: list[tuple[Any, ...]]) -> list[str]:
    """Short names of table rows that look at no value: some rows hold values that can't be shown."""
    return [f"{n}-{row[0]}" for n, row in enumerate(rows)]


@pytest.mark.parametrize(("operator", "filter_", "found", "expected"), TRUTH, ids=_ids(TRUTH))
def test_truth_table(operator: str, filter_: Any, found: Any, expected: Any) -> None:
    """Each row is what the server's own rules answer, or that this flag is left to the server."""
    assert judge(operator, filter_, found) == expected


@pytest.mark.parametrize(
    ("filter_", "found", "old", "new"),
    [
        (["true"], "yes", False, False), (["true"], True, True, True), (["true"], "TRUE", True, True),
        (["false"], "yes", True, False), (["false"], None, True, False), (["false"], "false", True, True),
        (False, 0, True, False), ("FALSE", "no", True, False), (True, "true", True, True),
        (["true", "false"], "true", False, True), (["true", "false"], 1, True, False),
        (["true", "x"], "x", True, True),
    ],
)  # fmt: skip
def test_yes_and_no_before_and_after_version_2(filter_: Any, found: Any, old: bool, new: bool) -> None:
    """Filters for true and false compared truth before `property_matching_version` 2, and compare text since."""
    assert judge("exact", filter_, found, version=1) is old
    assert judge("is_not", filter_, found, version=1) is not old
    assert judge("exact", filter_, found, version=2) is new
    assert judge("is_not", filter_, found, version=2) is not new


@pytest.mark.parametrize(
    ("now", "filter_", "limit"),
    [
        ("2023-03-31", "-1m", "2023-02-28"), ("2023-03-31", "-2m", "2023-01-28"), ("2024-02-29", "1y", "2023-02-28"),
        ("2024-02-29", "-4y", "2020-02-28"), ("2024-01-31", "-1m", "2023-12-31"), ("2024-03-01", "-1d", "2024-02-29"),
        ("2024-03-08", "1w", "2024-03-01"), ("2024-03-08", "-24h", "2024-03-07"), ("2024-03-08", "-0d", "2024-03-08"),
    ],
)  # fmt: skip
def test_relative_dates_step_back_one_unit_at_a_time(now: str, filter_: str, limit: str) -> None:
    """Months and years clamp the day at each step, so 31 March minus two months is 28 January."""
    present = dt.datetime.fromisoformat(now).replace(tzinfo=dt.timezone.utc)
    back = dates.relative(filter_)
    assert back is not None
    assert back(present) == dt.datetime.fromisoformat(limit).replace(tzinfo=dt.timezone.utc)


ALL_OPERATORS = sorted({row[0] for row in TRUTH if isinstance(row[0], str)})


@pytest.mark.parametrize("operator", ALL_OPERATORS)
def test_a_missing_property_is_unresolved_for_every_operator(operator: str) -> None:
    """Not knowing a property is no answer, not even for is_set and is_not_set."""
    value = {"semver": "1.2.3", "is_dat": "2024-01-01", "regex": "a"}.get(operator[:6], "5")
    assert judge(operator, value, ABSENT) in (PROPERTY, FILTER)
    if operator in ("is_set", "is_not_set", "exact", "is_not", "gt", "regex", "semver_eq", "is_date_before"):
        assert judge(operator, "2" if operator != "is_date_before" else "2024-01-01", ABSENT) == PROPERTY


@pytest.mark.parametrize("operator", [one for one in ALL_OPERATORS if one not in ("is_set", "is_not_set")])
def test_a_filter_without_value_is_left_to_the_server(operator: str) -> None:
    """A definition that forgot what to compare with gets no local answer."""
    assert judge(operator, ABSENT, "x") == FILTER


anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.datetimes(), st.dates(),
        st.decimals(), st.uuids(), st.builds(object), st.integers(5000, 5001).map(lambda digits: 10**digits), st.sampled_from(["1.2.3", "-1d", "2024-01-01", "("]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.sets(st.integers()),
    max_leaves=5,
)  # fmt: skip


@given(st.sampled_from(ALL_OPERATORS), anything, anything, st.sampled_from([1, 2]))
def test_no_filter_and_no_property_makes_an_operator_fail(
    operator: str, filter_: Any, found: Any, version: int
) -> None:
    """Whatever definitions and applications hold, an operator answers yes, no or unresolved."""
    verdict = compile_test(operator, filter_, version)(found, lambda: NOW)
    assert isinstance(verdict, (bool, Unresolved))


NEGATED = {
    "exact": "is_not", "icontains": "not_icontains", "starts_with": "not_starts_with", "ends_with": "not_ends_with",
}  # fmt: skip


@given(st.sampled_from(sorted(NEGATED)), anything, anything)
def test_a_negated_operator_says_the_opposite(operator: str, filter_: Any, found: Any) -> None:
    """`is_not` and the `not_` operators are exactly the opposite of what they negate."""
    plain = compile_test(operator, filter_, 2)(found, lambda: NOW)
    assert compile_test(NEGATED[operator], filter_, 2)(found, lambda: NOW) is not plain


@given(
    st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(9000, 1, 1)),
    st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)),
)
def test_a_date_means_the_same_as_object_and_as_text(at: dt.datetime, offset: dt.timedelta) -> None:
    """What is sent as ISO text and what stays a datetime are the same point in time."""
    minutes = dt.timedelta(minutes=offset // dt.timedelta(minutes=1))
    aware = at.replace(tzinfo=dt.timezone(minutes))
    assert dates.point(aware.isoformat(), lambda: NOW) == dates.point(aware, lambda: NOW) == aware
    assert dates.point(at.isoformat(), lambda: NOW) == dates.point(at, lambda: NOW)


@given(
    st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)), st.sampled_from(["", "-rc.1", "+b5", ".7"])
)
def test_versions_parse_into_their_numbers(numbers: tuple[int, int, int], tail: str) -> None:
    """Pre-release, build and a fourth number change nothing."""
    assert semver.parse("v" + ".".join(map(str, numbers)) + tail) == numbers


def test_prop_defaults_to_exact() -> None:
    """A filter without operator is `exact`."""
    rules = ruleset(flag("f", condition({"key": "p", "value": "A"})), flag("g", condition(prop("p", "A", None))))
    assert read(rules, "f", person={"p": "a"}) is True
    assert read(rules, "g", person={"p": "a"}) is True
