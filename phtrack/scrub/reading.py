"""
Reading one value out of a text: the inside of quotes, a bracketed structure, a bare word, a header's line.

    text, position where a value begins -> the span that holds it

All of it is a matter of punctuation; what a value means is not known here. A value whose end is missing, because a length
limit has cut it off, reaches to the end of its line or of the text.
"""

from __future__ import annotations

import re

Span = tuple[int, int]
"""Start and end, as in a slice."""

OPEN_QUOTE = re.compile(r"[bBrRuUfF]{0,2}(\\{0,7})(\"\"\"|'''|[\"'`])")
"""What begins a quoted value: prefix, backslashes (in a text that was quoted itself), quote."""
_BARE = re.compile(
    r"(?:[^\s\"'<>`,;&|%)\]}]"
    r"|[,;&|](?!\s|$|[\w.$-]{1,64}\s{0,2}[=:])|%(?!26|3[bB])|[)\]}](?![\s,;.)\]}]|$)"
    r"|[\"'`](?![\s,;:.)\]}>\\]|$)|<(?![/A-Za-z!])|>(?=\w)){1,4096}"
)
"""A word without quotes. Punctuation belongs to it, unless it ends the word or begins the next ``name=value``."""
_CALL = re.compile(r"[\w.]{0,128}[(\[{]")
_MAX_BARE = 4096
_PIECE_END = re.compile(r"[\s\"'<>`]|$")
_BRACKETS = re.compile(r"[()\[\]{}]|\"|'")


def value_at(text: str, start: int) -> Span:
    """The span of the value that begins at *start*."""
    quoted = OPEN_QUOTE.match(text, start)
    if quoted is not None:
        return inside_quotes(text, quoted)
    if text.startswith(("<", "&lt;"), start):
        end = text.find(">", start)
        return start, (end + 1 if end >= 0 else len(text))
    end = start
    while (call := _CALL.match(text, end)) is not None:
        end = balanced_end(text, call.end() - 1)
    bare = _BARE.match(text, end)
    if bare is None:
        return start, end
    end = bare.end()
    if end - bare.start() == _MAX_BARE:
        # Longer than any word: all of the unbroken rest goes.
        end = _PIECE_END.search(text, end).start()  # type: ignore[union-attr]
    while end > start and text[end - 1] in ".,;:" and (end == len(text) or text[end] in " \t\r\n\"'"):
        end -= 1
    return start, end


def inside_quotes(text: str, opening: re.Match[str]) -> Span:
    """The span between *opening*, a match of `OPEN_QUOTE`, and the quote that closes it."""
    escapes, quote = opening.groups()
    start = opening.end()
    if escapes:
        end = text.find(escapes + quote, start)
    else:
        end = closing_quote(text, start, quote)
    if end < 0:
        # Cut off, or an apostrophe: to the end of the line.
        line_end = text.find("\n", start)
        end = line_end if line_end >= 0 else len(text)
    return start, end


def closing_quote(text: str, start: int, quote: str) -> int:
    """Index of the *quote* that closes a string whose inside begins at *start*, or -1. Backslashes escape."""
    position = start
    while True:
        end = text.find(quote, position)
        if end < 0:
            return -1
        slashes = 0
        while end - slashes > start and text[end - slashes - 1] == "\\":
            slashes += 1
        if slashes % 2 == 0:
            return end
        position = end + 1


def balanced_end(text: str, start: int) -> int:
    """Index after the bracket that closes the one at *start*; the end of *text* if none does. Strings are stepped over."""
    depth = 0
    position = start
    while True:
        match = _BRACKETS.search(text, position)
        if match is None:
            return len(text)
        char = match[0]
        position = match.end()
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth <= 0:
                return position
        else:
            end = closing_quote(text, position, char)
            if end >= 0:
                position = end + 1


def to_line_end(text: str, start: int) -> Span:
    """The span from *start* to the end of the line, real or written as ``\\n``, or to a quote around all of it."""
    ends = (text.find(mark, start) for mark in ("\n", "\r", "\\n", "\\r", '"', "'"))
    end = min((at for at in ends if at >= 0), default=len(text))
    while end > start and text[end - 1] in " \t,)]}":
        end -= 1
    return start, end
