"""
Cut source into logical lines, so that one statement can be parsed without parsing its file.

    lines, a line where a statement surely starts, a line asked for -> the `Piece` around it

A piece is what stack_data calls one: a whole simple statement over all its lines, or the header of a compound one
(`if`, `def` with its decorators) without its body. This is a scan for quotes, brackets and comments only: about 1 µs a
line, where a syntax tree costs 8. The caller parses the piece, and thereby notices when the scan went wrong.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Piece(NamedTuple):
    """Lines of one statement, or of the header of a compound statement."""

    first: int
    """1-based, as in the file."""
    last: int
    """The last one that belongs to it."""
    is_header: bool
    """True when it ends with the colon after which a body follows."""


_OTHER = r"""[^"'\\#()\[\]{}]*"""
_STRING = r"""(?:"[^"\\]+"(?!")|""(?!")|'[^'\\]+'(?!')|''(?!'))"""
_FLAT = rf"{_OTHER}(?:{_STRING}{_OTHER})*"
_NESTED = rf"{_OTHER}(?:(?:{_STRING}|[(\[{{]{_FLAT}[)\]}}]){_OTHER})*"
# Each alternative starts with a character no other takes, so that a line which doesn't match fails in linear time.
_whole_line = re.compile(rf"(?P<code>{_OTHER}(?:(?:{_STRING}|[(\[{{]{_NESTED}[)\]}}]){_OTHER})*)(?:#.*)?\Z").match
_token = re.compile(
    r'''"""|\'\'\'|"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|'[^'\\]*(?:\\.[^'\\]*)*(?:'|\\?\Z)|[()\[\]{}]|\#|\\\Z'''
).search
_closing = {quote: re.compile(rf"\\(?:.|\Z)|{quote}").finditer for quote in ('"""', "'''", '"', "'")}


_NESTS_QUOTES = sys.version_info >= (3, 12)
"""f-strings that hold quotes of their own kind, and lines (PEP 701): beyond a scan for quotes, so they are tokenized."""
_f_string = re.compile(r"""(?i:\b(?:fr?|rf|tr?|rt))["']""").search


class _Broken(Exception):
    """These lines can't be cut: they are no Python, or the start was inside a string."""


def piece_at(lines: Sequence[str], start: int, wanted: int) -> Piece | None:
    """
    The piece that line *wanted* belongs to.

    Args:
        start: A line where a statement surely starts, at or before *wanted*. Both are 1-based.

    Returns None for a blank or comment line, and when the scan runs into something that is no Python.
    """
    at, decorated = start, 0
    try:
        while at <= wanted or decorated:
            line = lines[at - 1]
            bare = line.lstrip()
            if not bare or bare[0] == "#":
                at += 1
                continue
            last, end = _logical_line(lines, at)
            first = decorated or at
            if bare[0] == "@":
                decorated = first
            else:
                decorated = 0
                if last >= wanted:
                    if first > wanted:
                        return None
                    return Piece(first, last, lines[last - 1][:end].rstrip().endswith(":"))
            at = last + 1
    except (_Broken, IndexError):
        pass
    return None


def end_of_block(lines: Sequence[str], start: int, limit: int) -> int | None:
    """
    The last line of the function or class whose header or first decorator is at *start*; None beyond line *limit*.
    """
    header = piece_at(lines, start, start)
    if header is None:
        return None
    if not header.is_header:
        return header.last
    first = lines[start - 1]
    depth = len(first) - len(first.lstrip())
    end, at = header.last, header.last + 1
    try:
        while at <= len(lines):
            line = lines[at - 1]
            bare = line.lstrip()
            if not bare or bare[0] == "#":
                at += 1
                continue
            if len(line) - len(bare) <= depth:
                break
            end, _ = _logical_line(lines, at)
            if end > limit:
                return None
            at = end + 1
    except (_Broken, IndexError):
        return None
    return end


def starts_at_margin(lines: Sequence[str], at: int) -> bool:
    """True when line *at* looks like the start of a statement at the module's left margin, decorators included."""
    start = lines[at - 1].lstrip("\x0c")[:1]
    return (start.isidentifier() or start == "@") and (at == 1 or not lines[at - 2].startswith(("@", ")")))


def top_level_block(lines: Sequence[str], inside: int) -> tuple[int, int] | None:
    """First and last line of the statement at the module's left margin that line *inside* is in, body included."""
    at = next((at for at in range(inside, 0, -1) if starts_at_margin(lines, at)), None)
    if at is None:
        return None
    last = end_of_block(lines, at, len(lines))
    return None if last is None or last < inside else (at, last)


def _logical_line(lines: Sequence[str], at: int) -> tuple[int, int]:
    """The last line of the logical line that starts at *at*, and the column where its code ends there."""
    match = _whole_line(lines[at - 1])
    if match is not None:
        return at, match.end("code")
    depth, quote, line_no = 0, "", at
    while True:
        line = lines[line_no - 1]
        if _NESTS_QUOTES and not quote and _f_string(line):
            return _tokenized(lines, at)
        depth, quote, continues, end = _scan(line, depth, quote)
        if not (depth or quote or continues):
            return line_no, end
        line_no += 1


def _tokenized(lines: Sequence[str], at: int) -> tuple[int, int]:
    """Like `_logical_line`, by Python's own tokenizer: ten times slower, and right about everything."""
    from tokenize import COMMENT, NEWLINE, NL, TokenError, generate_tokens

    rest = iter(range(at - 1, len(lines)))

    def readline() -> str:
        index = next(rest, None)
        return "" if index is None else lines[index] + "\n"

    end = 0
    try:
        for token in generate_tokens(readline):
            if token.type == NEWLINE:
                return at - 1 + token.start[0], end
            if token.type not in (COMMENT, NL):
                end = token.end[1]
    except (TokenError, SyntaxError, ValueError) as error:
        raise _Broken from error
    raise _Broken


def _scan(line: str, depth: int, quote: str) -> tuple[int, str, bool, int]:
    """Read one physical line: (open brackets, open string, ends with a backslash, where its code ends)."""
    at = 0
    while True:
        if quote:
            for match in _closing[quote](line):
                if match.start() >= at and match.group()[0] != "\\":
                    at = match.end()
                    break
            else:
                goes_on = len(quote) == 3 or _is_continued(line)
                return depth, quote if goes_on else "", False, len(line)
            quote = ""
        found = _token(line, at)
        if found is None:
            return depth, "", False, len(line)
        token = found.group()
        at = found.end()
        first = token[0]
        if first in "([{":
            depth += 1
        elif first in ")]}":
            depth -= 1
            if depth < 0:
                raise _Broken
        elif first == "#":
            return depth, "", False, found.start()
        elif first == "\\":
            return depth, "", True, len(line)
        elif token in ('"""', "'''"):
            quote = token
        elif token[-1] == "\\":
            return depth, first, False, len(line)


def _is_continued(line: str) -> bool:
    """True when *line* ends with an odd number of backslashes."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1
