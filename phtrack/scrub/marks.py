"""What stands in the place of a secret (wire contract, redaction markers), and the lists of words the rules are made of."""

from __future__ import annotations

from collections.abc import Callable

NameRule = Callable[[str], "str | None"]
"""Answers the rule that hides what a name holds, or None (`Scrubber.masks`)."""

MARKER = "$$_posthog_redacted_based_on_masking_rules_$$"
"""Stands for a value, or a part of a text, that a rule has hidden."""
TOO_LONG = "$$_posthog_value_too_long_$$"
"""Stands for data that was not looked at, because a limit was reached."""
MAY_BE_CUT = 1000
"""Characters from which on a text may have been cut off by a length limit, in the middle of a secret."""
CIRCULAR = "<circular ref>"
"""Stands for a container that is inside itself."""


def key_marker(n: int) -> str:
    """Stands for the *n*-th mapping key, counted from 0, that could itself be a secret."""
    return f"$$_posthog_redacted_key_{n}_$$"


def words(text: str) -> frozenset[str]:
    """The words of *text*, as a set: how the rules write their lists."""
    return frozenset(text.split())
