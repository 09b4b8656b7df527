r"""
Regular expressions that mean the same to Python and to the server's engine, which is Rust's.

    pattern -> INVALID (no engine takes it) | UNSHARED (the engines differ, or time isn't bounded) | a test of text

A small scanner reads the pattern and knows the part of the syntax that both engines share: literals, ``.``, classes,
``\d \w \s``, ``\x41``, groups, alternatives, ``* + ? {m,n}``, ``^ $``. Whatever it doesn't know is unshared. ``$`` is the end
of the text, not also the place before a last newline. Rules: wire contract, flags.md §8.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

INVALID = "invalid"
UNSHARED = "unshared"

_HEX = frozenset("0123456789abcdefABCDEF")
_QUANTIFIER = re.compile(r"[*+?]|\{([0-9]{1,10})(,)?([0-9]{1,10})?\}")
_MOST_REPEATS = 1000
_LONGEST = (10**9, 5_000, 500, 150, 60, 40)
"""Characters of text that are searched here, by the number of unbounded repetitions: Python's engine backtracks."""


class _Unshared(Exception):
    """The scanner met something that it does not vouch for."""


class _Group:
    """What the scanner remembers of an open group."""

    __slots__ = ("alternatives", "firsts", "repeats")

    def __init__(self) -> None:
        self.repeats = False
        self.alternatives = False
        self.firsts: list[str | None] = []
        """The literal that each alternative starts with; None where it starts with something else."""


class _Scanner:
    """One walk over a pattern. `python` is the same pattern for Python's engine, `unbounded` counts ``*``, ``+`` and ``{n,}``."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._groups = [_Group()]
        self._starting = True
        self.python: list[str] = []
        self.unbounded = 0
        self.words = False
        self.spaces = False

    def scan(self) -> None:
        """Raise `_Unshared`, or leave the results in the attributes. Bad syntax that it passes over, `re` will refuse."""
        while self._at < len(self._pattern):
            closed, repeatable = self._atom()
            self._quantifier(closed, repeatable)

    def _take(self, count: int = 1) -> str:
        taken = self._pattern[self._at : self._at + count]
        self._at += count
        return taken

    def _emit(self, piece: str, *, literal: str | None = None) -> None:
        if self._starting:
            self._groups[-1].firsts.append(literal)
            self._starting = False
        self.python.append(piece)

    def _atom(self) -> tuple[_Group | None, bool]:
        """Read one atom; return the group it closed, and whether a quantifier may follow."""
        char = self._take()
        if char == "(":
            self._open()
            return None, False
        if char == ")":
            self._end_alternative()
            self._starting = False
            self.python.append(char)
            return (self._groups.pop(), True) if len(self._groups) > 1 else (None, True)
        if char == "|":
            self._end_alternative()
            self._groups[-1].alternatives = True
            self.python.append(char)
            self._starting = True
            return None, False
        if char in "^$":
            self._emit(r"\Z" if char == "$" else "^")
            return None, False
        if char == "[":
            self._emit(self._class())
        elif char == "\\":
            piece = self._escape()
            self._emit(piece, literal=piece)
        elif char in "*+?{":
            if char == "{":
                raise _Unshared
            self._emit(char)  # nothing to repeat: both engines refuse, Python's will say so
        else:
            self._emit(char, literal=char if char != "." else None)
        return None, True

    def _end_alternative(self) -> None:
        if self._starting:  # an empty one
            self._groups[-1].firsts.append(None)

    def _open(self) -> None:
        if self._pattern[self._at : self._at + 1] == "?":
            if self._take(2) != "?:":
                raise _Unshared
            self._emit("(?:")
        else:
            self._emit("(")
        self._groups.append(_Group())
        self._starting = True

    def _quantifier(self, closed: _Group | None, repeatable: bool) -> None:
        found = _QUANTIFIER.match(self._pattern, self._at)
        if found is None:
            if closed is not None:
                self._groups[-1].repeats |= closed.repeats
            return
        if not repeatable:
            if self._pattern[self._at - 1] in "^$":
                raise _Unshared
            return  # at the start of the pattern, a group or an alternative: `re` refuses it, as Rust does
        self._at = found.end()
        low, comma, high = found[1], found[2], found[3]
        self._check_counts(found[0], low, comma, high, closed)
        self.python.append(found[0])
        if self._pattern[self._at : self._at + 1] == "?":
            self.python.append(self._take())
        if self._pattern[self._at : self._at + 1] in ("*", "+", "?", "{"):
            raise _Unshared

    def _check_counts(self, whole: str, low: str, comma: str, high: str, closed: _Group | None) -> None:
        counted = whole[0] == "{"
        if counted and max(int(low), int(high or 0)) > _MOST_REPEATS:
            raise _Unshared
        unbounded = whole in ("*", "+") or (counted and bool(comma) and not high)
        self.unbounded += unbounded
        most_once = whole == "?" or (counted and int(high or low) <= 1 and not unbounded)
        if closed is not None and not most_once:
            if closed.repeats:
                raise _Unshared
            if closed.alternatives and (None in closed.firsts or len(set(closed.firsts)) < len(closed.firsts)):
                raise _Unshared
        self._groups[-1].repeats = True

    def _escape(self) -> str:
        r"""What follows a backslash; outside of a class and in one."""
        char = self._take()
        if char == "x":
            digits = self._take(2)
            if len(digits) != 2 or not _HEX.issuperset(digits):
                raise _Unshared
            return "\\x" + digits
        if char in ("d", "D", "t", "n", "r", "f", "v", "a"):
            return "\\" + char
        if char in ("w", "W"):
            self.words = True
            return "\\" + char
        if char in ("s", "S"):
            self.spaces = True
            return "\\" + char
        if char == "" or (char.isascii() and not char.isalnum() and char not in "<>"):
            return "\\" + char
        raise _Unshared

    def _class(self) -> str:
        pieces = ["["]
        if self._pattern[self._at : self._at + 1] == "^":
            pieces.append(self._take())
        first, after_range = True, False
        while self._at < len(self._pattern):
            char = self._take()
            if char == "]" and not first:
                pieces.append(char)
                return "".join(pieces)
            ahead = self._pattern[self._at : self._at + 1]
            if char == "[" or (char in "&-~|" and ahead == char):
                raise _Unshared
            if char == "-" and ahead != "]" and not first:
                if after_range or (len(pieces[-1]) == 2 and pieces[-1][1] in "dDwWsS"):
                    raise _Unshared
                pieces.append("-" + self._range_end())
                first, after_range = False, True
                continue
            pieces.append(self._escape() if char == "\\" else char)
            first, after_range = False, False
        return "".join(pieces)  # no closing bracket: both engines refuse

    def _range_end(self) -> str:
        char = self._take()
        if char == "[":
            raise _Unshared
        if char != "\\":
            return char
        piece = self._escape()
        if piece[1:] in ("d", "D", "w", "W", "s", "S"):
            raise _Unshared
        return piece


def compile_pattern(pattern: str) -> str | Callable[[str], bool | None]:
    """
    `INVALID`, `UNSHARED`, or the search for *pattern*: text -> whether it was found.

    The search answers None for a text that the engines could disagree about, or that is too long to search here.
    """
    scanner = _Scanner(pattern)
    try:
        scanner.scan()
    except _Unshared:
        return UNSHARED
    try:
        search = re.compile("".join(scanner.python)).search
    except (re.error, OverflowError, RecursionError):
        return INVALID
    longest = _LONGEST[min(scanner.unbounded, len(_LONGEST) - 1)]
    words, spaces = scanner.words, scanner.spaces

    def find(words_of: str) -> bool | None:
        if len(words_of) > longest:
            return None
        if words and not words_of.isascii() and not all(map(_agreed_word, words_of)):
            return None
        if spaces and _SEPARATORS.search(words_of):
            return None
        return search(words_of) is not None

    return find


_SEPARATORS = re.compile("[\x1c-\x1f]")
r"""Four control characters that are ``\s`` to Python and not to Rust."""


def _agreed_word(char: str) -> bool:
    r"""True if both engines agree on whether *char* is ``\w``: ASCII, letters and decimal digits."""
    return char.isascii() or unicodedata.category(char) in ("Lu", "Ll", "Lt", "Lm", "Lo", "Nd")
