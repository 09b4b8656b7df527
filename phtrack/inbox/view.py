"""
What the page of an issue says about one event, beside its exceptions: facts, steps, tags, properties, why grouped. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from phtrack.inbox.chain import ExceptionView, chain_of
from phtrack.inbox.grouping import tags_of
from phtrack.inbox.incoming import timestamp_of
from phtrack.inbox.stack import Fold, FrameView
from phtrack.inbox.text import as_dict, as_json, as_list, as_text

if TYPE_CHECKING:
    from phtrack.inbox.store import Issue, StoredEvent

_TOLD_ELSEWHERE = frozenset((
    "$exception_list", "$exception_type", "$exception_message", "$exception_level", "$exception_source",
    "$exception_fingerprint", "$exception_steps", "$context_tags", "phtrack",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One breadcrumb."""

    offset: str
    """Time before the exception, e.g. `-1.2 s`; empty when unknown."""
    message: str
    fields: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class EventView:
    """One exception event, ready to be shown."""

    chain: list[ExceptionView]
    not_shown: int
    crash: FrameView | None
    """The frame to look at first."""
    facts: list[tuple[str, str]]
    """What kind of fact, and the fact."""
    steps: list[Step]
    tags: list[tuple[str, str]]
    properties: list[tuple[str, str]]
    grouped: list[tuple[str, str]]
    raw: str


def view_of(event: StoredEvent, issue: Issue) -> EventView:
    """Never raises, whatever the event holds."""
    properties = as_dict(event.body.get("properties"))
    chain, not_shown = chain_of(event.body)
    tags = tags_of(properties)
    rest = {name: value for name, value in properties.items() if name not in _TOLD_ELSEWHERE and name not in tags}
    return EventView(
        chain=chain,
        not_shown=not_shown,
        crash=next((found for found in map(_crash, chain) if found), None),
        facts=_facts(event, issue, properties),
        steps=steps_of(properties, event.timestamp),
        tags=sorted(tags.items()),
        properties=[(as_text(name, 200), as_text(rest[name], 5_000)) for name in sorted(rest, key=_own_first)],
        grouped=_grouped(issue, properties),
        raw=as_json(event.body, indent=2),
    )


def _own_first(name: str) -> tuple[bool, str]:
    return name.startswith("$"), name


def _crash(exception: ExceptionView) -> FrameView | None:
    frames = [frame for frame in exception.stack if not isinstance(frame, Fold)]
    return next((frame for frame in frames if frame.in_app), frames[0] if frames else None)


def _facts(event: StoredEvent, issue: Issue, properties: dict[str, Any]) -> list[tuple[str, str]]:
    root = as_dict(next(iter(as_list(properties.get("$exception_list"))), None))
    handled = as_dict(root.get("mechanism")).get("handled")
    runtime = " ".join(as_text(properties.get(name), 50) for name in ("$python_runtime", "$python_version"))
    system = " ".join(as_text(properties.get(name), 50) for name in ("$os_distro", "$os_version"))
    sdk = " ".join(as_text(properties.get(name), 50) for name in ("$lib", "$lib_version"))
    facts = [
        ("handled", {True: "handled", False: "unhandled"}.get(handled, "") if isinstance(handled, bool) else ""),
        ("level", as_text(properties.get("$exception_level"), 20)),
        ("caught by", as_text(properties.get("$exception_source"), 100)),
        ("environment", as_text(properties.get("environment") or properties.get("$environment"), 100)),
        ("release", as_text(properties.get("release") or properties.get("$release"), 100)),
        ("user", "" if properties.get("$process_person_profile") is False else event.distinct_id),
        ("runtime", runtime.replace("CPython", "Python").strip()),
        ("system", system.strip() or as_text(properties.get("$os"), 50)),
        ("sent by", sdk.strip()),
    ]
    return [(kind, fact) for kind, fact in facts if fact]


def steps_of(properties: dict[str, Any], until: float) -> list[Step]:
    """The breadcrumbs, the newest first: nearest to the crash, as the frames are."""
    steps = []
    for step in as_list(properties.get("$exception_steps")):
        if not isinstance(step, dict):
            continue
        when = timestamp_of(step.get("$timestamp"))
        fields = [
            (as_text(key, 100), as_text(value, 1_000))
            for key, value in step.items()
            if key not in ("$message", "$timestamp")
        ]
        steps.append(Step("" if when is None else _offset(when - until), as_text(step.get("$message"), 2_000), fields))
    return steps[::-1]


def _offset(seconds: float) -> str:
    sign, size = ("-" if seconds < 0 else "+"), abs(seconds)
    if size < 0.0995:
        return f"{sign}{size * 1000:.0f} ms"
    if size < 99.5:
        return f"{sign}{size:.1f} s"
    return f"{sign}{size / 60:.0f} min" if size < 7200 else f"{sign}{size / 3600:.0f} h"


def _grouped(issue: Issue, properties: dict[str, Any]) -> list[tuple[str, str]]:
    if issue.fingerprint:
        rows = [("by", "the fingerprint that the sender gave"), ("fingerprint", issue.fingerprint)]
    else:
        rule = "the type and the application's innermost frame" if issue.culprit else "the type and message"
        rows = [("by", f"{rule}, since the sender gave no fingerprint")]
    explained = as_dict(properties.get("phtrack"))
    return rows + [(as_text(key, 100), as_text(value, 2_000)) for key, value in explained.items()]


def age(seconds: float) -> str:
    """How long ago, in one unit: `now`, `45 s`, `12 min`, `3 h`, `9 d`."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 5 else "now"


def clock(timestamp: float) -> str:
    """Date and time of day where the inbox runs."""
    try:
        return datetime.fromtimestamp(timestamp).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "?"
