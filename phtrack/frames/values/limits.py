"""How much of a value is shown, in the richer and in the contract's form (exceptions.md §10)."""

from __future__ import annotations

import re

MAX_STRING = 1024
"""Characters of a string in the contract's form; three dots take the place of the last three."""
MAX_SCANNED = 2048
"""Characters up to which a string is scanned and shown there at all."""
MAX_ITEMS = 50
"""Entries up to which a container is shown there."""
MAX_DEPTH = 12
"""Containers inside containers."""
MAX_NODES = 100
"""Values of one variable."""
MAX_SHOWN_TEXT = 400
"""Characters of a string in the richer form."""
SHORT_TEXT = 16
"""Characters of the shortest text that may be a secret for its looks alone (`scrub`)."""
PLAIN_INT = 10**12
"""Below it a number is too short to be a card's. (No float that isn't finite is.)"""

LONGEST_WORD = 15
"""Characters of a mapping key that is too short for a secret if it is a word."""
is_word = re.compile(r"[\w.\-]+\Z", re.ASCII).match

_NAMES = ("name", "key", "field", "header", "param", "option")
NAMING = frozenset(form(name) for name in _NAMES for form in (str.lower, str.upper, str.capitalize))
"""Keys whose value is the name of another value in the same mapping, as browsers and cloud APIs write them."""
MAX_PAIR = 8
"""Entries of a mapping up to which it may be such a pair."""
