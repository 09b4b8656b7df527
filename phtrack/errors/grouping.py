"""
From a snapshot to the facts a fingerprint is made of, cached per site. The recipe itself is `phtrack.fingerprint`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from phtrack.fingerprint import ExceptionFacts, Fingerprint, FrameFacts, FramePart, explicit, fingerprint, frame_part
from phtrack.frames import location, statement
from phtrack.frames.chain import exact_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phtrack.frames.site import Site
    from phtrack.frames.snapshot import Picture, Snapshot
    from phtrack.scrub import Scrubber

__all__ = ["explicit", "fingerprint_of", "usable"]


def usable(chosen: Any) -> str | list[str] | None:
    """What somebody chose for a fingerprint, if it is one: a text, or a list of texts and numbers, with something in it."""
    kind = type(chosen)
    if issubclass(kind, str):
        text = exact_text(chosen)
        return text if text.strip() else None
    if (kind is list or kind is tuple) and all(issubclass(type(part), str) or type(part) is int for part in chosen):
        parts = [str(part) if type(part) is int else exact_text(part) for part in chosen]
        return parts if any(part.strip() for part in parts) else None
    return None


def fingerprint_of(snapshot: Snapshot, texts: Sequence[str], scrubber: Scrubber, roots: Sequence[str]) -> Fingerprint:
    """
    The fingerprint of an event, and the parts that made it, without secrets.

    Args:
        texts: What each exception says, scrubbed.
        roots: Directories of the project; a file below one is named from there, however its module was started.
    """
    key = _key(snapshot, scrubber, roots)
    known = _known.get(key)
    if known is not None:
        return known
    made = fingerprint(
        [
            # Notes are no part of it: they say what was different this time.
            _exception(picture, scrubber.text(picture.link.text) if picture.link.notes else text, roots)
            for picture, text in zip(snapshot.pictures, texts)
        ]
    )
    hide = scrubber.text if made.rule == "message" else partial(_hidden, scrubber)
    made = replace(made, parts=[hide(part) for part in made.parts])
    if made.rule in _WITHOUT_MESSAGE:
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        _known[key] = made
    return made


_WITHOUT_MESSAGE = frozenset(("site", "guard", "function", "cause", "recursion"))
"""Rules under which no message has a say, so that types and sites settle it."""
_MAX_KNOWN = 512
_known: dict[tuple[object, ...], Fingerprint] = {}


def _key(snapshot: Snapshot, scrubber: Scrubber, roots: Sequence[str]) -> tuple[object, ...]:
    """All that a fingerprint is made from, except the messages."""
    key: list[object] = [scrubber, tuple(roots)]
    for picture in snapshot.pictures:
        link = picture.link
        key += (link.type, link.relation, link.parent, picture.is_group, _is_cut(picture), len(picture.levels))
        for level in picture.levels:
            key += (level.site, level.in_app, level.cut)
    return tuple(key)


@lru_cache(maxsize=1024)
def _hidden(scrubber: Scrubber, part: str) -> str:
    """A part made of source, without secrets. It comes again with each event of its issue."""
    return scrubber.text(part)


def _exception(picture: Picture, text: str, roots: Sequence[str]) -> ExceptionFacts:
    link = picture.link
    folded = []
    for index, level in enumerate(picture.levels):
        cut = level.cut
        if cut is not None and cut.repeats:
            # The cycle ends at this level; it ran once before it, once after it, and `repeats` times in between.
            folded.append((index - cut.cycle + 1, cut.cycle, cut.repeats + 2))
    return ExceptionFacts(
        type=link.type,
        message=text,
        frames=[_part(level.site, bool(level.in_app), roots) for level in picture.levels],
        relation=link.relation,  # type: ignore[arg-type]
        parent=link.parent,
        is_group=picture.is_group,
        is_cut=_is_cut(picture),
        folded=folded,
    )


def _is_cut(picture: Picture) -> bool:
    return picture.link.omitted > 0 and not picture.is_group


def _part(site: Site, in_app: bool, roots: Sequence[str]) -> FramePart:
    cached = site.grouping
    if cached is not None and cached[0] is in_app and cached[1] is roots:
        part: FramePart = cached[2]
        return part
    found = statement.statement_of(site) if in_app else None
    part = frame_part(
        FrameFacts(
            in_app=in_app,
            file=location.below(site, roots) or location.filename_of(site),
            function=site.function,
            qualname=statement.qualname_of(site),
            module=site.module,
            statement=found.node if found is not None else None,
            scope=found.function if found is not None else None,
            expression=found.expression_node if found is not None else None,
            freevars=site.code.co_freevars,
        )
    )
    site.grouping = (in_app, roots, part)
    return part
