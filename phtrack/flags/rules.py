"""
Flags, compiled: what a definition says about a user, without network, clock or state.

    definitions (plain data) -> ruleset.compile -> Flag ...       Flag.evaluate(Run) -> True | False | variant | Unresolved

A `Run` is one user seen by one ruleset; it remembers what flags share (cohorts, dependencies, the time), so use one for all flags of a
call. Everything that can be known from the definition alone is worked out when it is compiled. Rules: wire contract, flags.md §6-§8.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from phtrack.flags.hashing import digest
from phtrack.flags.verdicts import MISSING, UNSUPPORTED, Unresolved, worst

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Value = bool | str
"""What a flag is for somebody: on, off, or the key of a variant."""
Verdict = bool | Unresolved
Properties = Mapping[str, Any]
Check = "Callable[[Properties, Run], Verdict]"
"""One filter of a condition."""

_NOTHING: dict[str, Any] = {}


class Run:
    """
    One evaluation: who is asked about, and what has been found out so far.

    Args:
        flags: Key -> `Flag`, for dependencies.
        distinct_id: The user, as text.
        device_id: The device, for flags that are bucketed by it.
        person: The person's properties; ``distinct_id`` is added if it isn't among them.
        groups: Group type -> key.
        group_properties: Group type -> properties of that group; ``$group_key`` is added likewise, for all types in *groups*.
        now: The present in UTC; asked for at most once.
    """

    __slots__ = (
        "_group_properties", "_grouped", "_now", "_today", "cohorts", "device_id", "distinct_id", "flags", "groups", "ident",
        "person", "values",
    )  # fmt: skip

    def __init__(
        self,
        flags: Mapping[str, Flag],
        distinct_id: str,
        *,
        device_id: str | None = None,
        person: Properties | None = None,
        groups: Mapping[str, str] | None = None,
        group_properties: Mapping[str, Properties] | None = None,
        now: Callable[[], dt.datetime] | None = None,
    ) -> None:
        self.flags = flags
        self.distinct_id = distinct_id
        self.device_id = device_id
        self.ident = distinct_id.encode("utf-8", "replace")
        self.person = {"distinct_id": distinct_id, **person} if person else {"distinct_id": distinct_id}
        self.groups = groups or _NOTHING
        self._group_properties = group_properties or _NOTHING
        self._grouped: dict[str, tuple[bytes, Properties]] = {}
        self._now = now
        self._today: dt.datetime | None = None
        self.values: dict[str, Value | Unresolved | None] = {}
        """Flags evaluated for a dependency; None while one is being evaluated."""
        self.cohorts: dict[tuple[str, int], Verdict] = {}
        """(cohort id, id of the property map) -> member or not."""

    def now(self) -> dt.datetime:
        """The present in UTC, the same for the whole run."""
        if self._today is None:
            self._today = self._now() if self._now is not None else dt.datetime.now(dt.timezone.utc)
        return self._today

    def group(self, kind: str) -> tuple[bytes, Properties] | None:
        """The key (as bytes) and the properties of the group of *kind*, or None if it was not given."""
        known = self._grouped.get(kind)
        if known is not None:
            return known
        key = self.groups.get(kind)
        if key is None:
            return None
        properties = {"$group_key": key, **(self._group_properties.get(kind) or _NOTHING)}
        found = self._grouped[kind] = (key.encode("utf-8", "replace"), properties)
        return found


class Condition:
    """One entry of ``filters.groups``: filters that must all match, then a share of those they match."""

    __slots__ = ("checks", "limit", "scope", "variant")

    def __init__(
        self, checks: Sequence[Any], limit: bytes | None, scope: str | Unresolved | None, variant: str | None
    ) -> None:
        self.checks = tuple(checks)
        self.limit = limit
        """The digests within the rollout; None is everybody, empty bytes nobody."""
        self.scope = scope
        """The group type to look at instead of the flag's own subject; `Unresolved` if it can't be told."""
        self.variant = variant
        """The variant that everybody who matches gets; None leaves it to the hash."""

    def matches(self, properties: Properties, run: Run) -> Verdict:
        """All filters; a definite no wins over an unresolved one, else the first unresolved one is the answer."""
        blocked: Unresolved | None = None
        for check in self.checks:
            verdict = check(properties, run)
            if verdict is True:
                continue
            if verdict is False:
                return False
            if blocked is None:
                blocked = verdict
        return True if blocked is None else blocked


class Flag:
    """A compiled definition. Attributes are read by whoever reports a read; they never change."""

    __slots__ = (
        "by_device", "conditions", "early_exit", "enrollment", "fixed", "has_experiment", "holdout", "holdout_value", "id",
        "key", "name", "payloads", "prefix", "runtime", "scope", "variant_keys", "variant_limits", "version",
    )  # fmt: skip

    def __init__(self, key: str) -> None:
        self.key = key
        self.prefix = f"{key}.".encode("utf-8", "replace")
        self.fixed: bool | Unresolved | None = None
        """The answer for everybody, where there is one: off, or not for us to tell."""
        self.scope: str | Unresolved | None = None
        """The group type the flag is about; None for persons."""
        self.by_device = False
        self.enrollment: str | None = None
        """The person property that decides alone, or None."""
        self.holdout: bytes | None = b""
        """The digests that are held out: empty nobody, None everybody."""
        self.holdout_value = ""
        self.conditions: tuple[Condition, ...] = ()
        self.early_exit = False
        self.variant_keys: tuple[str, ...] = ()
        self.variant_limits: list[bytes] = []
        self.payloads: Mapping[str, Any] = _NOTHING
        self.id: Any = None
        self.version: Any = None
        self.name = ""
        self.has_experiment: bool | None = None
        self.runtime: str | None = None

    def evaluate(self, run: Run) -> Value | Unresolved:
        """What the flag is for the subject of *run*. Never raises."""
        if self.fixed is not None:
            return self.fixed
        scope = self.scope
        properties: Properties
        if scope is None:
            properties = run.person
            if not self.by_device:
                ident = run.ident
            elif run.device_id is not None:
                ident = run.device_id.encode("utf-8", "replace")
            else:
                return MISSING
        else:
            if not isinstance(scope, str):
                return scope
            group = run.group(scope)
            if group is None:
                return MISSING
            ident, properties = group
        if self.enrollment is not None:
            return self._enrolled(properties, self.enrollment)
        if self.holdout != b"" and (self.holdout is None or digest(b"holdout-" + ident) <= self.holdout):
            return self.holdout_value
        return self._by_conditions(run, properties, ident)

    def _enrolled(self, properties: Properties, name: str) -> bool | Unresolved:
        if self.scope is not None:
            return UNSUPPORTED
        if name not in properties:
            return MISSING
        found = properties[name]
        return found is True or (type(found) is str and found == "true")

    def _by_conditions(self, run: Run, properties: Properties, ident: bytes) -> Value | Unresolved:
        hashed: bytes | None = None
        pending: Unresolved | None = None
        for condition in self.conditions:
            if condition.scope is not None:
                verdict, answer = self._in_other_scope(condition, run)
                if verdict is True:
                    return answer
            else:
                verdict = condition.matches(properties, run) if condition.checks else True
                if verdict is True:
                    if condition.limit is not None:
                        if hashed is None:
                            hashed = digest(self.prefix + ident)
                        if hashed > condition.limit:
                            verdict = None
                    if verdict is True:
                        return condition.variant or (self._variant(ident) if self.variant_keys else True)
            if verdict is False:
                continue
            if verdict is None:  # the filters match, the rollout leaves it out
                if self.early_exit:
                    break
                continue
            if verdict.needs_server:
                return verdict
            pending = worst(pending, verdict)
        return False if pending is None else pending

    def _in_other_scope(self, condition: Condition, run: Run) -> tuple[Verdict | None, Value]:
        """The same for a condition about another group: (matches, value); None in place of False if only the rollout said no."""
        if not isinstance(condition.scope, str):
            return condition.scope or False, False
        group = run.group(condition.scope)
        if group is None:
            return False, False
        ident, properties = group
        verdict = condition.matches(properties, run)
        if verdict is not True:
            return verdict, False
        if condition.limit is not None and digest(self.prefix + ident) > condition.limit:
            return None, False
        return True, condition.variant or (self._variant(ident) if self.variant_keys else True)

    def _variant(self, ident: bytes) -> Value:
        """The variant whose stretch the hash falls into; plain True in a gap."""
        index = bisect_left(self.variant_limits, digest(self.prefix + ident + b"variant"))
        return self.variant_keys[index] if index < len(self.variant_keys) else True

    def payload(self, value: Value) -> Any:
        """The payload that belongs to *value*, as it stands in the definition; None if there is none."""
        return self.payloads.get(value if type(value) is str else "true" if value else "false")
