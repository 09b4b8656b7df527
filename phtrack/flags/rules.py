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
from typing import TYPE_CHECKING, Any, NamedTuple

from phtrack.flags.hashing import digest, sha1
from phtrack.flags.verdicts import MISSING, UNSUPPORTED, Unresolved, worst

if TYPE_CHECKING:
    from collections.abc import Callable

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
        person: The person's properties; filters find ``distinct_id`` even if it isn't among them. Not changed, not copied.
        groups: Group type -> key.
        group_properties: Group type -> properties of that group; ``$group_key`` is added likewise, for all types in *groups*.
        device_id: The device, for flags that are bucketed by it.
        now: The present in UTC; asked for at most once.
    """

    # A run is made for every read, and most need none of these: they stay in the class until they are set.
    device_id: str | None = None
    person: Properties = _NOTHING
    groups: Mapping[str, str] = _NOTHING
    group_properties: Mapping[str, Properties] = _NOTHING
    _clock: Callable[[], dt.datetime] | None = None
    _today: dt.datetime | None = None
    _grouped: dict[str, tuple[bytes, Properties]] | None = None
    values: dict[str, Value | Unresolved | None] | None = None
    """Flags evaluated for a dependency; None while one is being evaluated."""
    memo: dict[Any, Verdict] | None = None
    """(a filter's check, id of the property map) -> its verdict, where looking is quicker than finding out again."""

    def __init__(
        self,
        flags: Mapping[str, Flag],
        distinct_id: str,
        person: Properties | None = None,
        groups: Mapping[str, str] | None = None,
        group_properties: Mapping[str, Properties] | None = None,
        device_id: str | None = None,
        *,
        now: Callable[[], dt.datetime] | None = None,
    ) -> None:
        self.flags = flags
        self.distinct_id = distinct_id
        self.ident = distinct_id.encode("utf-8", "replace")
        if device_id is not None:
            self.device_id = device_id
        if person:
            self.person = person
        if groups:
            self.groups = groups
        if group_properties:
            self.group_properties = group_properties
        if now is not None:
            self._clock = now

    def now(self) -> dt.datetime:
        """The present in UTC, the same for the whole run."""
        if self._today is None:
            self._today = self._clock() if self._clock is not None else dt.datetime.now(dt.timezone.utc)
        return self._today

    def group(self, kind: str) -> tuple[bytes, Properties] | None:
        """The key (as bytes) and the properties of the group of *kind*, or None if it was not given."""
        if self._grouped is None:
            self._grouped = {}
        known = self._grouped.get(kind)
        if known is not None:
            return known
        key = self.groups.get(kind)
        if key is None:
            return None
        properties = {"$group_key": key, **(self.group_properties.get(kind) or _NOTHING)}
        found = self._grouped[kind] = (key.encode("utf-8", "replace"), properties)
        return found


class Condition(NamedTuple):
    """One entry of ``filters.groups``: filters that must all match, then a share of those they match."""

    checks: tuple[Any, ...]
    """Functions of (properties, run) -> verdict, one per filter."""
    limit: bytes | None
    """The digests within the rollout; None is everybody, empty bytes nobody."""
    scope: str | Unresolved | None
    """The group type to look at instead of the flag's own subject; `Unresolved` if it can't be told."""
    variant: str | None
    """The variant that everybody who matches gets; None leaves it to the hash."""


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
        properties: Properties
        if self.scope is None:
            properties = run.person
            if not self.by_device:
                ident = run.ident
            elif run.device_id is not None:
                ident = run.device_id.encode("utf-8", "replace")
            else:
                return MISSING
        else:
            if not isinstance(self.scope, str):
                return self.scope
            group = run.group(self.scope)
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

    def _by_conditions(self, run: Run, own_properties: Properties, own_ident: bytes) -> Value | Unresolved:
        """The first condition that matches. What is unknown is remembered; a definite no goes before it."""
        hashed: bytes | None = None
        pending: Unresolved | None = None
        for checks, limit, scope, variant in self.conditions:
            properties, ident = own_properties, own_ident
            unknown: Unresolved | None = None
            if scope is not None:
                group = run.group(scope) if isinstance(scope, str) else None
                if group is not None:
                    ident, properties = group
                elif isinstance(scope, str):
                    continue
                else:
                    unknown, checks = scope, ()
            for check in checks:
                verdict = check(properties, run)
                if verdict is not True:
                    if verdict is False:
                        break
                    if unknown is None:
                        unknown = verdict
            else:
                if unknown is not None:
                    if unknown.needs_server:
                        return unknown
                    pending = worst(pending, unknown)
                    continue
                if limit is not None:
                    if scope is not None:
                        within = sha1(self.prefix + ident).digest() <= limit
                    else:
                        if hashed is None:
                            hashed = sha1(self.prefix + ident).digest()
                        within = hashed <= limit
                    if not within:
                        if self.early_exit:
                            break
                        continue
                return variant or (self._variant(ident) if self.variant_keys else True)
        return False if pending is None else pending

    def _variant(self, ident: bytes) -> Value:
        """The variant whose stretch the hash falls into; plain True in a gap."""
        index = bisect_left(self.variant_limits, digest(self.prefix + ident + b"variant"))
        return self.variant_keys[index] if index < len(self.variant_keys) else True

    def payload(self, value: Value) -> Any:
        """The payload that belongs to *value*, as it stands in the definition; None if there is none."""
        return self.payloads.get(value if type(value) is str else "true" if value else "false")
