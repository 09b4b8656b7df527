"""
From taken values to what travels. Runs behind the door; needs no object of the user.

    Taken -> scrubbed and cut -> `code_variables` (wire contract, exceptions.md §10) and the richer `phtrack.variables`

Both come out of one walk: where nothing is too long for the contract, they share the same data. Values that a scrubber
fails on are redacted.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Protocol

from phtrack import encode
from phtrack.frames.values.node import MAPPING, MASKED, NAME, NUMBER, OBJECT, SEQUENCE, TEXT, Node
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
MAX_SHOWN_TEXT = 400
"""Characters of a string in the richer form."""
_SAFE_INT = 2**53
"""Beyond it a reader in JavaScript would see another number."""


class Texts(Protocol):
    """What rendering asks of the scrubber."""

    def masks(self, name: str) -> str | None:
        """The rule that hides what is called *name*."""
        ...

    def text(self, text: str, found: list[str], /) -> str:
        """*text* without secrets; the rules that found some are appended to *found*."""
        ...


class RenderBudget:
    """What one event may still say about values; shared by all calls of `render` for it, crash frame first."""

    __slots__ = ("code_variables", "texts", "variables")

    def __init__(self, code_variables: int = 10_240, variables: int = 64 * 1024) -> None:
        self.code_variables = code_variables
        """Characters of names and values left in the contract's form."""
        self.variables = variables
        """Characters left in the richer form, estimated."""
        self.texts: dict[str, tuple[str, tuple[str, ...]]] = {}
        """Texts that were scrubbed already, with the rules that found something."""


def render(
    taken: Taken, scrubber: Texts, budget: RenderBudget
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """
    One frame's values as JSON data.

    Returns:
        (`code_variables` of the frame, `variables` for its `phtrack` part, notes about what is missing). All of it
        encodes as JSON without further care: no NaN, no lone surrogate, no integer that needs more than 64 bits.

    Never raises.
    """
    chosen: list[tuple[bool, str, Any]] = []
    variables: list[dict[str, Any]] = []
    notes: list[str] = []
    left_out = 0
    for name, value, kind in taken:
        if kind == "note":
            notes.append(value)
            continue
        entry, contract = _Renderer(scrubber, budget).variable(name, value)
        cost = _size(entry)
        if cost <= budget.variables:
            budget.variables -= cost
            variables.append(entry)
        else:
            left_out += 1
        if kind == "variable":
            cost = len(name) + (len(contract) if type(contract) is str else len(repr(contract)))
            if cost <= budget.code_variables:
                budget.code_variables -= cost
                chosen.append((type(value) is Node, name, contract))
    if left_out:
        notes.append(f"{left_out} values left out: size of the event")
    chosen.sort(key=lambda one: one[:2])
    return {name: contract for _, name, contract in chosen}, variables, notes


class _Renderer:
    """Renders one variable: counts its values and remembers where it is, to recognise cycles."""

    __slots__ = ("_above", "_budget", "_found", "_left", "_scrubber")

    def __init__(self, scrubber: Texts, budget: RenderBudget) -> None:
        self._scrubber = scrubber
        self._budget = budget
        self._found: list[str] = []
        self._left = MAX_NODES
        self._above: set[int] = set()

    def variable(self, name: str, value: Any) -> tuple[dict[str, Any], Any]:
        """(entry of the richer list, value in the contract's form)."""
        try:
            shown, contract = self._pair(value, 0)
        except Exception:  # fails closed
            return {"name": name, "value": MARKER, "type": "?", "redacted": "error"}, MARKER
        entry: dict[str, Any] = {"name": name, "value": shown, "type": _type_of(value)}
        _describe(entry, value)
        if self._found:
            entry["redacted"] = ", ".join(dict.fromkeys(self._found))
        if not _is_number(contract) and type(contract) is not str:
            contract = _as_text(contract)
        return entry, contract

    def _pair(self, value: Any, depth: int) -> tuple[Any, Any]:
        """*value* in the richer and in the contract's form; the same object where they don't differ."""
        self._left -= 1
        kind = type(value)
        if kind is str:
            return self._text(value, len(value))
        if kind is not Node:
            return _number(value)
        form = value.form
        if form == NAME:
            return value.data, value.data
        if form == NUMBER:
            return _number(value.data)
        if form == MASKED:
            self._found.append(value.data)
            return MARKER, MARKER
        if form == TEXT:
            return self._text(value.data, value.length) if value.data is not None else _missing(value)
        return self._container(value, depth)

    def _text(self, text: str, length: int | None) -> tuple[Any, Any]:
        known = self._budget.texts.get(text)
        if known is None:
            found: list[str] = []
            known = _sendable(self._scrubber.text(text, found)), tuple(found)
            self._budget.texts[text] = known
        clean, rules = known
        self._found += rules
        is_cut = length is not None and length > len(text)
        shown = clean[:MAX_SHOWN_TEXT] + "…" if len(clean) > MAX_SHOWN_TEXT or is_cut else clean
        if length is not None and length > MAX_SCANNED:
            return shown, TOO_LONG
        return shown, clean if len(clean) <= MAX_STRING else clean[: MAX_STRING - 3] + "..."

    def _container(self, node: Node, depth: int) -> tuple[Any, Any]:
        if id(node) in self._above:
            return CIRCULAR, CIRCULAR
        if node.items is None:
            return _missing(node)
        if depth >= MAX_DEPTH or self._left <= 0:
            return f"<{node.type}: not shown>", TOO_LONG
        self._above.add(id(node))
        try:
            shown, contract = (self._sequence if node.form == SEQUENCE else self._mapping)(node, depth)
        finally:
            self._above.discard(id(node))
        if node.form != OBJECT and (node.note is not None or (node.length or 0) > MAX_ITEMS):
            contract = TOO_LONG
        return shown, contract

    def _sequence(self, node: Node, depth: int) -> tuple[Any, Any]:
        shown: list[Any] = []
        contract: list[Any] = []
        items = node.items or []
        for value in items:
            if self._left <= 0:
                break
            one, other = self._pair(value, depth + 1)
            shown.append(one)
            contract.append(other)
        missing = max(node.length or 0, len(items)) - len(shown)
        if missing > 0:
            shown.append(f"… {missing:,} more")
            contract.append(TOO_LONG)
        return shown, contract

    def _mapping(self, node: Node, depth: int) -> tuple[Any, Any]:
        is_object = node.form == OBJECT
        shown: dict[str, Any] = {}
        contract: dict[str, Any] = {}
        hidden = 0
        items = node.items or []
        for key, value in items:
            if self._left <= 0:
                break
            name = key if is_object else self._key(key, value, hidden)
            if name is None:
                name = key_marker(hidden)
                hidden += 1
            while name in shown:
                name += "′"  # 1 and "1" are two keys of a dict and one of a JSON object
            shown[name], contract[name] = self._pair(value, depth + 1)
        missing = max(node.length or 0, len(items)) - len(shown)
        if missing > 0:
            shown["…"] = f"{missing:,} more"
            if not is_object:
                contract["…"] = TOO_LONG
        if is_object:
            contract["__class__"] = node.type
            if depth:
                shown["__class__"] = node.type
        return shown, contract

    def _key(self, key: Any, value: Any, hidden: int) -> str | None:
        """The text of a mapping key; None where it could be a secret itself."""
        text = key if type(key) is str else _as_text(self._pair(key, MAX_DEPTH - 2)[1])
        self._left += type(key) is not str
        if len(text) > MAX_STRING:
            text = text[: MAX_STRING - 3] + "..."
        is_masked = type(value) is Node and value.form == MASKED
        if is_masked and type(key) is str and not _is_word(text):
            return None
        clean, _ = self._text(text, len(text))
        if clean == MARKER and not is_masked:
            # The whole text is hidden. A plain word that only names a secret is none: its value was hidden instead.
            return None
        return text if is_masked else clean


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


def _number(value: Any) -> tuple[Any, Any]:
    """None, bool, int or float in both forms."""
    if type(value) is int and not -_SAFE_INT <= value <= _SAFE_INT:
        text = str(value) if value.bit_length() < 4000 else hex(value)
        return text, value if -(2**63) <= value < 2**63 else text
    if type(value) is float and not isfinite(value):
        return str(value), str(value)
    return value, value


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


def _is_word(text: str) -> bool:
    return text.isascii() and text.replace("_", "a").replace("-", "a").replace(".", "a").isalnum()


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
