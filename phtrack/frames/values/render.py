"""
From taken values to what travels. Runs behind the door; needs no object of the user.

    Taken -> scrubbed and cut -> `code_variables` (wire contract, exceptions.md §10) and the richer `phtrack.variables`

Both come out of one walk: where nothing is too long for the contract, they share the same data. Values that a scrubber
fails on are redacted.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Any, Protocol

from phtrack import encode
from phtrack.frames.values.node import MASKED, NAME, NUMBER, OBJECT, SEQUENCE, TEXT, Node
from phtrack.scrub.marks import CIRCULAR, MARKER, TOO_LONG, key_marker

if TYPE_CHECKING:
    from phtrack.frames.values.snapshot import Taken

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
_PLAIN_INT = 10**12
"""Below it a whole number is too short to be a card's."""
MAX_SHOWN_TEXT = 400
"""Characters of a string in the richer form."""
_REUSED_DEPTH = 6
"""What was rendered down to here is shown again elsewhere without another look."""
_MAX_PAIR = 8
_NAMING = frozenset(("name", "key", "field", "header", "param", "option"))
_VALUED = frozenset(("value", "val", "values", "default", "content", "raw_value"))
"""Keys by which a mapping tells a name and its value apart, as browsers and cloud APIs do."""
_SAFE_INT = 2**53
"""Beyond it a reader in JavaScript would see another number."""


class Texts(Protocol):
    """What rendering asks of the scrubber."""

    def masks(self, name: str) -> str | None:
        """The rule that hides what is called *name*."""
        ...

    def text(self, text: str, found: list[str], *, name: str) -> str:
        """*text*, known as *name*, without secrets; the rules that found some are appended to *found*."""
        ...


class RenderBudget:
    """
    What one event may still say about values, and what of it was rendered before; shared by all calls of `render` for
    it, crash frame first.

    An object that stands in many frames is rendered once. A budget belongs to one scrubber and one event.
    """

    __slots__ = ("code_variables", "entries", "nodes", "texts", "variables", "words")

    def __init__(self, code_variables: int = 10_240, variables: int = 64 * 1024) -> None:
        self.code_variables = code_variables
        """Characters of names and values left in the contract's form."""
        self.variables = variables
        """Characters left in the richer form, estimated."""
        self.texts: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}
        """(text, its name) -> the same scrubbed, and the rules that found something."""
        self.nodes: dict[tuple[int, str], tuple[Any, Any, tuple[str, ...], int, Node]] = {}
        """(id of a node, its name) -> both forms, rules, values in it, and the node, whose id it is."""
        self.words: set[str] = set()
        """Mapping keys that were found to be plain words."""
        self.entries: dict[tuple[int, str], tuple[dict[str, Any], Any, int]] = {}
        """The same for whole variables: the entry of the richer list, the contract's form, characters."""


def render(
    taken: Taken, scrubber: Texts, budget: RenderBudget
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """
    One frame's values as JSON data.

    Returns:
        (`code_variables` of the frame, `variables` for its `phtrack` part, notes about what is missing). All of it
        encodes as JSON without further care: no NaN, no lone surrogate, no integer that needs more than 64 bits. Parts
        may be shared between frames: don't change them.

    Never raises.
    """
    scalars: list[tuple[str, Any]] = []
    nodes: list[tuple[str, Any]] = []
    variables: list[dict[str, Any]] = []
    notes: list[str] = []
    left_out = 0
    for name, value, kind in taken:
        if kind == "note":
            notes.append(value)
            continue
        entry, contract, cost = _variable(name, value, scrubber, budget)
        if cost <= budget.variables:
            budget.variables -= cost
            variables.append(entry)
        else:
            left_out += 1
        if kind == "variable":
            cost = len(name) + (len(contract) if type(contract) is str else 8)
            if cost <= budget.code_variables:
                budget.code_variables -= cost
                (nodes if type(value) is Node else scalars).append((name, contract))
    if left_out:
        notes.append(f"{left_out} values left out: size of the event")
    # The contract's order: scalars by name, then the rest by name. Names are unique, so values are never compared.
    scalars.sort()
    if nodes:
        nodes.sort()
        scalars += nodes
    return dict(scalars), variables, notes


def _variable(name: str, value: Any, scrubber: Texts, budget: RenderBudget) -> tuple[dict[str, Any], Any, int]:
    """(entry of the richer list, value in the contract's form, characters of the entry)."""
    kind = type(value)
    if kind is bool or value is None:
        return {"name": name, "value": value, "type": kind.__name__}, str(value), 40
    if (kind is int and -_PLAIN_INT < value < _PLAIN_INT) or (kind is float and isfinite(value)):
        return {"name": name, "value": value, "type": kind.__name__}, value, 48 + len(name)
    walk = _Walk(scrubber, budget)
    if kind is str and len(value) <= MAX_SHOWN_TEXT:
        try:
            clean = walk._scrub(value, name)
        except Exception:  # fails closed
            return {"name": name, "value": MARKER, "type": "str", "redacted": "error"}, MARKER, 80
        if len(clean) <= MAX_SHOWN_TEXT:
            entry: dict[str, Any] = {"name": name, "value": clean, "type": "str"}
            if walk.found:
                entry["redacted"] = ", ".join(dict.fromkeys(walk.found))
            return entry, clean, 40 + len(name) + len(clean)
    key = (id(value), name)
    if kind is Node and (known := budget.entries.get(key)) is not None:
        return known
    try:
        shown, contract = walk.pair(value, name, 0)
    except Exception:  # fails closed
        return {"name": name, "value": MARKER, "type": _type_of(value), "redacted": "error"}, MARKER, 80
    if kind is Node and value.form == OBJECT and type(shown) is dict:
        shown = {name: part for name, part in shown.items() if name != "__class__"}
    entry = {"name": name, "value": shown, "type": _type_of(value)}
    _describe(entry, value)
    if walk.found:
        entry["redacted"] = ", ".join(dict.fromkeys(walk.found))
    if type(contract) is not str and not _is_number(contract):
        contract = _as_text(contract)
    cost = 40 + len(name) + (_size(shown) if contract == TOO_LONG else len(contract) if type(contract) is str else 8)
    result = (entry, contract, cost)
    if kind is Node:
        budget.entries[key] = result
    return result


class _Walk:
    """Renders one variable: counts its values and remembers where it is, to recognise cycles."""

    __slots__ = ("_above", "_budget", "_cuts", "_left", "_scrubber", "found")

    def __init__(self, scrubber: Texts, budget: RenderBudget) -> None:
        self._scrubber = scrubber
        self._budget = budget
        self.found: list[str] = []
        """Rules that hid something."""
        self._left = MAX_NODES
        self._above: set[int] = set()
        self._cuts = 0
        """What was cut for the place it stands at, so that it must not be reused elsewhere."""

    def pair(self, value: Any, name: str, depth: int) -> tuple[Any, Any]:
        """*value*, known as *name*, in the richer and in the contract's form; the same object where they don't differ."""
        self._left -= 1
        kind = type(value)
        if kind is int and -_PLAIN_INT < value < _PLAIN_INT:
            return value, value
        if kind is str:
            return self._text(value, len(value), name)
        if kind is not Node:
            return self._number(value, name)
        form = value.form
        if form >= SEQUENCE and form != MASKED:
            return self._container(value, name, depth)
        if form == NAME:
            return value.data, value.data
        if form == NUMBER:
            return self._number(value.data, name)
        if form == MASKED:
            self.found.append(value.data)
            return MARKER, MARKER
        return self._text(value.data, value.length, name) if value.data is not None else _missing(value)

    def _number(self, value: Any, name: str) -> tuple[Any, Any]:
        """None, bool, int or float in both forms."""
        if type(value) is int:
            if 10**12 <= value < 10**19 and self._scrub(str(value), name) != str(value):
                return MARKER, MARKER  # a card number is one with and without quotes
            if not -_SAFE_INT <= value <= _SAFE_INT:
                text = str(value) if value.bit_length() < 4000 else hex(value)
                return text, value if -(2**63) <= value < 2**63 else text
        elif type(value) is float and not isfinite(value):
            return str(value), str(value)
        return value, value

    def _scrub(self, text: str, name: str) -> str:
        texts = self._budget.texts
        known = texts.get((text, name))
        if known is None:
            found: list[str] = []
            clean = self._scrubber.text(text, found, name=name)
            known = texts[text, name] = (_sendable(clean), tuple(found))
        self.found += known[1]
        return known[0]

    def _text(self, text: str, length: int | None, name: str) -> tuple[Any, Any]:
        clean = self._scrub(text, name)
        size = len(clean)
        if length is None or length <= MAX_SCANNED:
            if size <= MAX_SHOWN_TEXT:
                return clean, clean
            return clean[:MAX_SHOWN_TEXT] + "…", clean if size <= MAX_STRING else clean[: MAX_STRING - 3] + "..."
        return clean[:MAX_SHOWN_TEXT] + "…", TOO_LONG

    def _container(self, node: Node, name: str, depth: int) -> tuple[Any, Any]:
        key = (id(node), name)
        known = self._budget.nodes.get(key)
        if known is not None and known[3] <= self._left and depth < MAX_DEPTH - _REUSED_DEPTH:
            self._left -= known[3]
            self.found += known[2]
            return known[:2]
        if id(node) in self._above:
            self._cuts += 1
            return CIRCULAR, CIRCULAR
        if node.items is None:
            return _missing(node)
        if depth >= MAX_DEPTH or self._left <= 0:
            self._cuts += 1
            return f"<{node.type}: not shown>", TOO_LONG
        cuts, left, rules = self._cuts, self._left, len(self.found)
        self._above.add(id(node))
        shown, contract = (self._sequence if node.form == SEQUENCE else self._mapping)(node, name, depth)
        self._above.discard(id(node))
        if node.form != OBJECT and (node.note is not None or (node.length or 0) > MAX_ITEMS):
            contract = TOO_LONG
        if self._cuts == cuts and depth <= _REUSED_DEPTH:
            self._budget.nodes[key] = (shown, contract, tuple(self.found[rules:]), left - self._left, node)
        return shown, contract

    def _sequence(self, node: Node, name: str, depth: int) -> tuple[Any, Any]:
        shown: list[Any] = []
        contract = shown  # until they differ
        items = node.items or []
        for value in items:
            if self._left <= 0:
                self._cuts += 1
                break
            one, other = self.pair(value, name, depth + 1)
            if other is not one and contract is shown:
                contract = shown.copy()
            shown.append(one)
            if contract is not shown:
                contract.append(other)
        missing = max(node.length or 0, len(items)) - len(shown)
        if missing > 0:
            if contract is shown:
                contract = shown.copy()
            shown.append(f"… {missing:,} more")
            contract.append(TOO_LONG)
        return shown, contract

    def _mapping(self, node: Node, name: str, depth: int) -> tuple[Any, Any]:
        is_object = node.form == OBJECT
        shown: dict[str, Any] = {}
        contract = shown  # until they differ
        hidden = 0
        items = node.items or []
        rule = self._rule_of_pair(items)
        words = self._budget.words
        for key, value in items:
            if self._left <= 0:
                self._cuts += 1
                break
            known_as = key if type(key) is str else ""
            text = key if is_object or (known_as in words and type(value) is not Node) else self._key(key, value)
            if text is None:
                text = key_marker(hidden)
                hidden += 1
            while text in shown:
                text += "′"  # 1 and "1" are two keys of a dict, and one of a JSON object
            if rule is not None and known_as.lower() in _VALUED:
                self.found.append(rule)
                one = other = MARKER
            else:
                one, other = self.pair(value, known_as, depth + 1)
            if other is not one and contract is shown:
                contract = shown.copy()
            shown[text] = one
            if contract is not shown:
                contract[text] = other
        missing = max(node.length or 0, len(items)) - len(shown)
        if missing > 0:
            if contract is shown:
                contract = shown.copy()
            shown["…"] = f"{missing:,} more"
            if not is_object:
                contract["…"] = TOO_LONG
        if is_object:
            shown["__class__"] = contract["__class__"] = node.type
        return shown, contract

    def _rule_of_pair(self, items: list[Any]) -> str | None:
        """Of `{"name": "Authorization", "value": ...}` the rule that hides the value."""
        if len(items) > _MAX_PAIR:
            return None
        for key, value in items:
            if type(value) is str and type(key) is str and key.lower() in _NAMING and len(value) <= 100:
                return self._scrubber.masks(value)
        return None

    def _key(self, key: Any, value: Any) -> str | None:
        """The text of a mapping key; None where it could be a secret itself."""
        if type(key) is not str:
            self._left += 1
            text = self.pair(key, "", MAX_DEPTH - 2)[1]
            return text if type(text) is str else _as_text(text)
        if type(value) is Node and value.form == MASKED:
            return key if _is_word(key) else None
        if len(key) > MAX_STRING:
            return key[: MAX_STRING - 3] + "..." if (key := self._scrub(key, "")) != MARKER else None
        if len(key) < 16 and _is_word(key):
            self._budget.words.add(key)
            return key
        clean = self._scrub(key, "")
        return None if MARKER in clean else clean


def _describe(entry: dict[str, Any], value: Any) -> None:
    """Add length and what was cut to an entry, where they apply."""
    if type(value) is str:
        if len(value) > MAX_SHOWN_TEXT:
            entry["length"] = len(value)
            entry["truncated"] = f"first {MAX_SHOWN_TEXT:,} of {len(value):,} characters"
        return
    if type(value) is not Node:
        return
    length = value.length
    if length is not None and value.form != OBJECT:
        entry["length"] = length
    if value.note is not None:
        entry["truncated"] = value.note
    elif value.items is not None and length is not None and len(value.items) < length:
        entry["truncated"] = f"first {len(value.items):,} of {length:,}"
    elif value.form == TEXT and length is not None and length > min(len(value.data or ""), MAX_SHOWN_TEXT):
        entry["truncated"] = f"first {min(len(value.data), MAX_SHOWN_TEXT):,} of {length:,}"


def _type_of(value: Any) -> str:
    return value.type if type(value) is Node else type(value).__name__


def _missing(node: Node) -> tuple[Any, Any]:
    text = f"<{node.type}: not recorded: {node.note}>" if node.note else f"<{node.type}>"
    return text, text


def _is_number(value: Any) -> bool:
    return type(value) is int or type(value) is float


def _as_text(value: Any) -> str:
    """What the contract shows of what is neither number nor text: `None`, `True`, JSON of a container."""
    if value is None or type(value) is bool:
        return str(value)
    if type(value) is str:
        return value
    return encode.dumps(value).decode("utf-8", "replace")


def _sendable(text: str) -> str:
    """*text* without lone surrogates, which no JSON reader takes; they are written out."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


_is_word = re.compile(r"[\w.\-]+\Z", re.ASCII).match


def _size(value: Any) -> int:
    """About the characters *value* takes as JSON."""
    kind = type(value)
    if kind is str:
        return len(value) + 3
    if kind is dict:
        return 2 + sum(len(key) + 4 + _size(one) for key, one in value.items())
    if kind is list:
        return 2 + sum(map(_size, value)) + len(value)
    return 8
