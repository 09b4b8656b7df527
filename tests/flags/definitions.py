"""Shorthand for flag definitions as the server sends them."""

from __future__ import annotations

from typing import Any

from phtrack.flags.rules import Value
from phtrack.flags.ruleset import Ruleset
from phtrack.flags.verdicts import Unresolved


def prop(key: str, value: Any = None, operator: str | None = "exact", **more: Any) -> dict[str, Any]:
    """A property filter."""
    return {"key": key, "value": value, "operator": operator, "type": "person", **more}


def cohort(name: Any, **more: Any) -> dict[str, Any]:
    """A filter on membership of a cohort."""
    return {"key": "id", "type": "cohort", "value": name, **more}


def dependency(name: str, value: Any = True, **more: Any) -> dict[str, Any]:
    """A filter on the value of another flag."""
    return {
        "key": name, "type": "flag", "operator": "flag_evaluates_to", "value": value, "dependency_chain": [name],
    } | more  # fmt: skip


def condition(*filters: Any, rollout: Any = 100, **more: Any) -> dict[str, Any]:
    """One entry of ``filters.groups``."""
    return {"properties": list(filters), "rollout_percentage": rollout, **more}


def variants(**shares: float) -> dict[str, Any]:
    """A ``multivariate`` with these shares, in this order."""
    return {"variants": [{"key": key, "rollout_percentage": share} for key, share in shares.items()]}


def flag(key: str, *conditions: Any, filters: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A definition; without conditions it has one that matches everybody."""
    groups = list(conditions) if conditions else [condition()]
    return {"id": 1, "key": key, "active": True, "filters": {"groups": groups, **(filters or {})}, **more}


def ruleset(*flags: Any, **more: Any) -> Ruleset:
    """The compiled definitions, with two group types."""
    return Ruleset({"flags": list(flags), "group_type_mapping": {"0": "company", "1": "team"}, "cohorts": {}, **more})


def read(rules: Ruleset, key: str, distinct_id: str = "u1", **about: Any) -> Value | str:
    """The flag's value, or ``"?reason"`` if it is unresolved."""
    value = rules.flags[key].evaluate(rules.run(distinct_id, **about))
    return f"?{value.reason.value}" if isinstance(value, Unresolved) else value
