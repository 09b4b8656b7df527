"""
From a snapshot to what an `$exception` event says; runs behind the door.

    Report -> exception list (scrubbed, encoded) + type, message, level, source, fingerprint, steps -> one JSON object

When that is too large it is made again with less, in the order of the wire contract (exceptions.md §7), and the event says
what was given up. Type, message and the frames around the crash are always kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phtrack import _guard, encode
from phtrack.errors import grouping
from phtrack.frames import packages, values
from phtrack.frames.chain import MAX_TEXT
from phtrack.frames.render import FULL, Detail, FrameRenderer
from phtrack.frames.snapshot import inward_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from phtrack.errors.boundary import Boundary
    from phtrack.errors.throttle import Held
    from phtrack.fingerprint import Fingerprint
    from phtrack.frames.asyncchain import Waiting
    from phtrack.frames.site import Site
    from phtrack.frames.snapshot import Level, Picture, Snapshot
    from phtrack.scrub import Scrubber


@dataclass(slots=True)
class Report:
    """What the capture knows, as plain data."""

    snapshot: Snapshot
    boundary: Boundary
    scrubber: Scrubber
    is_in_app: Callable[[Site], bool]
    roots: Sequence[str] = ()
    """Directories of the project."""
    steps: list[bytes] = field(default_factory=list)
    """Steps, oldest first, each a JSON object."""
    fingerprint: Any = None
    """An explicit one (str or list), or None."""
    compute_fingerprint: bool = True
    """False leaves grouping to the server."""
    held: Held | None = None
    """What the throttle held back before this one."""
    task: str | None = None
    """Name of the asyncio task."""
    awaited_by: list[Waiting] = field(default_factory=list)
    """The tasks that wait for it, the nearest first."""
    scrub_properties: bool = False
    """True if the event's other properties are scrubbed as well."""
    merged: list[dict[str, Any]] = field(default_factory=list)
    """Later sightings of the same failure: boundary source and exception type, and how many of these if several."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of giving up."""

    said: str
    detail: Detail
    entries: int = 1000
    steps: bool = True
    text: int = MAX_TEXT


_BARE = Detail(values=False, library_context=False, app_context=False, max_frames=20)
LADDER = (
    Rung("", FULL),
    Rung("values", Detail(values=False)),
    Rung("context of library frames", Detail(values=False, library_context=False)),
    Rung("all context", Detail(values=False, library_context=False, app_context=False)),
    Rung("middle frames", _BARE),
    Rung("nested exceptions after the 10th", _BARE, entries=10),
    Rung("nested exceptions after the 2nd", _BARE, entries=2),
    Rung("steps", _BARE, entries=2, steps=False),
    Rung("most of the messages", _BARE, entries=1, steps=False, text=1000),
)
"""What is given up, first to last; each rung includes the ones before it."""


class Rendered:
    """The members that an exception's event gets, and how it came out."""

    __slots__ = ("body", "found", "given_up")

    def __init__(self, body: bytes, given_up: list[str], found: list[str]) -> None:
        self.body = body
        """A JSON object."""
        self.given_up = given_up
        """What was left out to fit, in words; empty when nothing was."""
        self.found = found
        """Rules that hid something."""


def render(
    report: Report,
    room: int,
    *,
    ask: Callable[[dict[str, Any]], Any] | None = None,
    found: Iterable[str] = (),
) -> Rendered:
    """
    Everything `$exception...` of the event, in at most *room* bytes if that can be done at all.

    Args:
        ask: The application's own fingerprint function; gets the event's exception properties as a dict.
        found: Rules that have hidden something in the event before.
    """
    found = list(found)
    for picture in report.snapshot.pictures:
        for level in picture.levels:
            if level.in_app is None:
                level.in_app = report.is_in_app(level.site)
    renderer = FrameRenderer(report.is_in_app, report.scrubber)
    shown = _values(report, found)
    texts = [report.scrubber.text(picture.link.value(), found) for picture in report.snapshot.pictures]
    print_ = _fingerprint(report, texts)
    given_up: list[str] = []
    body = b"{}"
    for rung in LADDER:
        if rung.said:
            given_up.append(rung.said)
        body = _object(report, renderer, shown, texts, print_, rung, given_up, found, ask)
        if len(body) <= room:
            break
    return Rendered(body, given_up, sorted(set(found)))


def bare(report: Report) -> Rendered:
    """Type and message alone, for an event that `render` failed on: better than none."""
    found: list[str] = []
    link = report.snapshot.pictures[0].link
    text = report.scrubber.text(link.value(), found)[:1000]
    entry = {"type": link.type, "value": text, "mechanism": _mechanism(report.boundary, 0, report.snapshot.pictures[0])}
    given_up = ["all but type and message: internal error"]
    about = {
        "$exception_type": link.type,
        "$exception_message": text,
        "$exception_list": [entry],
        "phtrack": {"given_up": given_up},
    }
    if report.boundary.level is not None:
        about["$exception_level"] = report.boundary.level
    return Rendered(encode.dumps(about), given_up, found)


def _object(
    report: Report,
    renderer: FrameRenderer,
    shown: dict[int, values.Shown],
    texts: list[str],
    print_: Fingerprint | None,
    rung: Rung,
    given_up: list[str],
    found: list[str],
    ask: Callable[[dict[str, Any]], Any] | None,
) -> bytes:
    listed: list[bytes] = []
    for index, picture in enumerate(report.snapshot.pictures[: rung.entries]):
        listed.append(b"," if listed else b"[")
        _add_entry(listed, report, renderer, shown, index, picture, texts[index], rung)
    listed.append(b"]")
    first = report.snapshot.pictures[0]
    about: dict[str, Any] = {
        "$exception_type": first.link.type,
        "$exception_message": texts[0][: rung.text],
    }
    if report.boundary.level is not None:
        about["$exception_level"] = report.boundary.level
    if report.boundary.source is not None:
        about["$exception_source"] = report.boundary.source
    if ask is not None:
        print_ = _asked(ask, about, b"".join(listed)) or print_
    if print_ is not None:
        about["$exception_fingerprint"] = print_.value
    steps = _scrubbed_steps(report, found) if report.steps and rung.steps else []
    why = _about_the_event(report, print_, given_up, found)
    if why:
        about["phtrack"] = why
    parts = [encode.dumps(about)[:-1], b',"$exception_list":', *listed]
    if steps:
        parts += (b',"$exception_steps":[', b",".join(steps), b"]")
    parts.append(b"}")
    return b"".join(parts)


def _add_entry(
    parts: list[bytes],
    report: Report,
    renderer: FrameRenderer,
    shown: dict[int, values.Shown],
    index: int,
    picture: Picture,
    text: str,
    rung: Rung,
) -> None:
    """Add the pieces of one exception's JSON to *parts*."""
    link = picture.link
    entry: dict[str, Any] = {"type": link.type, "value": text[: rung.text]}
    if link.module is not None:
        entry["module"] = link.module
    if index == 0 and report.snapshot.thread_id is not None:
        entry["thread_id"] = report.snapshot.thread_id
    entry["mechanism"] = _mechanism(report.boundary, index, picture)
    levels = _kept(picture.levels, rung.detail.max_frames)
    body = encode.dumps(entry)
    if not levels:
        parts.append(body)
        return
    parts += (body[:-1], b',"stacktrace":{"type":"raw","frames":')
    mark = b"["
    for level in levels:
        parts.append(mark)
        renderer.add_frame(parts, level, shown.get(id(level)), rung.detail)
        mark = b","
    parts.append(b"]}}")


def _kept(levels: list[Level], limit: int | None) -> list[Level]:
    if limit is None or len(levels) <= limit:
        return levels
    head = limit // 4
    return levels[:head] + levels[head - limit :]


def _mechanism(boundary: Boundary, index: int, picture: Picture) -> dict[str, Any]:
    link = picture.link
    mechanism: dict[str, Any] = {"exception_id": index}
    if index == 0:
        if boundary.mechanism is not None:
            mechanism["type"] = boundary.mechanism
        if boundary.handled is not None:
            mechanism["handled"] = boundary.handled
    else:
        mechanism["parent_id"] = link.parent
        mechanism["type"] = "chained"
        mechanism["source"] = link.relation
    mechanism["synthetic"] = picture.synthetic
    if picture.is_group:
        mechanism["is_exception_group"] = True
    if link.errno is not None:
        mechanism["meta"] = {"errno": {"number": link.errno}}
    return mechanism


def _values(report: Report, found: list[str]) -> dict[int, values.Shown]:
    """id of a level -> its rendered values; the event's budget is spent from each crash frame outward."""
    shown: dict[int, values.Shown] = {}
    renderer = values.ValueRenderer(report.scrubber)
    renderer.look_ahead(
        level.values for picture in report.snapshot.pictures for level in picture.levels if level.values
    )
    for level in inward_first([picture.levels for picture in report.snapshot.pictures]):
        if level.values:
            one = shown[id(level)] = renderer.frame(level.values)
            found += one.rules
    return shown


def _fingerprint(report: Report, texts: list[str]) -> Fingerprint | None:
    if report.fingerprint is not None:
        return grouping.explicit(report.fingerprint)
    if not report.compute_fingerprint:
        return None
    return grouping.fingerprint_of(report.snapshot, texts, report.scrubber, report.roots)


def _asked(ask: Callable[[dict[str, Any]], Any], about: dict[str, Any], listed: bytes) -> Fingerprint | None:
    """The application's own answer; a failing one leaves it to us."""
    try:
        answer = ask({**about, "$exception_list": encode.loads(listed)})
    except Exception as error:
        _guard.say("warning", "the `fingerprinting` function failed: %s", type(error).__name__, every=60)
        return None
    chosen = grouping.usable(answer)
    if chosen is None and answer is not None:
        _guard.say("warning", "the `fingerprinting` function gave no text and no list of texts", every=60)
    return None if chosen is None else grouping.explicit(chosen)


def _about_the_event(
    report: Report, print_: Fingerprint | None, given_up: list[str], found: list[str]
) -> dict[str, Any]:
    """The event's own `phtrack` property: why it is as it is."""
    why: dict[str, Any] = {}
    if print_ is not None:
        why["fingerprint"] = {"rule": print_.rule, "parts": print_.parts}
    versions = packages.versions(
        level.site for picture in report.snapshot.pictures for level in picture.levels if not level.in_app
    )
    if versions:
        why["packages"] = versions
    if report.held is not None:
        why["held_back"] = {"count": report.held.count, "since": report.held.since}
    if report.merged:
        why["merged"] = report.merged
    if report.task:
        why["task"] = report.scrubber.text(report.task, found)  # named by the application, after an address for example
    if report.awaited_by:
        renderer = FrameRenderer(report.is_in_app, report.scrubber)
        why["awaited_by"] = [
            {"task": report.scrubber.text(one.task, found), "frames": [renderer.place(site) for site in one.sites]}
            for one in report.awaited_by
        ]
    if given_up:
        why["given_up"] = given_up
    if found:
        why["scrubbed"] = sorted(set(found))
    hiding = [index for index, picture in enumerate(report.snapshot.pictures) if picture.link.hides_context]
    if hiding:
        why["context_hidden"] = hiding
    omitted = sum(picture.link.omitted for picture in report.snapshot.pictures)
    if omitted:
        why["omitted_exceptions"] = omitted
    return why


def _scrubbed_steps(report: Report, found: list[str]) -> list[bytes]:
    return [encode.dumps(report.scrubber.value(encode.loads(step), found)) for step in report.steps]
