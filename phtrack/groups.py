"""
Persons and groups: `set`, `set_once`, `alias`, `group_identify`. Rules: wire contract, capture.md §10.

Each returns the event, or None when there is nothing to send; the client sends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phtrack import _guard, context
from phtrack import event as facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phtrack.pipeline import Pipeline


def person_event(
    pipeline: Pipeline,
    name: str,
    properties: Mapping[str, Any] | None,
    *,
    distinct_id: Any = None,
    timestamp: Any = None,
    uuid: Any = None,
    disable_geoip: bool | None = None,
) -> dict[str, Any] | None:
    """The `$set` or `$set_once` event: the caller's properties and nothing else become the person's."""
    who = facts.distinct_id_text(distinct_id) or context.get_context_distinct_id()
    if who is None or not properties:
        return None
    return pipeline.special(
        name,
        who,
        properties={},
        top={name: dict(properties)},
        timestamp=timestamp,
        uuid=uuid,
        disable_geoip=disable_geoip,
    )


def alias_event(
    pipeline: Pipeline,
    previous_id: Any,
    distinct_id: Any,
    *,
    timestamp: Any = None,
    uuid: Any = None,
    disable_geoip: bool | None = None,
) -> dict[str, Any] | None:
    """`$create_alias`: from now on *distinct_id* and *previous_id* are one person."""
    previous = facts.distinct_id_text(previous_id)
    new = facts.distinct_id_text(distinct_id) or context.get_context_distinct_id()
    if previous is None or new is None:
        _guard.say("warning", "alias() needs a previous_id and a distinct_id; nothing was sent", every=60)
        return None
    return pipeline.special(
        "$create_alias",
        previous,
        properties={"distinct_id": previous, "alias": new},
        timestamp=timestamp,
        uuid=uuid,
        disable_geoip=disable_geoip,
        session=True,
    )


def group_event(
    pipeline: Pipeline,
    group_type: Any,
    group_key: Any,
    properties: Mapping[str, Any] | None,
    *,
    distinct_id: Any = None,
    timestamp: Any = None,
    uuid: Any = None,
    disable_geoip: bool | None = None,
) -> dict[str, Any] | None:
    """`$groupidentify`. Without an id it belongs to `$<type>_<key>`, so that no person is made up for it."""
    kind, key = facts.distinct_id_text(group_type), facts.distinct_id_text(group_key)
    if kind is None or key is None:
        _guard.say("warning", "group_identify() needs a group_type and a group_key; nothing was sent", every=60)
        return None
    who = facts.distinct_id_text(distinct_id) or context.get_context_distinct_id() or f"${kind}_{key}"[:200]
    return pipeline.special(
        "$groupidentify",
        who,
        properties={"$group_type": kind, "$group_key": key, "$group_set": dict(properties or {})},
        timestamp=timestamp,
        uuid=uuid,
        disable_geoip=disable_geoip,
        session=True,
    )
