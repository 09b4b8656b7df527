"""
One failure, one event: what a later sighting adds to the event of the first while that still waits.

    Draft + (Report, boundary, event) of the later sighting -> the same Draft, richer
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phtrack import encode
from phtrack.errors.pending import splice

if TYPE_CHECKING:
    from phtrack.errors.boundary import Boundary
    from phtrack.errors.pending import Draft
    from phtrack.errors.report import Report
    from phtrack.frames.snapshot import Snapshot

MAX_MERGED = 20
"""Kinds of later sightings that are told."""


def enriched(draft: Draft, later: Report, boundary: Boundary, event: dict[str, Any]) -> None:
    """
    Let *draft* learn what the *later* sighting knows: an outer wrapper, the boundary it escaped at, who it was, properties.

    Args:
        event: The event that the later sighting would have been, without `$exception...` properties.
    """
    before = draft.report
    _note_merged(before, later.snapshot.pictures[0].link.type, boundary.source or "manual")
    if boundary.handled is False and before.boundary.handled is not False:
        before.boundary = boundary
    if _says_more(later.snapshot, before.snapshot):
        before.snapshot = later.snapshot
    before.scrub_properties = before.scrub_properties or later.scrub_properties
    if before.fingerprint is None:
        before.fingerprint = later.fingerprint
    if len(later.steps) > len(before.steps) and before.steps:
        before.steps = later.steps
    _identify(draft, event)
    _add_properties(draft, event["properties"])


def _note_merged(report: Report, kind: str, source: str) -> None:
    """Note that the failure was seen again, as an exception of type *kind*: sightings of one kind are one entry."""
    for one in report.merged:
        if one["type"] == kind and one["source"] == source:
            one["count"] = one.get("count", 1) + 1
            return
    if len(report.merged) < MAX_MERGED:
        report.merged.append({"type": kind, "source": source})


def _says_more(new: Snapshot, old: Snapshot) -> bool:
    """True if *new* has more exceptions, or a longer stack of the same ones."""
    if len(new.pictures) != len(old.pictures):
        return len(new.pictures) > len(old.pictures)
    return len(new.pictures[0].levels) > len(old.pictures[0].levels)


def _identify(draft: Draft, fresh: dict[str, Any]) -> None:
    """Give a personless draft the user whom the later sighting knows."""
    if "$process_person_profile" in fresh["properties"]:
        return
    event = encode.loads(draft.event)
    properties = event.pop("properties")
    if properties.get("$process_person_profile") is False:
        del properties["$process_person_profile"]
        event["distinct_id"] = fresh["distinct_id"]
        draft.event = encode.dumps({**event, "properties": properties})


def _add_properties(draft: Draft, properties: dict[str, Any]) -> None:
    """Fill properties that the event does not have yet."""
    known = encode.loads(draft.event)["properties"]
    fresh = {key: value for key, value in properties.items() if key not in known}
    draft.event = splice(draft.event, encode.dumps(fresh))
