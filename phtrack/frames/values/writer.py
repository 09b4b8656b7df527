"""
One value as JSON text, scrubbed and cut, in two forms at once. Runs behind the door.

    scalar or Node -> (richer form, the contract's form)

The contract's form has limits of its own (exceptions.md §10). Where neither is too long for it, both are the same text. JSON is
written as it is read. What needs no such care goes the quick way (`plain`).
"""

from __future__ import annotations

from functools import lru_cache
from json.encoder import encode_basestring as _quoted
from math import isfinite
from typing import TYPE_CHECKING, Any, Protocol

from phtrack.frames.values.limits import (
    LONGEST_WORD,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_NODES,
    MAX_PAIR,
    MAX_SCANNED,
    MAX_SHOWN_TEXT,
    MAX_STRING,
    NAMING,
    PLAIN_INT,
    is_word,
)
from phtrack.frames.values.node import MASKED, NAME, NUMBER, OBJECT, SEQUENCE, Node
from phtrack.frames.values.plain import Plain, is_unicode
from phtrack.scrub.marks import CIRCULAR, MARKER, TOO_LONG, key_marker

if TYPE_CHECKING:
    from collections.abc import Sequence

_REUSED_DEPTH = 6
"""What was written down to here is shown again elsewhere without another look."""
_VALUED = frozenset(("value", "val", "values", "default", "content", "raw_value"))
"""Keys by which a mapping tells a value apart from its name."""
_SAFE_INT = 2**53
"""Beyond it a reader in JavaScript would see another number."""


class Texts(Protocol):
    """What writing asks of the scrubber."""

    def masks(self, name: str) -> str | None:
        """The rule that hides what is called *name*."""
        ...

    def text(self, text: str, found: list[str], *, name: str) -> str:
        """*text*, known as *name*, without secrets; the rules that found some are appended to *found*."""
        ...

    def __hash__(self) -> int:
        """By identity: the same rules, all the time."""
        ...

    def source(self, line: str, found: list[str]) -> str:
        """*line* of source without secrets; likewise."""
        ...

    def clear(self, text: str) -> bool:
        """True if no line of *text* holds a secret; False if that takes a closer look."""
        ...


def quoted(text: str) -> str:
    """*text* as a JSON string. Lone surrogates, which no JSON reader takes, are written out."""
    if not (text.isascii() or is_unicode(text)):  # nearly all are ASCII, so that the call is spared
        text = text.encode("utf-8", "backslashreplace").decode()
    return _quoted(text)


name_of = lru_cache(maxsize=4096)(quoted)
"""The same for names of variables and types, which come again with every event."""
HIDDEN = quoted(MARKER)
LEFT_OUT = quoted(TOO_LONG)
_CIRCULAR = quoted(CIRCULAR)
_MORE = '"…"'
_CLASS = '"__class__"'

Forms = tuple[str, ...]
"""The richer and the contract's form; what follows is the writer's."""


class Writer:
    """Writes the values of one event by one scrubber: what stands in many places is written once."""

    __slots__ = ("_above", "_cuts", "_keys", "_left", "_nodes", "_plain", "_scrubber", "_texts", "found")

    def __init__(self, scrubber: Texts) -> None:
        self._scrubber = scrubber
        self.found: list[str] = []
        """Rules that hid something in the variable written last."""
        self._texts: dict[tuple[str, str, int | None], tuple[str, str, tuple[str, ...]]] = {}
        """(text, its name, its length) -> both forms, and the rules that found something."""
        self._nodes: dict[tuple[int, str], tuple[str, str, tuple[str, ...], int, Node]] = {}
        """(id of a node, its name) -> both forms, rules, values in it, and the node, whose id it is."""
        self._plain = Plain(scrubber)
        self._keys: dict[str, str] = {}
        """Mapping keys that are plain words, quoted."""
        self._left = MAX_NODES
        self._above: set[int] = set()
        """Ids of the containers that are being written, to recognise cycles."""
        self._cuts = 0
        """What was cut for the place it stands at, so that it must not be reused elsewhere."""

    def variable(self, value: Any, name: str) -> Forms:
        """Both forms of the variable *name*."""
        self.found = []
        self._left = MAX_NODES
        self._cuts = 0
        self._above.clear()
        if type(value) is Node and (text := self._plain.json(value)) is not None:
            return text, text
        return self._forms(value, name, 0)

    def text(self, text: str, length: int | None, name: str) -> Forms:
        """Both forms of a text of *length*, of which *text* is what was held."""
        key = (text, name, length)
        known = self._texts.get(key)
        if known is None:
            rules: list[str] = []
            clean = self._scrubber.text(text, rules, name=name)
            size = len(clean)
            shown = quoted(clean if size <= MAX_SHOWN_TEXT else clean[:MAX_SHOWN_TEXT] + "…")
            contract = shown
            if length is not None and length > MAX_SCANNED:
                shown, contract = quoted(clean[:MAX_SHOWN_TEXT] + "…"), LEFT_OUT
            elif size > MAX_SHOWN_TEXT:
                contract = quoted(clean if size <= MAX_STRING else clean[: MAX_STRING - 3] + "...")
            known = self._texts[key] = (shown, contract, tuple(rules))
        if known[2]:
            self.found += known[2]
        return known  # type: ignore[return-value]

    def _forms(self, value: Any, name: str, depth: int) -> Forms:
        self._left -= 1
        kind = type(value)
        if kind is str:
            return self.text(value, len(value), name)
        if kind is not Node:
            return self._number(value, name)
        form = value.form
        if form >= SEQUENCE and form != MASKED:
            return self._container(value, name, depth)
        if form == NAME:
            text = quoted(value.data)
            return text, text
        if form == NUMBER:
            return self._number(value.data, name)
        if form == MASKED:
            self.found.append(value.data)
            return HIDDEN, HIDDEN
        return self.text(value.data, value.length, name) if value.data is not None else _missing(value)

    def _number(self, value: Any, name: str) -> Forms:
        """None, bool, int or float."""
        if type(value) is int:
            if -PLAIN_INT < value < PLAIN_INT:
                return (text := str(value)), text
            if PLAIN_INT <= value < 10**19 and self._hides(value, name):
                return HIDDEN, HIDDEN
            if -_SAFE_INT <= value <= _SAFE_INT:
                return (text := str(value)), text
            text = str(value) if value.bit_length() < 4000 else hex(value)
            return f'"{text}"', text if -(2**63) <= value < 2**63 else f'"{text}"'
        if type(value) is float:
            if PLAIN_INT <= value < 10**19 and value.is_integer() and self._hides(int(value), name):
                return HIDDEN, HIDDEN
            text = repr(value) if isfinite(value) else f'"{value}"'
        else:
            text = _CONSTANTS[value]
        return text, text

    def _hides(self, value: int, name: str) -> bool:
        """True for a card number, which is one with and without quotes."""
        rules: list[str] = []
        hides = self._scrubber.text(str(value), rules, name=name) != str(value)
        self.found += rules
        return hides

    def _container(self, node: Node, name: str, depth: int) -> Forms:
        key = (id(node), name)
        known = self._nodes.get(key)
        if known is not None and known[3] <= self._left and depth < MAX_DEPTH - _REUSED_DEPTH:
            self._left -= known[3]
            self.found += known[2]
            return known  # type: ignore[return-value]
        if id(node) in self._above:
            self._cuts += 1
            return _CIRCULAR, _CIRCULAR
        if node.items is None:
            return _missing(node)
        if depth >= MAX_DEPTH or self._left <= 0:
            self._cuts += 1
            return quoted(f"<{node.type}: not shown>"), LEFT_OUT
        cuts, left, rules = self._cuts, self._left, len(self.found)
        self._above.add(id(node))
        write = self._sequence if node.form == SEQUENCE else self._mapping
        shown, contract = write(node, node.items, name, depth)
        self._above.discard(id(node))
        if node.form != OBJECT and (node.note is not None or (node.length or 0) > MAX_ITEMS):
            contract = LEFT_OUT
        if self._cuts == cuts and depth <= _REUSED_DEPTH:
            self._nodes[key] = (shown, contract, tuple(self.found[rules:]), left - self._left, node)
        return shown, contract

    def _sequence(self, node: Node, items: Sequence[Any], name: str, depth: int) -> tuple[str, str]:
        shown: list[str] = []
        contract = shown  # until they differ
        for value in items:
            if self._left <= 0:
                self._cuts += 1
                break
            forms = self._forms(value, name, depth + 1)
            if forms[1] is not forms[0] and contract is shown:
                contract = shown.copy()
            shown.append(forms[0])
            if contract is not shown:
                contract.append(forms[1])
        missing = max(node.length or 0, len(items)) - len(shown)
        if missing > 0:
            if contract is shown:
                contract = shown.copy()
            shown.append(f'"… {missing:,} more"')
            contract.append(LEFT_OUT)
        text = f"[{','.join(shown)}]"
        return text, text if contract is shown else f"[{','.join(contract)}]"

    def _mapping(self, node: Node, items: Sequence[Any], name: str, depth: int) -> tuple[str, str]:
        is_object = node.form == OBJECT
        shown: dict[str, str] = {}
        contract = shown  # until they differ
        hidden = 0
        rule = self._rule_of_pair(items)
        keys = self._keys
        for key, value in items:
            if self._left <= 0:
                self._cuts += 1
                break
            known_as = key if type(key) is str else ""
            text = keys.get(known_as) or (quoted(key) if is_object else self._key(key, value))
            if text is None:
                text = quoted(key_marker(hidden))
                hidden += 1
            while text in shown:
                text = text[:-1] + '′"'  # 1 and "1" are two keys of a dict, and one of a JSON object
            if rule is not None and known_as.lower() in _VALUED:
                self.found.append(rule)
                shown_one = other = HIDDEN
            else:
                kind = type(value)
                if kind is int and -PLAIN_INT < value < PLAIN_INT:
                    self._left -= 1
                    shown_one = other = str(value)
                else:
                    forms = self._forms(value, known_as, depth + 1)
                    shown_one, other = forms[0], forms[1]
            if other is not shown_one and contract is shown:
                contract = shown.copy()
            shown[text] = shown_one
            if contract is not shown:
                contract[text] = other
        missing = max(node.length or 0, len(items)) - len(shown)
        if missing > 0:
            if contract is shown:
                contract = shown.copy()
            shown[_MORE] = f'"{missing:,} more"'
            if not is_object:
                contract[_MORE] = LEFT_OUT
        if is_object:
            shown.pop(_CLASS, None)  # it stands last, where `without_class` looks for it
            contract.pop(_CLASS, None)
            shown[_CLASS] = contract[_CLASS] = quoted(node.type)
        text = _object(shown)
        return text, text if contract is shown else _object(contract)

    def _rule_of_pair(self, items: Sequence[Any]) -> str | None:
        """Of `{"name": "Authorization", "value": ...}` the rule that hides the value."""
        if len(items) > MAX_PAIR:
            return None
        for key, value in items:
            if type(value) is str and key in NAMING and len(value) <= 100:
                return self._scrubber.masks(value)
        return None

    def _key(self, key: Any, value: Any) -> str | None:
        """The quoted text of a mapping key; None where it could be a secret itself."""
        if type(key) is not str:
            if key is None or type(key) is bool:
                return f'"{key}"'
            self._left += 1
            text = self._forms(key, "", MAX_DEPTH - 2)[1]
            return text if text[0] == '"' else quoted(text)
        if type(value) is Node and value.form == MASKED and not is_word(key):
            return None
        if len(key) <= LONGEST_WORD and is_word(key):
            text = self._keys[key] = f'"{key}"'
            return text
        rules: list[str] = []
        clean = self._scrubber.text(key[:MAX_SCANNED], rules, name="")
        if MARKER in clean:
            self.found += rules
            return None
        return quoted(clean if len(key) <= MAX_STRING else clean[: MAX_STRING - 3] + "...")


def without_class(node: Node, shown: str) -> str:
    """The richer form of an object whose class is told beside it."""
    ending = f"{_CLASS}:{quoted(node.type)}}}"
    if not shown.endswith(ending):
        return shown
    return shown[: -len(ending)].rstrip(",") + "}"


def _object(pairs: dict[str, str]) -> str:
    return f"{{{','.join([f'{key}:{value}' for key, value in pairs.items()])}}}"


def _missing(node: Node) -> tuple[str, str]:
    text = quoted(f"<{node.type}: not recorded: {node.note}>" if node.note else f"<{node.type}>")
    return text, text


_CONSTANTS = {None: "null", True: "true", False: "false"}
