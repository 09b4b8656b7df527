"""
Secrets stay here: what may not leave the process is replaced, in every kind of text and data an event is made of.

    names          -> left out, or hidden with everything under them      (`Scrubber.ignores`, `Scrubber.masks`)
    running text   -> messages, notes, values, headers, URLs              (`Scrubber.text`)
    Python source  -> lines and statements                                (`Scrubber.source`)
    SQL, argv      -> statements, command lines                           (`Scrubber.sql`, `Scrubber.argv`)
    plain data     -> dicts and lists, recursively                        (`Scrubber.value`)

A rule is known by its name (``name:password``, ``format:github``, ``card_number``, ``url_credentials``, ``random``), and
whoever passes a list as *found* gets the names of the rules that hid something. Nothing here raises: where a rule fails,
what it was looking at is hidden whole. Nothing here runs a user's code. What is hidden already stays as it is, so scrubbing
twice is scrubbing once.

The floor is the wire contract's redaction; `names` says where and why phtrack reads names differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phtrack import _guard
from phtrack.options import DEFAULT_IGNORE_PATTERNS, DEFAULT_MASK_PATTERNS
from phtrack.scrub import names
from phtrack.scrub.marks import CIRCULAR, MARKER, TOO_LONG, key_marker

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CIRCULAR", "DEFAULT", "MARKER", "TOO_LONG", "Rules", "Scrubber", "key_marker", "scrubber"]

MAX_TEXT = 200_000
"""Characters of one text that are looked at; what lies beyond is not shown."""
_MAX_CACHED = 4096
_MAX_CACHED_NAME = 128
_SHORTEST = 14
"""A run of letters and digits that is shorter holds no secret that can be told from a word: not even a card number."""
_WINDOW = 2048
"""Characters that a configured pattern sees at once: what bounds a pattern that backtracks."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is hidden. Hashable, so that a context can have its own; `scrubber` compiles each only once."""

    mask_patterns: tuple[str, ...] = tuple(DEFAULT_MASK_PATTERNS)
    """Names (and configured: values) that are hidden."""
    ignore_patterns: tuple[str, ...] = tuple(DEFAULT_IGNORE_PATTERNS)
    """Names of variables that are left out."""
    mask_url_credentials: bool = True
    """Hide ``user:password@`` in addresses."""
    detect_secrets: bool = True
    """Hide what looks like a key, a token, or sheer randomness."""


DEFAULT = Rules()


class Scrubber:
    """
    Applies one set of `Rules`. Safe to share between threads; `scrubber` hands it out.

    *found*, where it is taken, is a list that gets the name of the rule for each thing hidden.
    """

    def __init__(self, rules: Rules = DEFAULT) -> None:
        self.rules = rules
        defaults = frozenset(DEFAULT_MASK_PATTERNS)
        self._by_words = defaults <= set(rules.mask_patterns)
        own = [p for p in rules.mask_patterns if not (self._by_words and p in defaults)]
        self._patterns = [(f"pattern:{pattern}", _compiled(pattern)) for pattern in own]
        self.configured = bool(self._patterns)
        """True if names and values are also searched for patterns of the user's."""
        self._ignoring = [_compiled(pattern, ignore_case=False) for pattern in rules.ignore_patterns]
        self._dunders_only = rules.ignore_patterns == tuple(DEFAULT_IGNORE_PATTERNS)
        self._scrub_text: Callable[[Scrubber, str, list[str], str], str] | None = None
        self._clear: Callable[[str], bool] | None = None
        self._masked: dict[str, str | None] = {}
        self._ignored: dict[str, bool] = {}

    # --- names: cheap, for the raising thread -----------------------------------------------------------------------

    def ignores(self, name: str) -> bool:
        """True if the variable called *name* is left out. Never raises."""
        try:
            return self._ignored[name]
        except KeyError:
            pass
        except Exception:
            return True
        try:
            decision = name.startswith("__") if self._dunders_only else any(p.search(name) for p in self._ignoring)
        except Exception as error:
            _guard.swallowed("scrub.ignores", error)
            return True
        _remember(self._ignored, name, decision)
        return decision

    def masks(self, name: str) -> str | None:
        """The rule that hides everything called *name*, as ``name:password``; None if it may be shown. Never raises."""
        try:
            return self._masked[name]
        except KeyError:
            pass
        except Exception:
            return "name:unreadable"
        try:
            decision = self._decide(name)
        except Exception as error:
            _guard.swallowed("scrub.masks", error)
            return "name:unreadable"
        _remember(self._masked, name, decision)
        return decision

    def _decide(self, name: str) -> str | None:
        name = str.__str__(name)
        if self._by_words:
            word = names.secret_word(name)
            if word is not None:
                return f"name:{word}"
        for rule, pattern in self._patterns:
            if _search(pattern, name):
                return rule
        return None

    # --- content ----------------------------------------------------------------------------------------------------

    def text(self, text: str, found: list[str] | None = None, *, name: str = "") -> str:
        """
        *text* (a value, a message, a note, a header) with each secret replaced by `MARKER`.

        Args:
            name: What the text is called, if known. A name of identifiers (``order_id``) keeps a random look from being
                held against it. The name itself is not judged here: ask `masks` first.
        """
        try:
            if len(text) < _SHORTEST and not self.configured and text.isalnum():
                return text
            scrub_text = self._scrub_text or self._load()
            if len(text) <= MAX_TEXT and not self.configured:
                return scrub_text(self, text, [] if found is None else found, name)
        except Exception as error:
            return self._failed("text", error, found)
        return self._safely("text", self._text, text, found, name)

    def clear(self, text: str) -> bool:
        """
        True if no line of *text* is a secret or holds one; False if that takes a closer look, line by line.

        Short texts by the dozen are looked at together that way. A line of 16 characters or more without a space is never
        clear: it may be a secret for its looks alone.
        """
        if self.configured:
            return False
        try:
            if self._clear is None:
                from phtrack.scrub import rules

                self._clear = rules.clear
            return self._clear(text)
        except Exception as error:
            _guard.swallowed("scrub.clear", error)
            return False

    def source(self, line: str, found: list[str] | None = None) -> str:
        """*line* of Python source, or all lines of a statement, with secret literals replaced."""
        return self._safely("source", self._source, line, found)

    def sql(self, statement: str, found: list[str] | None = None) -> str:
        """*statement* with literals that belong to secret-looking columns replaced."""
        return self._safely("sql", self._sql, statement, found)

    def argv(self, argv: list[str], found: list[str] | None = None) -> list[str]:
        """A command line with the values of secret-looking options replaced."""
        from phtrack.scrub import argv as _argv

        hits = [] if found is None else found
        try:
            return _argv.argv(argv, self.masks, lambda one: self.text(one, hits), hits)
        except Exception as error:
            _guard.swallowed("scrub.argv", error)
            hits.append("error")
            return [MARKER for _ in range(len(argv) if isinstance(argv, (list, tuple)) else 1)]

    def value(self, value: Any, found: list[str] | None = None, *, name: str = "") -> Any:
        """
        Plain data (what JSON has, and tuples, sets, bytes, dates) without its secrets.

        Everything under a name that `masks` is hidden, except None, True, False and the empty string, which hold nothing.
        Mapping keys count as names. New data is returned; parts without a secret are shared with *value*.
        """
        from phtrack.scrub.values import Walk

        hits = [] if found is None else found
        try:
            return Walk(self, hits).value(value, name)
        except Exception as error:
            _guard.swallowed("scrub.value", error)
            hits.append("error")
            return MARKER

    def _safely(self, what: str, rule: Callable[..., str], text: str, found: list[str] | None, *more: Any) -> str:
        hits: list[str] = [] if found is None else found
        try:
            if len(text) > MAX_TEXT:
                text = text[:MAX_TEXT]
                hits.append("too_long")
                return rule(text, hits, *more) + TOO_LONG
            return rule(text, hits, *more)
        except Exception as error:
            return self._failed(what, error, hits)

    def _failed(self, what: str, error: Exception, found: list[str] | None) -> str:
        _guard.swallowed(f"scrub.{what}", error)
        if found is not None:
            found.append("error")
        return MARKER

    def _load(self) -> Callable[[Scrubber, str, list[str], str], str]:
        """The text rules, loaded with the first text: the raising thread asks about names only."""
        from phtrack.scrub import rules

        self._scrub_text = rules.scrub_text
        return self._scrub_text

    def _text(self, text: str, found: list[str], name: str = "") -> str:
        if self.configured and self._configured(text, found) is not text:
            return MARKER
        return (self._scrub_text or self._load())(self, text, found, name)

    def _configured(self, text: str, found: list[str]) -> str:
        """The contract's rule for configured patterns: a value that matches is hidden whole."""
        for rule, pattern in self._patterns:
            if _search(pattern, text) and text != MARKER:
                found.append(rule)
                return MARKER
        return text

    def _source(self, line: str, found: list[str]) -> str:
        from phtrack.scrub import rules

        return rules.scrub_source(self, line, found)

    def _sql(self, statement: str, found: list[str]) -> str:
        from phtrack.scrub import rules

        return rules.scrub_sql(self, statement, found)


def _remember(cache: dict[Any, Any], name: str, decision: Any) -> None:
    if len(name) > _MAX_CACHED_NAME:
        return
    if len(cache) >= _MAX_CACHED:
        cache.clear()
    cache[name] = decision


def _compiled(pattern: str, *, ignore_case: bool = True) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    except (re.error, RecursionError, OverflowError):
        # The options refuse such a pattern when they are made. If one comes by another way: hide rather than guess.
        _guard.once("warning", "the pattern %r is no regular expression; everything matches it", pattern)
        return re.compile("")


def _search(pattern: re.Pattern[str], text: str) -> bool:
    """Search in overlapping windows."""
    if len(text) <= _WINDOW:
        return pattern.search(text) is not None
    step = _WINDOW // 2
    return any(pattern.search(text, start, start + _WINDOW) for start in range(0, len(text), step))


_scrubbers: dict[Rules, Scrubber] = {}


def scrubber(rules: Rules = DEFAULT) -> Scrubber:
    """The scrubber for *rules*; the same object each time, as long as no more than 64 sets of rules are in use."""
    found = _scrubbers.get(rules)
    if found is None:
        found = Scrubber(rules)
        if len(_scrubbers) >= 64:
            _scrubbers.clear()
        found = _scrubbers.setdefault(rules, found)
    return found
