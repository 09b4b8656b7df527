"""
A value as phtrack recorded it, written as Python would write it: JSON in, one line of text out. Pure.

Recorded values are JSON, in which an object is its attributes with its class under `__class__`, and what has no JSON form
is text such as `<module json>`. The types of a mapping's keys are not recorded, so keys stand without quotes.
"""

from __future__ import annotations

from typing import Any

MASKED = "$$_posthog_redacted_based_on_masking_rules_$$"
TOO_LONG = "$$_posthog_value_too_long_$$"
_WORDS = {MASKED: "‹masked›", TOO_LONG: "‹not recorded: too long›"}
_BRACKETS = {"tuple": ("(", ")"), "set": ("{", "}"), "frozenset": ("{", "}")}


def literal(value: Any, kind: str = "") -> str:
    """
    *value* in one line.

    Args:
        kind: The value's type if known, e.g. `str`, `tuple` or `shop.cart.Cart`; it decides where JSON is ambiguous.
    """
    if isinstance(value, str):
        return _text(value) if kind in ("str", "") else _WORDS.get(value, value)
    if isinstance(value, list):
        opening, closing = _BRACKETS.get(kind, ("[", "]"))
        comma = "," if kind == "tuple" and len(value) == 1 else ""
        return opening + ", ".join(map(literal, value)) + comma + closing
    if isinstance(value, dict):
        return _mapping(value, kind)
    return str(value)


def with_words(text: str) -> str:
    """*text* with the wire format's markers in words."""
    if "$$_posthog" in text:
        for marker, word in _WORDS.items():
            text = text.replace(marker, word)
    return text


def _text(text: str) -> str:
    if text in _WORDS:
        return _WORDS[text]
    stands_for_something = (text.startswith("<") and text.endswith(">")) or (
        text.startswith("… ") and text.endswith(" more")
    )
    return text if stands_for_something else with_words(repr(text))


def _mapping(value: dict[str, Any], kind: str) -> str:
    name = value.get("__class__")
    if not isinstance(name, str):
        name = kind if "." in kind else ""
    joint = "=" if name else ": "
    items = [
        f"… {item}" if key == "…" else f"{with_words(key)}{joint}{literal(item)}"
        for key, item in value.items()
        if key != "__class__"
    ]
    opening, closing = (name.rpartition(".")[2] + "(", ")") if name else ("{", "}")
    return opening + ", ".join(items) + closing
