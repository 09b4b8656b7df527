"""
Which issue an exception event belongs to, and what the list says about it. Pure: an event in, `Facts` out.

The sender's `$exception_fingerprint` decides. Without one: the exception's type and the innermost of the application's
frames, without line numbers; without frames, its type and message with numbers and addresses taken out.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from phtrack.inbox.text import as_dict, as_int, as_list, as_text, shorten

EXCEPTION = "$exception"
_LEVELS = frozenset(("fatal", "error", "warning", "log", "info", "debug"))


@dataclass(frozen=True, slots=True)
class Facts:
    """What an issue is known by."""

    key: str
    """Equal for events of one issue. Starts with how it was made: `fingerprint:` or `v1:`."""
    fingerprint: str | None
    """As sent."""
    type: str
    message: str
    culprit: str
    """`module.function:line` of the innermost frame of the application; may be empty."""
    level: str
    handled: bool | None
    """None when the event doesn't say."""
    tags: dict[str, str]
    held_back: int
    """Further occurrences that the sender's throttle only counted, since the event before."""


def facts_of(event: dict[str, Any]) -> Facts:
    """Never raises, whatever *event* holds."""
    properties = as_dict(event.get("properties"))
    entries = entries_of(event)
    root = entries[0] if entries else {}
    kind = as_text(root.get("type") or properties.get("$exception_type"), 200) or "(no type)"
    message = as_text(root.get("value") or properties.get("$exception_message"))
    frame = crash_frame(root) or next((found for found in map(crash_frame, entries) if found), {})
    level = properties.get("$exception_level")
    handled = as_dict(root.get("mechanism")).get("handled")
    fingerprint = as_text(properties.get("$exception_fingerprint"), 10_000).strip() or None
    return Facts(
        key=_key(fingerprint, kind, message, frame),
        fingerprint=fingerprint and shorten(fingerprint, 200),
        type=kind,
        message=message,
        culprit=culprit_of(frame),
        level=level if isinstance(level, str) and level in _LEVELS else "error",
        handled=handled if isinstance(handled, bool) else None,
        tags=tags_of(properties),
        held_back=held_back_of(properties),
    )


def entries_of(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of `$exception_list`, the caught exception first; what is no object is left out."""
    entries = as_list(as_dict(event.get("properties")).get("$exception_list"))
    return [entry for entry in entries if isinstance(entry, dict)]


def frames_of(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The frames of an exception, the oldest call first; what is no object is left out."""
    return [frame for frame in as_list(as_dict(entry.get("stacktrace")).get("frames")) if isinstance(frame, dict)]


def is_in_app(frame: dict[str, Any]) -> bool:
    """True unless the frame says otherwise, as the wire format has it."""
    return frame.get("in_app") is not False


def crash_frame(entry: dict[str, Any]) -> dict[str, Any] | None:
    """The innermost frame of the application, else the innermost frame, else None."""
    frames = frames_of(entry)
    return next((frame for frame in reversed(frames) if is_in_app(frame)), frames[-1] if frames else None)


def function_of(frame: dict[str, Any]) -> str:
    """The function's qualified name where the sender knows it, else its name."""
    qualname = as_dict(frame.get("phtrack")).get("qualname")
    return as_text(qualname or frame.get("function"), 200) or "<unknown>"


def module_of(frame: dict[str, Any]) -> str:
    """The module's dotted name; of a script, the name of its file."""
    module = as_text(frame.get("module"), 200)
    if module and module != "__main__":
        return module
    filename = as_text(frame.get("filename") or frame.get("abs_path"), 500)
    return re.sub(r"\.pyc?$", "", re.split(r"[\\/]", filename)[-1])


def culprit_of(frame: dict[str, Any]) -> str:
    """`module.function:line`, as far as the frame knows."""
    if not frame:
        return ""
    line = as_int(frame.get("lineno"))
    place = ".".join(part for part in (module_of(frame), function_of(frame)) if part)
    return place if line is None else f"{place}:{line}"


def tags_of(properties: dict[str, Any]) -> dict[str, str]:
    """The context tags of an event: the properties that `$context_tags` names."""
    names = [name for name in as_list(properties.get("$context_tags")) if isinstance(name, str)]
    return {as_text(name, 100): as_text(properties[name], 200) for name in names[:50] if name in properties}


def held_back_of(properties: dict[str, Any]) -> int:
    """How many occurrences before this event were only counted by the sender."""
    held = as_dict(as_dict(properties.get("phtrack")).get("held_back"))
    return max(0, as_int(held.get("count")) or 0)


def _key(fingerprint: str | None, kind: str, message: str, frame: dict[str, Any]) -> str:
    if fingerprint:
        return "fingerprint:" + (fingerprint if len(fingerprint) <= 200 else _digest(fingerprint))
    if frame:
        where = (as_text(frame.get("filename"), 500) or module_of(frame), function_of(frame))
    else:
        where = ("", _normalised(message))
    return "v1:" + _digest("\0".join((kind, *where)))


def _normalised(message: str) -> str:
    return re.sub(r"0x[0-9a-fA-F]+|[0-9a-fA-F-]{16,}|\d+", "#", message[:200])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]
