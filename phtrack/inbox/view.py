"""
What the page of an issue says about one event, beside its exceptions: facts, steps, tags, properties, why grouped. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from phtrack.inbox.chain import ExceptionView, chain_of
from phtrack.inbox.grouping import held_back_of, tags_of
from phtrack.inbox.incoming import timestamp_of
from phtrack.inbox.text import as_dict, as_json, as_list, as_text, shorten

if TYPE_CHECKING:
    from phtrack.inbox.store import Issue, StoredEvent

_REMARKS = {
    "merged": "also seen",
    "given_up": "left out to fit",
    "scrubbed": "masked by",
    "omitted_exceptions": "exceptions left out",
}
_TOLD_ELSEWHERE = frozenset((
    "$exception_list", "$exception_type", "$exception_message", "$exception_level", "$exception_source",
    "$exception_fingerprint", "$exception_steps", "$context_tags", "phtrack",
))  # fmt: skip


HEADLINE_LINES = 8
HEADLINE_LENGTH = 600


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

    message: str
    """The first lines of what the caught exception says; `whole_message` has all of it when that is more."""
    whole_message: str
    chain: list[ExceptionView]
    not_shown: int
    facts: list[tuple[str, str]]
    """What kind of fact, and the fact."""
    steps: list[Step]
    tags: list[tuple[str, str]]
    properties: list[tuple[str, str]]
    """The application's own."""
    sdk_properties: list[tuple[str, str]]
    """Those that begin with a dollar sign."""
    remarks: list[tuple[str, str]]
    grouped: list[tuple[str, str]]
    raw: str


def view_of(event: StoredEvent, issue: Issue) -> EventView:
    """Never raises, whatever the event holds."""
    properties = as_dict(event.body.get("properties"))
    chain, not_shown = chain_of(event.body)
    tags = tags_of(properties)
    rest = {name: value for name, value in properties.items() if name not in _TOLD_ELSEWHERE and name not in tags}
    message = chain[0].message if chain else issue.message
    head = shorten("\n".join(message.strip("\n").split("\n")[:HEADLINE_LINES]), HEADLINE_LENGTH)
    return EventView(
        message=head,
        whole_message="" if head == message.strip("\n") else message,
        chain=chain,
        not_shown=not_shown,
        facts=_facts(event, issue, properties),
        steps=steps_of(properties, event.timestamp),
        tags=sorted(tags.items()),
        properties=_pairs({name: value for name, value in rest.items() if not name.startswith("$")}),
        sdk_properties=_pairs({name: value for name, value in rest.items() if name.startswith("$")}),
        remarks=_remarks(properties),
        grouped=_grouped(issue, properties),
        raw=as_json(event.body, indent=2),
    )


def _pairs(properties: dict[str, Any]) -> list[tuple[str, str]]:
    return [(as_text(name, 200), as_text(properties[name], 5_000)) for name in sorted(properties)]


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
    if not issue.fingerprint:
        rule = "the type and the application's innermost frame" if issue.culprit else "the type and message"
        return [("by the inbox", f"{rule}, since the sender gave no fingerprint")]
    explained = as_dict(as_dict(properties.get("phtrack")).get("fingerprint"))
    rows = [(as_text(key, 100), _lines(value)) for key, value in explained.items()]
    return [("fingerprint", issue.fingerprint), *rows]


def _remarks(properties: dict[str, Any]) -> list[tuple[str, str]]:
    """What the sender says about the event itself, in words where they are known."""
    rows = []
    for key, value in as_dict(properties.get("phtrack")).items():
        if key in ("fingerprint", "context_hidden"):
            continue
        held_back = held_back_of(properties)
        if key == "held_back" and held_back:
            since = timestamp_of(as_dict(value).get("since"))
            rows.append(("held back", f"{held_back:,} more before it" + (f", since {clock(since)}" if since else "")))
        elif key == "awaited_by":
            rows.append(("awaited by", "\n".join(map(_waiting, as_list(value)[:20]))))
        elif key == "packages":
            rows.append(
                (
                    "packages",
                    ", ".join(f"{as_text(name, 100)} {as_text(of, 50)}" for name, of in as_dict(value).items()),
                )
            )
        else:
            rows.append((_REMARKS.get(key) or as_text(key, 100).replace("_", " "), _lines(value)))
    return rows


def _waiting(task: Any) -> str:
    """A task that waited, and where: its innermost frame of the application, else its innermost."""
    told = as_dict(task)
    frames = [as_dict(frame) for frame in as_list(told.get("frames"))]
    frame = next((one for one in reversed(frames) if one.get("in_app") is True), frames[-1] if frames else {})
    place = f"{as_text(frame.get('function'), 200)} ({as_text(frame.get('filename'), 200)}:{as_text(frame.get('lineno'), 10)})"
    line = as_text(frame.get("context_line"), 300).strip()
    return f"{as_text(told.get('task'), 100)} in {place}{': ' + line if line else ''}"


def _lines(value: Any) -> str:
    """A list as one line per item, anything else as text."""
    return "\n".join(as_text(item, 1_000) for item in value[:100]) if isinstance(value, list) else as_text(value, 2_000)


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
