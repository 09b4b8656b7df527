"""
Untrusted text, made fit to be stored and shown: any value in, valid Unicode out.

Events come from anywhere; nothing about their types or characters can be taken for granted.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 100
"""Levels of JSON that are kept, so that no later step has to fear for the interpreter's stack."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_INVISIBLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def readable(text: str) -> str:
    r"""*text* with lone surrogates, which UTF-8 can't carry, written out as ``\ud800``."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return _SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def visible(text: str) -> str:
    r"""*text* with control characters written out, among them those that reverse what is read after them: ``\u202e``."""
    return _INVISIBLE.sub(lambda found: ascii(found.group())[1:-1], text)


def readable_json(value: Any, depth: int = MAX_DEPTH) -> Any:
    """The same JSON value with every text and key `readable`, and what lies deeper than *depth* replaced by a mark."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, (list, dict)) and depth == 0:
        return "… nested too deeply"
    if isinstance(value, list):
        return [readable_json(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {readable(key): readable_json(item, depth - 1) for key, item in value.items()}
    return value


def as_text(value: Any, limit: int = 10_000) -> str:
    """*value* as text of at most *limit* characters: text as it is, None as nothing, everything else as JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else as_json(value)
    return shorten(text, limit)


def as_json(value: Any, indent: int | None = None) -> str:
    """*value*, which came out of a JSON parser, as JSON text for people."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def shorten(text: str, limit: int) -> str:
    """The first *limit* characters, ending in … when there were more."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def as_dict(value: Any) -> dict[str, Any]:
    """*value* if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """*value* if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def as_int(value: Any) -> int | None:
    """*value* if it is a whole number of a size that a line or a count can have, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if abs(value) < 2**53 and value == int(value) else None
