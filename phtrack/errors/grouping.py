"""
From a snapshot to the facts a fingerprint is made of, cached per site. The recipe itself is `phtrack.fingerprint`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phtrack.fingerprint import ExceptionFacts, Fingerprint, FrameFacts, FramePart, explicit, fingerprint, frame_part
from phtrack.frames import location, statement

if TYPE_CHECKING:
    from phtrack.frames.site import Site
    from phtrack.frames.snapshot import Picture, Snapshot
    from phtrack.scrub import Scrubber

__all__ = ["explicit", "fingerprint_of"]


def fingerprint_of(snapshot: Snapshot, scrubber: Scrubber) -> Fingerprint:
    """The fingerprint of an event, and the parts that made it. Texts are scrubbed before they become part of it."""
    return fingerprint([_exception(picture, scrubber) for picture in snapshot.pictures])


def _exception(picture: Picture, scrubber: Scrubber) -> ExceptionFacts:
    link = picture.link
    folded = []
    for index, level in enumerate(picture.levels):
        if level.repeats:
            # The cycle ends at this level; it ran once before it, once after it, and `repeats` times in between.
            folded.append((index - level.cycle + 1, level.cycle, level.repeats + 2))
    return ExceptionFacts(
        type=link.type,
        message=scrubber.text(link.text),
        frames=[_part(level.site, bool(level.in_app)) for level in picture.levels],
        relation=link.relation,  # type: ignore[arg-type]
        parent=link.parent,
        is_group=picture.is_group,
        folded=folded,
    )


def _part(site: Site, in_app: bool) -> FramePart:
    cached = site.grouping
    if cached is not None and cached[0] is in_app:
        part: FramePart = cached[1]
        return part
    found = statement.statement_of(site) if in_app else None
    part = frame_part(
        FrameFacts(
            in_app=in_app,
            file=location.filename_of(site),
            function=site.code.co_name,
            qualname=statement.qualname_of(site),
            module=site.module,
            statement=found.node if found is not None else None,
            scope=found.function if found is not None else None,
            expression=found.expression_node if found is not None else None,
            freevars=site.code.co_freevars,
        )
    )
    site.grouping = (in_app, part)
    return part
