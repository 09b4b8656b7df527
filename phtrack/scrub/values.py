"""
Secrets in plain data: dicts, lists, and what is in them, by key and by content.

    data -> new data, with unchanged parts shared

Iterative limits, not trust: depth and number of nodes are bounded, a container inside itself is marked, and only the plain
containers of Python are looked into. An object of another type can't be looked into without running its code, so it is
replaced, except for a few types of the standard library that can't hold a secret text.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import TYPE_CHECKING, Any

from phtrack.scrub import formats, names
from phtrack.scrub.marks import CIRCULAR, MARKER, TOO_LONG, key_marker

if TYPE_CHECKING:
    from phtrack.scrub import Scrubber

MAX_DEPTH = 24
MAX_NODES = 100_000
"""Containers and items looked at; what lies beyond is not shown."""

_HARMLESS = (datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID, complex)
_PLAIN_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_PLAIN_KEYS = frozenset((str, int, float, bool, type(None), bytes))
"""Types of keys, and of what is in a tuple that is a key, that have no code of the user's."""
_ITERATE: dict[type, Any] = {
    list: list.__iter__,
    tuple: tuple.__iter__,
    set: set.__iter__,
    frozenset: frozenset.__iter__,
}
_NAMING = ("name", "key", "Name", "Key", "field", "header", "param")
_VALUED = ("value", "Value", "val", "values", "default", "raw_value", "content")


class Walk:
    """One pass over one value."""

    def __init__(self, scrubber: Scrubber, found: list[str]) -> None:
        self._scrubber = scrubber
        self._found = found
        self._nodes = 0
        self._path: set[int] = set()

    def value(self, value: Any, name: str, depth: int = 0) -> Any:
        """*value*, known as *name*, without its secrets."""
        kind = type(value)
        if value is None or kind is bool:
            return value  # no secret; and "the password was None" is often the answer
        if kind is str:
            if not value or value in (MARKER, TOO_LONG):
                return value
            rule = self._scrubber.masks(name) if name else None
            if rule is None:
                return self._scrubber.text(value, self._found, name=name)
        else:
            rule = self._scrubber.masks(name) if name else None
        if rule is not None:
            self._found.append(rule)
            return MARKER
        if kind is int:
            return self._number(value, name)
        if kind is float:
            is_long = 1e13 <= value < 1e16 and value.is_integer()
            return MARKER if is_long and self._number(int(value), name) is MARKER else value
        return self._other(value, name, depth)

    def _number(self, value: int, name: str) -> Any:
        if 10**13 <= value < 10**16 and formats.is_card(str(value)) and not names.is_id(name):
            self._found.append("card_number")
            return MARKER
        return value

    def _other(self, value: Any, name: str, depth: int) -> Any:
        kind = type(value)  # not isinstance: it asks an object for its __class__, which is the user's code
        if issubclass(kind, str):
            return self.value(str.__str__(value), name, depth)
        if issubclass(kind, (bytes, bytearray)):
            text = kind.decode(value, "utf-8", "replace") if kind in (bytes, bytearray) else bytes.__str__(value)
            scrubbed = self._scrubber.text(text, self._found, name=name)
            return value if scrubbed == text else scrubbed
        if issubclass(kind, (dict, list, tuple, set, frozenset)):
            return self._container(value, name, depth)
        if kind is decimal.Decimal and value.is_finite() and 10**13 <= value < 10**16 and value == int(value):
            return MARKER if self._number(int(value), name) is MARKER else value
        if issubclass(kind, (int, float, datetime.datetime)) or kind in _HARMLESS:
            return value
        self._found.append("unreadable")
        return MARKER

    def _container(self, value: Any, name: str, depth: int) -> Any:
        if id(value) in self._path:
            return CIRCULAR
        if depth >= MAX_DEPTH or self._nodes > MAX_NODES:
            self._found.append("too_long")
            return TOO_LONG
        self._path.add(id(value))
        try:
            if issubclass(type(value), dict):
                return self._mapping(value, depth)
            return self._sequence(value, name, depth)
        finally:
            self._path.discard(id(value))

    def _mapping(self, value: dict[Any, Any], depth: int) -> dict[Any, Any]:
        new: dict[Any, Any] = {}
        changed = False
        hidden_keys = 0
        paired = self._paired(value)
        for key, one in list(dict.items(value)):
            self._nodes += 1
            name = _text_of(key)
            shown = self.value(one, paired[1] if paired and name == paired[0] else name, depth + 1)
            shown_key = key
            if self._hides_key(key, name):
                while (shown_key := key_marker(hidden_keys)) in value or shown_key in new:
                    hidden_keys += 1
            changed = changed or shown is not one or shown_key is not key
            new[shown_key] = shown
        return new if changed else value

    def _hides_key(self, key: Any, name: str) -> bool:
        """True if *key* could itself be a secret, or can't be looked at."""
        if type(key) is int:
            return self._number(key, "") is MARKER
        if not name:
            kinds = map(type, tuple.__iter__(key)) if type(key) is tuple else (type(key),)
            return not _PLAIN_KEYS.issuperset(kinds)
        plain = _PLAIN_KEY.issuperset(name)
        if (plain and len(name) < formats.SHORTEST) or name.startswith("$$_posthog_redacted_key_"):
            return False
        if not plain and self._scrubber.masks(name) is not None:
            return True
        return self._scrubber.text(name, self._found) != name

    def _paired(self, value: dict[Any, Any]) -> tuple[str, str] | None:
        """For ``{"name": "password", "value": "x"}``: the key that holds the value, and the name that it goes by."""
        if len(value) > 8:
            return None
        for naming in _NAMING:
            name = dict.get(value, naming)
            if type(name) is str and self._scrubber.masks(name) is not None:
                for valued in _VALUED:
                    if valued in value:
                        return valued, name
        return None

    def _sequence(self, value: Any, name: str, depth: int) -> Any:
        items = list(_ITERATE[next(kind for kind in _ITERATE if issubclass(type(value), kind))](value))
        if type(value) is tuple and (rest := self._pair(items, name, depth)) is not None:
            new = rest
        else:
            new = []
            option = ""
            for item in items:
                self._nodes += 1
                if self._nodes > MAX_NODES:
                    self._found.append("too_long")
                    new.append(TOO_LONG)
                    break
                pair = self._pair(item, name, depth) if type(item) in (list, tuple) else None
                if pair is None:
                    new.append(self.value(item, option or name, depth + 1))
                elif all(a is b for a, b in zip(pair, item)):
                    new.append(item)
                else:
                    new.append(tuple(pair) if type(item) is tuple else pair)
                # What follows an option such as `--password` is known by that name.
                option = item if type(item) is str and item[:1] == "-" and "=" not in item else ""
        if len(new) == len(items) and all(a is b for a, b in zip(new, items)):
            return value
        return tuple(new) if type(value) is tuple else new

    def _pair(self, items: Any, name: str, depth: int) -> list[Any] | None:
        """A name and its value, as in headers: ``("Authorization", "Bearer ...")``; None for anything else."""
        if len(items) != 2:
            return None
        first = _text_of(items[0])
        if not first or not _PLAIN_KEY.issuperset(first) or self._scrubber.masks(first) is None:
            return None
        return [self.value(items[0], name, depth + 1), self.value(items[1], first, depth + 1)]


def _text_of(key: Any) -> str:
    """A mapping key or the first of a pair as a name; empty if it is none."""
    if type(key) is str:
        return key
    return key.decode("utf-8", "replace") if type(key) is bytes else ""
