"""
The quick way for containers in which there is nothing to hide, to cut or to explain, as most are. Runs behind the door.

    Node -> plain data, and its texts -> one look at all texts together -> JSON text; or None: let `writer` take it piece by piece
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phtrack import encode
from phtrack.frames.values.limits import (
    LONGEST_WORD,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_NODES,
    MAX_PAIR,
    MAX_SHOWN_TEXT,
    NAMING,
    PLAIN_INT,
    SHORT_TEXT,
    is_word,
)
from phtrack.frames.values.node import MAPPING, NAME, OBJECT, SEQUENCE, Node

if TYPE_CHECKING:
    from phtrack.frames.values.writer import Texts


class _NotPlain(Exception):
    """Something in it needs a closer look."""


class Plain:
    """Writes the plain containers of one event."""

    __slots__ = ("_checked", "_keys", "_known", "_left", "_scrubber", "_texts")

    def __init__(self, scrubber: Texts) -> None:
        self._scrubber = scrubber
        self._left = 0
        self._texts: list[str] = []
        """What is still to be looked at, together."""
        self._checked: set[tuple[str, str]] = set()
        """(text, its name) that were looked at alone and hold nothing."""
        self._known: dict[int, tuple[str | None, Node]] = {}
        """id of a node -> its text, and the node, whose id it is."""
        self._keys: set[str] = set()
        """Mapping keys that are short words."""

    def json(self, node: Node) -> str | None:
        """The one form that *node* has; None if it needs a closer look."""
        if node.form not in (MAPPING, SEQUENCE, OBJECT):
            return None
        known = self._known.get(id(node))
        if known is None:
            known = self._known[id(node)] = (self._written(node), node)
        return known[0]

    def _written(self, node: Node) -> str | None:
        self._left = MAX_NODES
        self._texts.clear()
        try:
            data = self._data(node, "", 1)
        except _NotPlain:
            return None
        if self._texts:
            together = "\n".join(self._texts)
            if not is_unicode(together):
                return None
            if not self._scrubber.clear(together) and not all(self._holds_nothing(text, "") for text in self._texts):
                return None
        return encode.dumps(data).decode()

    def _data(self, node: Node, name: str, depth: int) -> Any:
        items = node.items
        if items is None or node.note is not None or depth > MAX_DEPTH:
            raise _NotPlain
        many = len(items)
        self._left -= many + 1
        if many > MAX_ITEMS or self._left < 0 or (node.length or 0) > many:
            raise _NotPlain
        if node.form == SEQUENCE:
            found = items.copy()
            for index, value in enumerate(items):
                kind = type(value)
                if (kind is not int and kind is not float) or not -PLAIN_INT < value < PLAIN_INT:
                    self._check(found, index, value, name, depth)
            return found
        mapping = dict(items)
        if len(mapping) < many:
            raise _NotPlain
        keys = self._keys
        texts = self._texts
        for key, value in items:
            if key not in keys:
                self._check_key(key, value, many)
            kind = type(value)
            if kind is str and len(value) < SHORT_TEXT:
                texts.append(value)
            elif (kind is not int and kind is not float) or not -PLAIN_INT < value < PLAIN_INT:
                self._check(mapping, key, value, key, depth)
        if node.form == OBJECT:
            mapping.pop("__class__", None)
            mapping["__class__"] = node.type
        return mapping

    def _check(self, parts: Any, at: Any, value: Any, name: str, depth: int) -> None:
        """Look at the part *value* that is known as *name*, and put its data in its place."""
        kind = type(value)
        if kind is str:
            if len(value) < SHORT_TEXT or " " in value:
                if len(value) > MAX_SHOWN_TEXT:
                    raise _NotPlain
                self._texts.append(value)
            elif not self._holds_nothing(value, name):
                raise _NotPlain
        elif kind is Node:
            if value.form in (MAPPING, SEQUENCE, OBJECT):
                parts[at] = self._data(value, name, depth + 1)
            elif value.form == NAME:
                parts[at] = value.data
            else:
                raise _NotPlain
        elif not (value is None or kind is bool):
            raise _NotPlain

    def _holds_nothing(self, text: str, name: str) -> bool:
        if (text, name) in self._checked:
            return True
        if len(text) > MAX_SHOWN_TEXT or not is_unicode(text):
            return False
        rules: list[str] = []
        if self._scrubber.text(text, rules, name=name) != text or rules:
            return False
        self._checked.add((text, name))
        return True

    def _check_key(self, key: Any, value: Any, many: int) -> None:
        if type(key) is not str or len(key) > LONGEST_WORD or is_word(key) is None:
            raise _NotPlain
        if key not in NAMING:
            self._keys.add(key)
        elif many <= MAX_PAIR and type(value) is str and self._scrubber.masks(value) is not None:
            raise _NotPlain  # of `{"name": "Authorization", "value": ...}` the value is one to hide


def is_unicode(text: str) -> bool:
    """False for a text with lone surrogates, which `writer` writes out."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
