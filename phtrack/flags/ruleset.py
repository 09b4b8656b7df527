"""
Definitions, as they come from the server, into compiled flags.

    {"flags", "group_type_mapping", "cohorts", ...} -> compile_ruleset -> Ruleset

Whatever is odd in a definition costs that flag its local value (`UNSUPPORTED`), never the others, and never raises. Rules: wire
contract, flags.md §5, §7.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from phtrack import _guard, encode
from phtrack.flags import operators
from phtrack.flags.hashing import bound, digest
from phtrack.flags.operators import ABSENT
from phtrack.flags.rules import Condition, Flag, Properties, Run, Value, Verdict
from phtrack.flags.semver import OPERATORS
from phtrack.flags.text import text
from phtrack.flags.verdicts import CONTINUITY, DEPENDENCY, MISSING, SERVER, UNSUPPORTED, Unresolved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_NOTHING: dict[str, Any] = {}


class Ruleset:
    """All definitions of one load, compiled. Never changes: whoever started with it finishes with it."""

    def __init__(self, data: Mapping[str, Any], *, etag: str | None = None) -> None:
        self.data = data
        """The definitions as they came: ``flags``, ``group_type_mapping``, ``cohorts``, and the two settings."""
        self.etag = etag
        self._version: str | None = None
        self.minimal_events = data.get("minimal_flag_called_events") is True
        self.flags: dict[str, Flag] = {}
        compiler = _Compiler(data)
        for definition in _list(data.get("flags")):
            flag = compiler.flag(definition)
            if flag is not None:
                self.flags[flag.key] = flag

    @property
    def version(self) -> str:
        """What tells these definitions from others: the server's ETag, else a hash of what they say."""
        if self.etag is not None:
            return self.etag
        if self._version is None:
            self._version = digest(encode.dumps(self.data)).hex()
        return self._version

    def run(self, distinct_id: str, **about: Any) -> Run:
        """A `Run` over these flags."""
        return Run(self.flags, distinct_id, **about)

    def evaluate(self, run: Run, keys: Sequence[str] | None = None) -> tuple[dict[str, Value], dict[str, Unresolved]]:
        """The flags of *keys* that are defined (None: all): those with a value, and those without with the reason."""
        values: dict[str, Value] = {}
        unresolved: dict[str, Unresolved] = {}
        flags = self.flags.values() if keys is None else [self.flags[key] for key in keys if key in self.flags]
        for flag in flags:
            value = run.values.get(flag.key) if run.values is not None else None
            if value is None:
                value = flag.evaluate(run)
            if type(value) is Unresolved:
                unresolved[flag.key] = value
            else:
                values[flag.key] = value  # type: ignore[assignment]
        return values, unresolved

    def hopeless(self) -> dict[str, Unresolved]:
        """Flags that can't be resolved locally for anybody, and why; those meant for clients only are left out."""
        found = {}
        for flag in self.flags.values():
            if flag.runtime == "client":
                continue
            reason = _hopeless(flag)
            if reason is not None:
                found[flag.key] = reason
        return found


def _hopeless(flag: Flag) -> Unresolved | None:
    if isinstance(flag.fixed, Unresolved):
        return flag.fixed
    if flag.fixed is None and isinstance(flag.scope, Unresolved):
        return flag.scope
    if flag.enrollment is not None and flag.scope is not None:
        return UNSUPPORTED
    reasons = [_never(condition) for condition in flag.conditions]
    if reasons and all(reason is not None for reason in reasons):
        return min((reason for reason in reasons if reason is not None), key=lambda reason: reason.rank)
    return None


def _never(condition: Condition) -> Unresolved | None:
    """The reason if the condition is unresolved for everybody."""
    if isinstance(condition.scope, Unresolved):
        return condition.scope
    if len(condition.checks) != 1:
        return None
    verdict = getattr(condition.checks[0], "verdict", None)
    return verdict if isinstance(verdict, Unresolved) else None


class _Odd(ValueError):
    """A definition that isn't what it should be."""


class _Compiler:
    """Compiles the flags of one set of definitions; they share cohorts and the names of group types."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._groups = _dict(data.get("group_type_mapping"))
        self._cohorts = _dict(data.get("cohorts"))
        self._compiled_cohorts: dict[str, Any] = {}
        self._compiled_checks: dict[Any, Any] = {}
        version = data.get("property_matching_version")
        self._version = 2 if type(version) is int and version == 2 else 1

    def flag(self, definition: Any) -> Flag | None:
        """The compiled *definition*; None if it doesn't even have a key."""
        key = definition.get("key") if isinstance(definition, Mapping) else None
        if not isinstance(key, str):
            _guard.once("warning", "a flag definition without a key was left out")
            return None
        flag = Flag(key)
        flag.id, flag.version = definition.get("id"), definition.get("version")
        experiment = definition.get("has_experiment")
        flag.has_experiment = experiment if isinstance(experiment, bool) else None
        name = definition.get("name")
        flag.name = name if isinstance(name, str) else ""
        runtime = definition.get("evaluation_runtime")
        flag.runtime = runtime if isinstance(runtime, str) else None
        try:
            filters = _dict(definition.get("filters"))
            flag.payloads = _dict(filters.get("payloads"))
            flag.fixed = _fixed(definition, filters)
            if flag.fixed is None:
                self._fill(flag, definition, filters)
        except (_Odd, RecursionError, TypeError, OverflowError):
            flag.fixed = UNSUPPORTED
        return flag

    def _fill(self, flag: Flag, definition: Mapping[str, Any], filters: Mapping[str, Any]) -> None:
        index = filters.get("aggregation_group_type_index")
        flag.scope = None if index is None else self._group_type(index)
        bucketing = definition.get("bucketing_identifier")
        if bucketing not in (None, "", "distinct_id", "device_id"):
            raise _Odd
        flag.by_device = bucketing == "device_id"
        if filters.get("feature_enrollment") is True:
            flag.enrollment = f"$feature_enrollment/{flag.key}"
        _set_holdout(flag, filters.get("holdout"))
        _set_variants(flag, filters.get("multivariate"))
        flag.early_exit = filters.get("early_exit") is True
        flag.conditions = tuple(self._condition(one, index, flag) for one in _list(filters.get("groups")))

    def _group_type(self, index: Any) -> str | Unresolved:
        name = self._groups.get(str(index)) if type(index) is int or type(index) is str else None
        return name if isinstance(name, str) else UNSUPPORTED

    def _condition(self, one: Any, flag_index: Any, flag: Flag) -> Condition:
        if not isinstance(one, Mapping):
            raise _Odd
        own = one.get("aggregation_group_type_index")
        scope = None if own is None or own == flag_index else self._group_type(own)
        percentage = one.get("rollout_percentage")
        limit = None if percentage is None else bound(_number(percentage) / 100)
        variant = one.get("variant")
        return Condition(
            tuple(self._check(filter_) for filter_ in _list(one.get("properties"))),
            limit,
            scope,
            variant if isinstance(variant, str) and variant in flag.variant_keys else None,
        )

    # --- filters ---------------------------------------------------------------------------------------------------

    def _check(self, filter_: Any, *, in_cohort: bool = False) -> Any:
        if not isinstance(filter_, Mapping):
            raise _Odd
        kind = filter_.get("type")
        negated = filter_.get("negation")
        if negated and not in_cohort:
            return _always(UNSUPPORTED)
        if kind == "cohort":
            check = self._cohort_check(filter_)
        elif kind == "flag":
            check = self._dependency(filter_)
        elif kind in (None, "person", "group"):
            check = self._property(filter_)
        else:
            check = _always(SERVER if in_cohort else UNSUPPORTED)
        return _negate(check) if negated is True else check

    def _property(self, filter_: Mapping[str, Any]) -> Any:
        key = filter_.get("key")
        if not isinstance(key, str):
            return _always(UNSUPPORTED)
        test = operators.compile_test(filter_.get("operator"), filter_.get("value", ABSENT), self._version)
        if getattr(test, "verdict", None) is UNSUPPORTED:
            return _always(UNSUPPORTED)

        wanted = getattr(test, "wanted", None)
        if key == "distinct_id":
            return _distinct_id_check(test)
        if wanted is not None:
            return _text_check(key, wanted)
        check = _check_of(key, test)
        operator = filter_.get("operator")
        return self._shared(check, (key, operator, repr(filter_["value"]))) if operator in _COSTLY else check

    def _shared(self, check: Any, place: Any) -> Any:
        """One check for all equal filters, which finds out once per run and property map."""
        shared = self._compiled_checks.get(place)
        if shared is None:
            shared = self._compiled_checks[place] = _remembering(check)
        return shared

    def _cohort_check(self, filter_: Mapping[str, Any]) -> Any:
        operator = filter_.get("operator")
        if operator not in (None, "exact", "in", "not_in"):
            return _always(UNSUPPORTED)
        name = filter_.get("value")
        if isinstance(name, bool) or not isinstance(name, (int, str)):
            return _always(SERVER)
        member = self._cohort(str(name))
        return _negate(member) if operator == "not_in" else member

    def _cohort(self, name: str) -> Any:
        """The check for membership of cohort *name*, compiled once; a cohort that contains itself is the server's."""
        known = self._compiled_cohorts.get(name)
        if known is not None:
            return known
        if name not in self._cohorts:
            return _always(SERVER)
        self._compiled_cohorts[name] = _always(SERVER)
        try:
            members = self._cohort_group(self._cohorts[name])
        except _Odd:
            members = _always(SERVER)

        check = members if hasattr(members, "verdict") else _remembering(members)
        self._compiled_cohorts[name] = check
        return check

    def _cohort_group(self, group: Any) -> Any:
        if not isinstance(group, Mapping):
            raise _Odd
        if not group:
            return _always(True)
        values, kind = group.get("values"), group.get("type")
        if not isinstance(values, list) or kind not in ("AND", "OR") or group.get("negation"):
            raise _Odd
        if not values:
            return _always(True)
        parts = [
            self._cohort_group(one)
            if isinstance(one, Mapping) and "values" in one
            else self._check(one, in_cohort=True)
            for one in values
        ]
        return _combine(parts, decisive=kind == "OR")

    def _dependency(self, filter_: Mapping[str, Any]) -> Any:
        key, expected = filter_.get("key"), filter_.get("value")
        if filter_.get("operator") != "flag_evaluates_to" or not isinstance(key, str) or expected is None:
            _guard.once("warning", "a flag dependency without operator flag_evaluates_to, key or value matches nobody")
            return _always(False)
        chain = filter_.get("dependency_chain")
        if not isinstance(chain, list) or not chain or not all(isinstance(one, str) for one in chain):
            return _always(DEPENDENCY)
        order = (*chain, key) if key not in chain else tuple(chain)

        def check(_: Properties, run: Run) -> Verdict:
            actual: Any = None
            for member in order:
                value = _value_in(run, member)
                if isinstance(value, Unresolved):
                    return DEPENDENCY
                if member == key:
                    actual = value
            if type(actual) is str:
                return expected is True or (type(expected) is str and actual == expected)
            return actual is expected

        return check


_COSTLY = frozenset({"regex", "not_regex", "is_date_before", "is_date_after", *OPERATORS})
"""Operators that take longer than a look into a dict."""


def _check_of(key: str, test: Any) -> Any:
    """The check that *test* makes of property *key*; a missing one is unresolved for every operator."""

    def check(properties: Properties, run: Run) -> Verdict:
        found = properties.get(key, ABSENT)
        if found is ABSENT:
            return MISSING
        return test(found, run.now)  # type: ignore[no-any-return]

    return check


def _text_check(key: str, wanted: frozenset[str]) -> Any:
    """The most frequent filter, ``exact`` on text, in one call instead of two."""

    def check(properties: Properties, run: Run) -> Verdict:
        found = properties.get(key, ABSENT)
        if type(found) is str:
            return found.lower() in wanted
        if found is ABSENT:
            return MISSING
        return text(found).lower() in wanted

    return check


def _distinct_id_check(test: Any) -> Any:
    """A filter on ``distinct_id``, which every person has."""

    def check(properties: Properties, run: Run) -> Verdict:
        found = properties.get("distinct_id", ABSENT)
        if found is ABSENT:
            if properties is not run.person:
                return MISSING
            found = run.distinct_id
        return test(found, run.now)  # type: ignore[no-any-return]

    return check


def _remembering(check: Any) -> Any:
    """*check*, asked once per run and property map."""

    def remembering(properties: Properties, run: Run) -> Verdict:
        memo = run.memo
        if memo is None:
            memo = run.memo = {}
        place = (check, id(properties))
        verdict = memo.get(place)
        if verdict is None:
            verdict = memo[place] = check(properties, run)
        return verdict

    return remembering


def _value_in(run: Run, key: str) -> Value | Unresolved:
    """Flag *key* in this run, evaluated once. A flag that depends on itself, or is not there, is unresolved."""
    values = run.values
    if values is None:
        values = run.values = {}
    if key in values:
        known = values[key]
        return DEPENDENCY if known is None else known
    flag = run.flags.get(key)
    values[key] = None
    value = values[key] = DEPENDENCY if flag is None else flag.evaluate(run)
    return value


def _always(verdict: Verdict) -> Callable[[Any, Any], Verdict]:
    return operators.always(verdict)


def _negate(check: Any) -> Any:
    verdict = getattr(check, "verdict", None)
    if verdict is not None:
        return _always(not verdict if isinstance(verdict, bool) else verdict)

    def negated(properties: Properties, run: Run) -> Verdict:
        verdict = check(properties, run)
        return not verdict if isinstance(verdict, bool) else verdict

    return negated


def _combine(parts: list[Callable[[Any, Any], Verdict]], *, decisive: bool) -> Any:
    """Any of *parts* (*decisive* True) or all of them (False); a decisive answer wins over unresolved ones."""
    if len(parts) == 1:
        return parts[0]

    def check(properties: Properties, run: Run) -> Verdict:
        blocked: Unresolved | None = None
        for part in parts:
            verdict = part(properties, run)
            if verdict is decisive:
                return decisive
            if isinstance(verdict, Unresolved) and (blocked is None or verdict.needs_server):
                blocked = verdict
        return not decisive if blocked is None else blocked

    return check


# --- parts of a definition -----------------------------------------------------------------------------------------


def _fixed(definition: Mapping[str, Any], filters: Mapping[str, Any]) -> bool | Unresolved | None:
    if not definition.get("active"):
        return False
    if definition.get("ensure_experience_continuity"):
        return CONTINUITY
    if filters.get("super_groups") or filters.get("holdout_groups"):
        return UNSUPPORTED
    return None


def _set_holdout(flag: Flag, holdout: Any) -> None:
    if holdout is None:
        return
    if not isinstance(holdout, Mapping):
        raise _Odd
    name, percentage = holdout.get("id"), holdout.get("exclusion_percentage")
    if name is None or percentage is None:
        return
    if isinstance(percentage, str):
        percentage = operators.number(percentage)
    share = min(max(_number(percentage), 0.0), 100.0)
    flag.holdout = None if share >= 100 else bound(share / 100)
    flag.holdout_value = f"holdout-{name}"


def _set_variants(flag: Flag, multivariate: Any) -> None:
    keys, limits, high = [], [], 0.0
    for variant in _list(_dict(multivariate).get("variants")):
        key = variant.get("key") if isinstance(variant, Mapping) else None
        if not isinstance(key, str):
            raise _Odd
        share = _number(variant.get("rollout_percentage"))
        if share < 0:
            raise _Odd
        high += share / 100
        limit = bound(high, strictly_below=True)
        limits.append(b"\xff" * 20 if limit is None else limit)
        keys.append(key)
    flag.variant_keys, flag.variant_limits = tuple(keys), limits


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise _Odd
    return float(value)


def _dict(value: Any) -> Mapping[str, Any]:
    if value is None:
        return _NOTHING
    if not isinstance(value, Mapping):
        raise _Odd
    return value


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _Odd
    return value
