"""
Telling prose about a secret from the secret: "password: must be at least 8 characters" from "password: hunter2".

    text, where a value may begin, the rule -> the span to hide, or none

Only for places where both occur: after a colon and a space, after "is" and "was", and right after the word. When in doubt
about a password, it is one; about a token, which is also a term of parsers and language models, a plain word is a word.
"""

from __future__ import annotations

import re

from phtrack.scrub.marks import words
from phtrack.scrub.reading import OPEN_QUOTE, Span, inside_quotes, value_at

_WORD = re.compile(r"[^\W\d_]+(?:'[a-z]{1,2})?(?=[\s.,;:!?)\]}\"']|$)")
_KEY_END = re.compile(r"\\{0,7}[\"'`]{1,3}\s{0,4}[:=]")
_PROSE = words(
    "a an and are as at be been by can cannot could did do does doesn't don't for from had has have how if in into is isn't it "
    "its may might must need needs never no not of on only or please should so than that the then there this to too try "
    "use used using out open was wasn't what when where which while who why will with would you your "
    "absent accepted again already bad blank blocked changed denied different disabled empty enabled error exceeded "
    "exists expected expired failed failure forbidden found got hashed hidden ignored incorrect invalid line long malformed "
    "matches match mismatch missing newline none null ok okay optional provided read refused rejected required revoked "
    "short shorter success succeeded timeout type unauthorized undefined unexpected unknown unset unsupported unused "
    "updated valid value verified weak wrong yes field fields key set string character characters does at least "
    "entry login logged check checks checking validation verification user users"
)
_PROSE_ENDINGS = ("ed", "ing", "able", "ible", "ly", "tion")


def is_prose(word: str) -> bool:
    """True for a *word* that sentences about secrets are made of, and secrets are not."""
    low = word.lower()
    return low in _PROSE or (word.islower() and low.endswith(_PROSE_ENDINGS))


def begins_with_prose(text: str, start: int) -> bool:
    """True if the word at *start* says something about a value instead of being one."""
    word = _WORD.match(text, start)
    return word is not None and word[0].lower() in _PROSE


def after_colon(text: str, span: Span, rule: str) -> Span | None:
    """What to hide after ``password: ``, where *span* is the first word."""
    start, end = span
    word = _WORD.match(text, start)
    if word is None or word.end() < end:
        return span
    if is_prose(word[0]):
        return None
    following = _WORD.match(text, end + 1) if text[end : end + 1] == " " else None
    if following is None:
        return span
    if not _is_password(rule) and word[0].islower():
        return None
    # A passphrase: further words, up to one that belongs to the sentence.
    while following is not None and following[0].lower() not in _PROSE:
        if text[following.end() : following.end() + 1] in (":", "="):
            break
        end = following.end()
        following = _WORD.match(text, end + 1) if text[end : end + 1] == " " else None
    return start, end


def after_verb(text: str, start: int, rule: str) -> Span | None:
    """What to hide after ``password is ``."""
    if OPEN_QUOTE.match(text, start) is not None:
        return after_name(text, start, rule)
    start, end = value_at(text, start)
    value = text[start:end]
    if value.isalpha() and (is_prose(value) or (not _is_password(rule) and value.islower())):
        return None
    return start, end


def after_name(text: str, start: int, rule: str) -> Span | None:
    """What to hide right after the word: ``wrong password 'hunter2'``, ``wrong password hunter2``."""
    quoted = OPEN_QUOTE.match(text, start)
    if quoted is not None:
        start, end = inside_quotes(text, quoted)
        if _KEY_END.match(text, end) is not None:  # the next key of a dict
            return None
        return None if end - start < 8 and not _is_password(rule) else (start, end)
    start, end = value_at(text, start)
    value = text[start:end]
    if end - start < (6 if _is_password(rule) else 12):
        return None
    return (start, end) if any(c.isalpha() for c in value) and any(c.isdigit() for c in value) else None


def _is_password(rule: str) -> bool:
    word = rule.rpartition(":")[2]
    return word.startswith(("pass", "pw", "secret", "kennwort", "senha", "cred", "seed", "recovery"))
