"""
The order in which the rules look at a text, a line of source, and a statement.

    `Scrubber` -> here -> `text`, `formats`, `sql`, `source`

Texts without any secret are the rule, so each step begins with the cheapest test that clears it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from phtrack.scrub import addresses, argv, formats, names, source, sql
from phtrack.scrub import text as texts
from phtrack.scrub.marks import MARKER, MAY_BE_CUT

if TYPE_CHECKING:
    from phtrack.scrub import Scrubber


_SHORTEST = 14
"""Characters of the shortest text that can be of a known format, or a card's number."""


def scrub_text(scrubber: Scrubber, text: str, found: list[str], name: str = "") -> str:
    """Running text, known as *name*."""
    original = text
    detect = scrubber.rules.detect_secrets
    if detect and "PRIVATE KEY" in text:
        text = formats.pem(text, found)
    if "@" in text or "://" in text:
        if scrubber.rules.mask_url_credentials:
            text = addresses.url_credentials(text, found)
    low = text.lower()
    if texts.has_stem(low):
        text = _by_name(scrubber, text, low if len(low) == len(text) else lower(text), found)
    if detect and (len(text) >= _SHORTEST or "..." in text or "…" in text or "-" in text or "user" in text):
        if "-p" in text or "-u" in text or "-U" in text or "user" in text:
            text = argv.in_text(text, found)
        text = _by_format(text, found)
        if text is original and " " not in text and len(text) >= formats.MIN_RANDOM and formats.is_random(text):
            if not names.is_id(name):
                found.append("random")
                return MARKER
    return text


_ALONE = re.compile(rf"^\S{{{formats.MIN_RANDOM},}}$", re.MULTILINE)
"""A line that may be a secret for its looks alone."""


def clear(text: str) -> bool:
    """
    True if `scrub_text` leaves each line of *text* as it is, whatever the rules.

    The first tests of its steps, over all lines at once: none of them can pass for a line and fail for the whole.
    """
    if "://" in text or "-p" in text or "-u" in text or "-U" in text or "user" in text or "..." in text or "…" in text:
        return False
    if "@" in text and ":" in text and addresses.NO_SCHEME.search(text) is not None:
        return False
    if len(text) >= MAY_BE_CUT and any(len(line) >= MAY_BE_CUT for line in text.split("\n")):
        return False
    if texts.has_stem(text.lower()):
        return False
    if formats.RUN.search(text) is not None or formats.CARD_HINT.search(text) is not None:
        return False
    return _ALONE.search(text) is None


def lower(text: str) -> str:
    """*text* in lower case, at the same length."""
    low = text.lower()
    if len(low) != len(text):
        low = "".join(c if len(c.lower()) != 1 else c.lower() for c in text)
    return low


def _by_name(scrubber: Scrubber, text: str, low: str, found: list[str]) -> str:
    masked = texts.auth_schemes(text, low, found)
    masked = texts.validation_errors(masked, scrubber.masks, found)
    if sql.STATEMENT.search(masked) is not None:
        masked = _with_statement(scrubber, masked, found)
    if masked is not text:
        low = lower(masked)
    masked = texts.named_values(masked, low, scrubber.masks, found)
    return texts.duplicate_keys(masked, scrubber.masks, found)


def _by_format(text: str, found: list[str]) -> str:
    text = formats.formats(text, found)
    return formats.cards(text, found)


def _with_statement(scrubber: Scrubber, text: str, found: list[str]) -> str:
    """A text in which a SQL statement begins: an error message of a database or an ORM, a log line."""
    begin = sql.STATEMENT.search(text)
    if begin is None:
        return text
    end = text.find("]\n[parameters:", begin.start())
    end = len(text) if end < 0 else end
    holders: set[int] = set()
    statement = sql.sql(text[begin.start() : end], scrubber.masks, lambda one, _: one, found, holders)
    return text[: begin.start()] + statement + sql.parameters(text[end:], holders, found)


def scrub_sql(scrubber: Scrubber, statement: str, found: list[str]) -> str:
    """A statement that is known to be SQL."""
    statement = sql.sql(statement, scrubber.masks, lambda one, hits: scrub_text(scrubber, one, hits), found)
    return _leftovers(scrubber, statement, found)


def _leftovers(scrubber: Scrubber, text: str, found: list[str]) -> str:
    """Once more over the whole of a text that was read by tokens: what it holds outside of literals, or across them."""
    if scrubber.rules.mask_url_credentials:
        text = addresses.url_credentials(text, found)
    if scrubber.rules.detect_secrets:
        text = _by_format(formats.pem(text, found), found)
    return text


_SQL_LITERAL = re.compile(
    r"\s*(?:select|insert|update|delete|replace|merge|create|alter|with|set|grant)\s", re.IGNORECASE
)


def scrub_source(scrubber: Scrubber, line: str, found: list[str]) -> str:
    """A line or a statement of Python."""

    def inside(text: str, hits: list[str]) -> str:
        if text.startswith("#"):
            bare = text.lstrip("#").lstrip()
            return text[: len(text) - len(bare)] + scrub_text(scrubber, bare, hits)
        if _SQL_LITERAL.match(text) is not None:
            return scrub_sql(scrubber, text, hits)
        return scrub_text(scrubber, text, hits)

    low = line.lower()
    named = scrubber.configured or "log" in low or "sign" in low or texts.has_any_stem(low)
    if named or '"' in line or "'" in line or "#" in line:
        line = source.source(line, scrubber.masks if named else None, inside, found)
    line = _leftovers(scrubber, line, found)
    if scrubber.rules.detect_secrets:
        # A line inside a longer string looks like code here.
        piece = line.strip(" \t\r\n\"'\\,")
        if formats.is_random(piece):
            found.append("random")
            return line.replace(piece, MARKER)
    return line
