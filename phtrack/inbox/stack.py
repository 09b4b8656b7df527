"""
A stack as a page shows it: the crash first, the application's frames whole, runs of library frames folded. Pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from phtrack.inbox.grouping import frames_of, function_of, is_in_app
from phtrack.inbox.literal import MASKED, TOO_LONG, literal, with_words
from phtrack.inbox.source import Line, lines_of
from phtrack.inbox.text import as_dict, as_int, as_list, as_text, shorten

OPEN_FRAMES = 3
"""Frames of the application that are unfolded, counted from the crash."""


@dataclass(frozen=True, slots=True)
class Value:
    """One variable or expression and what it held."""

    name: str
    value: str
    type: str
    remark: str
    """Why the value is not all there is: masked, cut, not recorded; else empty."""
    missing: bool
    """True when `remark` stands in place of the value."""


@dataclass(frozen=True, slots=True)
class FrameView:
    """One level of the stack."""

    file: str
    line: int | None
    path: str
    function: str
    module: str
    in_app: bool
    open: bool
    lines: list[Line]
    values: list[Value]
    statement: str
    """The raised line on its own, for a frame that is folded."""
    above: str
    """What to say before this frame: that a cycle of frames repeats."""
    below: str
    """What to say after it: that frames were left out."""


@dataclass(frozen=True, slots=True)
class Fold:
    """A run of library frames."""

    summary: str
    frames: list[FrameView]


@dataclass(frozen=True, slots=True)
class Stack:
    """The frames of one exception, the innermost first."""

    parts: list[FrameView | Fold]
    shown: int
    not_shown: int
    """Outermost frames that are only in the raw JSON."""


def stack_of(entry: dict[str, Any], limit: int) -> Stack:
    """The *limit* innermost frames of an exception. Nothing is folded when no frame is the application's."""
    frames = frames_of(entry)[::-1]
    shown = frames[:limit]
    parts: list[FrameView | Fold] = []
    if any(map(is_in_app, shown)):
        parts = _parts(shown)
    else:
        parts.extend(_frame(frame, opened=index == 0) for index, frame in enumerate(shown))
    return Stack(parts, len(shown), len(frames) - len(shown))


def _parts(frames: list[dict[str, Any]]) -> list[FrameView | Fold]:
    parts: list[FrameView | Fold] = []
    run: list[FrameView] = []
    opened = 0
    for frame in frames:
        if is_in_app(frame):
            parts += _folded(run)
            run = []
            opened += 1
            parts.append(_frame(frame, opened=opened <= OPEN_FRAMES))
        else:
            run.append(_frame(frame, opened=False))
    return parts + _folded(run)


def _folded(run: list[FrameView]) -> list[FrameView | Fold]:
    if len(run) < 2:
        return list(run)
    places = Counter(frame.module.partition(".")[0] or frame.file for frame in run)
    names = [name for name, _ in places.most_common(3)]
    more = ", …" if len(places) > 3 else ""
    return [Fold(f"{len(run)} frames in {', '.join(names)}{more}", run)]


def _frame(frame: dict[str, Any], *, opened: bool) -> FrameView:
    extras = as_dict(frame.get("phtrack"))
    lines = lines_of(frame)
    raised = next((line for line in lines if line.raised), None)
    return FrameView(
        file=as_text(frame.get("filename") or frame.get("abs_path"), 500) or "<unknown>",
        line=as_int(frame.get("lineno")),
        path=as_text(frame.get("abs_path") or frame.get("filename"), 1_000),
        function=function_of(frame),
        module=as_text(frame.get("module"), 200).replace("__main__", ""),
        in_app=is_in_app(frame),
        open=opened,
        lines=lines,
        values=values_of(frame),
        statement=(raised.before + raised.marked + raised.after).strip() if raised else "",
        above=_repetition(extras),
        below=_omission(extras),
    )


def _repetition(extras: dict[str, Any]) -> str:
    repeats, cycle = as_int(extras.get("repeats")), as_int(extras.get("cycle")) or 1
    if not repeats:
        return ""
    return f"… the {'next frame' if cycle == 1 else f'next {cycle} frames'} repeated {repeats:,} more times"


def _omission(extras: dict[str, Any]) -> str:
    omitted = as_int(extras.get("omitted"))
    return f"… {omitted:,} {'frame' if omitted == 1 else 'frames'} left out here" if omitted else ""


def values_of(frame: dict[str, Any]) -> list[Value]:
    """What the frame's variables held: phtrack's own list, nearest first, else the contract's `code_variables`."""
    own = [each for each in as_list(as_dict(frame.get("phtrack")).get("variables")) if isinstance(each, dict)]
    if own:
        return [_own_value(each) for each in own]
    return [_value(name, value) for name, value in as_dict(frame.get("code_variables")).items()]


def _own_value(variable: dict[str, Any]) -> Value:
    value, kind = variable.get("value"), as_text(variable.get("type"), 200)
    name, rules = as_text(variable.get("name"), 200) or "?", as_text(variable.get("redacted"), 200)
    if value == MASKED or (rules and value is None):
        return Value(name, "", kind, f"masked ({rules})" if rules else "masked", True)
    length = as_int(variable.get("length"))
    cut = variable.get("truncated")
    remarks = (
        f"length {length:,}" if length is not None and isinstance(value, (list, dict, str)) else "",
        "" if not cut else f"cut: {cut}" if isinstance(cut, str) else "cut",
        f"partly masked ({rules})" if rules else "",
    )
    return Value(
        name,
        shorten(literal(value, kind), 10_000),
        kind.removeprefix("__main__."),
        ", ".join(filter(None, remarks)),
        False,
    )


def _value(name: str, value: Any) -> Value:
    """A value in the contract's form: numbers and text, where text may be anything's."""
    if value == MASKED:
        return Value(name, "", "", "masked", True)
    if value == TOO_LONG:
        return Value(name, "", "", "not recorded: too long", True)
    return Value(name, with_words(as_text(value)), "", "", False)
