"""
The operators of property filters, compiled once.

    filter {"key", "operator", "value"} -> test(value, now) -> True | False | Unresolved

A test gets the property's value as the application gave it and never raises. A property that is missing is the caller's
affair: it is unresolved for every operator. A filter that makes no sense compiles into a test that is always unresolved.
Rules and truth table: wire contract, flags.md §8.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from phtrack.encode import clean
from phtrack.flags import dates, patterns, semver
from phtrack.flags.text import folded, means_bool, text, truthy
from phtrack.flags.verdicts import MISSING, UNSUPPORTED, Unresolved

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

Verdict = bool | Unresolved
Now = "Callable[[], datetime]"
"""The time in UTC of this evaluation; asked for only by filters that need it."""
Test = "Callable[[Any, Now], Verdict]"

ABSENT: Any = object()
"""Stands for a filter without a value."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def compile_test(operator: Any, value: Any, version: int) -> Callable[[Any, Callable[[], datetime]], Verdict]:
    """
    The test for *operator* with the filter's *value*.

    Args:
        operator: None means ``exact``.
        value: `ABSENT` if the filter has none.
        version: The definitions' ``property_matching_version``; other than 2 brings the old rules for yes and no.
    """
    if operator is None:
        operator = "exact"
    if not isinstance(operator, str):
        return always(UNSUPPORTED)
    if operator == "is_set":
        return always(True)
    if operator == "is_not_set":
        return always(False)
    if value is ABSENT:
        return always(UNSUPPORTED)
    compiler = _COMPILERS.get(operator)
    test: Callable[[Any, Callable[[], datetime]], Verdict] = always(UNSUPPORTED)
    if compiler is not None:
        test = compiler(operator, value, version)
    elif operator in semver.OPERATORS:
        test = _semver(operator, value)
    return test


def always(verdict: Verdict) -> Callable[[Any, Any], Verdict]:
    """A test with one answer. `verdict` of the returned function is that answer."""

    def test(_: Any, __: Any) -> Verdict:
        return verdict

    test.verdict = verdict  # type: ignore[attr-defined]
    return test


# --- equality ------------------------------------------------------------------------------------------------------


def _exact(operator: str, value: Any, version: int) -> Any:
    wanted_answer = operator == "exact"
    if type(value) is list and not value:
        return _answers(wanted_answer)
    if version != 2 and means_bool(value):
        return _answers(truthy(value) is wanted_answer)
    elements = value if type(value) is list else [value]
    wanted = frozenset(text(one).lower() for one in elements)

    def exact(found: Any, _: Any) -> bool:
        return (found if type(found) is str else text(found)).lower() in wanted

    def is_not(found: Any, _: Any) -> bool:
        return (found if type(found) is str else text(found)).lower() not in wanted

    exact.wanted = wanted  # type: ignore[attr-defined]
    return exact if wanted_answer else is_not


def _answers(wanted: bool) -> Any:
    def test(found: Any, _: Any) -> bool:
        return truthy(found) is wanted

    return test


# --- text ----------------------------------------------------------------------------------------------------------


def _textual(operator: str, value: Any, _: int) -> Any:
    part = folded(value)
    negated = operator.startswith("not_")
    how = operator[4:] if negated else operator

    def icontains(found: Any, _: Any) -> bool:
        return (part in folded(found)) is not negated

    def starts_with(found: Any, _: Any) -> bool:
        return folded(found).startswith(part) is not negated

    def ends_with(found: Any, _: Any) -> bool:
        return folded(found).endswith(part) is not negated

    return {"icontains": icontains, "starts_with": starts_with, "ends_with": ends_with}[how]


def _regex(operator: str, value: Any, _: int) -> Any:
    find = patterns.compile_pattern(text(value))
    if find == patterns.INVALID:
        return always(False)
    if isinstance(find, str):
        return always(UNSUPPORTED)
    wanted = operator == "regex"

    def test(found: Any, _: Any) -> Verdict:
        seen = find(found if type(found) is str else text(found))
        return MISSING if seen is None else seen is wanted

    return test


# --- numbers -------------------------------------------------------------------------------------------------------


def number(value: Any) -> float | None:
    """*value* as a finite float: numbers and text that is wholly a plain number; not bools. None for all else."""
    kind = type(value)
    if kind is not int and kind is not float and kind is not str:
        value = clean(value)
        kind = type(value)
    if kind is str:
        if _NUMBER.fullmatch(value) is None:
            return None
    elif kind is not int and kind is not float:
        return None
    try:
        converted = float(value)
    except (OverflowError, ValueError):
        return None
    return converted if math.isfinite(converted) else None


def _numeric(operator: str, value: Any, _: int) -> Any:
    wanted = number(value)
    if wanted is None:
        return always(UNSUPPORTED)
    limit = wanted

    def gt(found: Any, _: Any) -> bool:
        had = number(found)
        return had is not None and had > limit

    def gte(found: Any, _: Any) -> bool:
        had = number(found)
        return had is not None and had >= limit

    def lt(found: Any, _: Any) -> bool:
        had = number(found)
        return had is not None and had < limit

    def lte(found: Any, _: Any) -> bool:
        had = number(found)
        return had is not None and had <= limit

    return {"gt": gt, "gte": gte, "lt": lt, "lte": lte}[operator]


# --- dates and versions --------------------------------------------------------------------------------------------


def _date(operator: str, value: Any, _: int) -> Any:
    words = text(value)
    ago = dates.relative(words)
    fixed = None
    if ago is None and len(words) != 4:
        fixed = dates.point(words, _no_time)
        if fixed is None:
            return always(UNSUPPORTED)
    before = operator == "is_date_before"

    def test(found: Any, now: Any) -> Verdict:
        if found is None:
            return False
        limit = fixed if fixed is not None else ago(now()) if ago is not None else dates.point(words, now)
        if limit is None:
            return UNSUPPORTED
        at = dates.point(found, now)
        if at is None:
            return MISSING
        return at < limit if before else at > limit

    return test


def _no_time() -> datetime:
    raise AssertionError("a full date needs no present")


def _semver(operator: str, value: Any) -> Any:
    test_version = semver.matcher(operator, text(value))
    if test_version is None:
        return always(UNSUPPORTED)
    check = test_version

    def test(found: Any, _: Any) -> Verdict:
        if found is None:
            return False
        version = semver.parse(found if type(found) is str else text(found))
        return MISSING if version is None else check(version)

    return test


_COMPILERS: dict[str, Any] = {
    "exact": _exact,
    "is_not": _exact,
    **{f"{no}{how}": _textual for no in ("", "not_") for how in ("icontains", "starts_with", "ends_with")},
    "regex": _regex,
    "not_regex": _regex,
    **dict.fromkeys(("gt", "gte", "lt", "lte"), _numeric),
    "is_date_before": _date,
    "is_date_after": _date,
}
