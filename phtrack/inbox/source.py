"""
A frame's source as lines to show: numbers, the raised line, the exact range of the expression. Pure; text in, text out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from phtrack.inbox.literal import MASKED
from phtrack.inbox.text import as_dict, as_int, as_list, as_text

MAX_LINE = 400
"""Characters of a line that are shown; the raw JSON has the rest."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of source in up to three pieces; `marked` is the part that belongs to the expression."""

    number: int | None
    before: str
    marked: str
    after: str
    raised: bool
    """True on the line that the traceback names."""


@dataclass(frozen=True, slots=True)
class Range:
    """Where an expression stands: lines 1-based in the file, columns 0-based in characters, the end exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


def lines_of(frame: dict[str, Any]) -> list[Line]:
    """
    The lines around the raised one, without their common indentation; else the statement; else nothing.
    """
    if not isinstance(frame.get("context_line"), str):
        return _statement_lines(frame)
    numbered = _numbered(frame)
    dent = min((len(text) - len(text.lstrip(" \t")) for _, text in numbered if text.strip()), default=0)
    lineno = as_int(frame.get("lineno"))
    span = range_of(frame)
    expression = as_text(as_dict(frame.get("phtrack")).get("expression"))
    lines = []
    for number, text in numbered:
        start, end = _columns(span, number, text, expression)
        raised = number is not None and number == lineno
        lines.append(_line(number, text[dent:], max(0, start - dent), max(0, end - dent), raised))
    return _trimmed(lines)


def range_of(frame: dict[str, Any]) -> Range | None:
    """The range of the expression that was being evaluated, if the sender knows it and it makes sense."""
    numbers = [as_int(number) for number in as_list(as_dict(frame.get("phtrack")).get("position"))]
    if len(numbers) != 4:
        return None
    line, column, end_line, end_column = numbers
    if line is None or column is None or end_line is None or end_column is None:
        return None
    return Range(line, column, end_line, end_column) if (line, column) <= (end_line, end_column) else None


def _trimmed(lines: list[Line]) -> list[Line]:
    """Without empty lines at either end."""
    full = [
        index for index, line in enumerate(lines) if line.raised or (line.before + line.marked + line.after).strip()
    ]
    return lines[full[0] : full[-1] + 1] if full else []


def _numbered(frame: dict[str, Any]) -> list[tuple[int | None, str]]:
    """Line numbers and text of the window, with the text as it stands in the file."""
    lineno = as_int(frame.get("lineno"))
    before = [line for line in as_list(frame.get("pre_context")) if isinstance(line, str)]
    after = [line for line in as_list(frame.get("post_context")) if isinstance(line, str)]
    texts = [line.rstrip("\r\n") for line in (*before, frame["context_line"], *after)]
    if lineno is None:
        return [(None, text) for text in texts]
    return [(lineno - len(before) + index, text) for index, text in enumerate(texts)]


def _statement_lines(frame: dict[str, Any]) -> list[Line]:
    """The statement alone, without a mark: it comes dedented, while the columns of the range are those of the file."""
    extras = as_dict(frame.get("phtrack"))
    statement, start = extras.get("statement"), as_int(extras.get("statement_lineno"))
    if not isinstance(statement, str):
        return []
    lineno = as_int(frame.get("lineno"))
    numbers = [None if start is None else start + index for index in range(statement.count("\n") + 1)]
    texts = statement.split("\n")
    return [_line(at, text, 0, 0, at is not None and at == lineno) for at, text in zip(numbers, texts, strict=True)]


def _columns(span: Range | None, number: int | None, text: str, expression: str) -> tuple[int, int]:
    """
    Start and end of the part of line *number* that lies in *span*; equal when none does.

    Where a secret was masked, the columns that follow are no longer those of the line; then the text of the
    *expression*, in which it was masked too, is looked for.
    """
    if span is None or number is None or not span.line <= number <= span.end_line:
        return 0, 0
    start = span.column if number == span.line else len(text) - len(text.lstrip())
    end = span.end_column if number == span.end_line else len(text.rstrip())
    mask = text.find(MASKED)
    if mask >= 0 and span.line == span.end_line and mask < end:
        start = text.find(expression) if expression else -1
        return (start, start + len(expression)) if start >= 0 else (0, 0)
    if mask >= 0 and mask < (end if number == span.end_line else start):
        return 0, 0
    return (start, end) if start < end <= len(text) else (0, 0)


def _line(number: int | None, text: str, start: int, end: int, raised: bool) -> Line:
    if start == end:
        return Line(number, _head(text, MAX_LINE), "", "", raised)
    before, marked, after = text[:start], text[start:end], text[end:]
    if len(text) > MAX_LINE:
        # Keep what matters in sight: the end of what stands before the mark, the start of what stands after it.
        before = "…" + before[-100:] if len(before) > 100 else before
        marked = marked[:200] + "…" if len(marked) > 200 else marked
        after = _head(after, max(40, MAX_LINE - len(before) - len(marked)))
    return Line(number, before, marked, after, raised)


def _head(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[:room]} … {len(text) - room:,} more characters"
