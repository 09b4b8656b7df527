"""
Statements and conditions so simple that the names in them can be read off without a parser, as most `raise` statements are.

    raise OrderError(f"{label}: only {left} left")   ->   OrderError, label, left
    if total > LIMIT and open:                       ->   total, LIMIT, open

A parser costs the raising thread some twenty microseconds, at the one time when a site is new.
"""

from __future__ import annotations

import re

_NAME = r"[^\W\d]\w*"
_TOKEN = re.compile(
    rf"""\s*(?:
        (?P<f>f"(?:[^"\\{{}}]|{{{{|}}}}|{{{_NAME}(?:![rsa])?(?::[^{{}}"'\\]*)?}})*"
            |f'(?:[^'\\{{}}]|{{{{|}}}}|{{{_NAME}(?:![rsa])?(?::[^{{}}"'\\]*)?}})*')
        |(?P<name>{_NAME})(?!["'\w])
        |"[^"\\]*"(?!") | '[^'\\]*'(?!')
        |\d+(?:\.\d+)?(?![\w.])
        |[(),] | [<>]=? | [=!]= | \#.*
    )""",
    re.VERBOSE,
)
_IN_BRACES = re.compile(rf"(?<!{{)(?:{{{{)*{{({_NAME})")
_SILENT = frozenset(("raise", "if", "while", "from", "and", "or", "is", "in", "None", "True", "False"))
"""Keywords that leave the names around them in their order."""
_TELLING = frozenset(
    ("not", "else", "elif", "for", "lambda", "await", "yield", "async", "len", "return", "assert", "del", "import", "match",
     "global", "nonlocal", "with", "try", "except", "finally", "pass", "break", "continue", "class", "def")
)  # fmt: skip
"""Words that make an expression of their own, or another statement: a parser sees more in them."""


def names_in(text: str) -> list[str] | None:
    """
    The names in *text*, in order and each once; None if that takes a parser.

    Args:
        text: A `raise` statement on one line, or the header of an `if` or `while` without its colon. It must be Python.
    """
    found: dict[str, None] = {}
    at, depth, end = 0, 0, len(text)
    match = _TOKEN.match
    while at < end:
        token = match(text, at)
        if token is None:
            return None
        at = token.end()
        name = token["name"]
        if name is not None or token["f"] is not None:
            for one in (name,) if name is not None else _IN_BRACES.findall(token["f"]):
                if one in _TELLING:
                    return None
                if one not in _SILENT:
                    found[one] = None
        elif text[at - 1] == "(":
            depth += 1
        elif text[at - 1] == ")":
            depth -= 1
    return list(found) if depth == 0 else None
