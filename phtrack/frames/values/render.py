"""
From taken values to what travels. Runs behind the door; needs no object of the user.

    Taken -> scrubbed and cut (`writer`) -> `code_variables` (wire contract, exceptions.md §10) and `phtrack.variables`

Values that a scrubber fails on are redacted.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from phtrack.frames.values.limits import MAX_SHOWN_TEXT, PLAIN_INT
from phtrack.frames.values.node import OBJECT, TEXT, Node
from phtrack.frames.values.writer import HIDDEN, Texts, Writer, name_of, quoted, without_class

if TYPE_CHECKING:
    from phtrack.frames.values.snapshot import Taken

_NUMBER = 8
"""Characters that a number is counted as in the contract's form."""


class Shown(NamedTuple):
    """One frame's values as JSON text."""

    code_variables: str
    """The members of an object, in the contract's order; empty when there are none."""
    variables: str
    """The entries of a list, nearest first; empty when there are none."""
    notes: list[str]
    """What is missing, in words."""
    rules: list[str]
    """Rules that hid something."""


_Variable = tuple[str, str, int, tuple[str, ...]]
"""
One variable: its entry of the richer list from the value on, its value in the contract's form (a JSON string or number), the
characters of the latter, rules that hid something. What it is called is written around it.
"""


class ValueRenderer:
    """
    Renders the values of one event by one scrubber; call `frame` crash frame first, since the budgets are shared.

    An object that stands in many frames is rendered once.
    """

    __slots__ = ("_known", "_left", "_left_for_contract", "_writer")

    def __init__(self, scrubber: Texts, *, code_variables: int = 10_240, variables: int = 64 * 1024) -> None:
        """
        Args:
            code_variables: Characters of names and values in the contract's form.
            variables: Characters of JSON in the richer form.
        """
        self._left_for_contract = code_variables
        self._left = variables
        self._writer = Writer(scrubber)
        self._known: dict[tuple[int, str], tuple[_Variable, Node]] = {}
        """(id of a node, the variable's name) -> what was rendered, and the node, whose id it is."""

    def frame(self, taken: Taken) -> Shown:
        """
        One frame's values. They are UTF-8 and JSON without further care: no NaN, no lone surrogate, no integer that needs
        more than 64 bits.

        Never raises.
        """
        scalars: list[str] = []
        nodes: list[str] = []
        entries: list[str] = []
        notes: list[str] = []
        rules: list[str] = []
        left_out = 0
        for name, value, kind in taken:
            if kind == "note":
                notes.append(value)
                continue
            quoted_name = name_of(name)
            of = type(value)
            if of is int and -PLAIN_INT < value < PLAIN_INT:
                contract = str(value)
                entry = f'{{"name":{quoted_name},"value":{contract},"type":"int"}}'
                size = _NUMBER
            else:
                if of is Node:
                    rest, contract, size, hid = self._node(name, value)
                elif of is str:
                    rest, contract, size, hid = self._written(name, value)
                else:
                    rest, contract, size, hid = _scalar(value) or self._written(name, value)
                entry = f'{{"name":{quoted_name},"value":{rest}'
                if hid:
                    rules += hid
            cost = len(entry)
            if cost <= self._left:
                self._left -= cost
                entries.append(entry)
            else:
                left_out += 1
            if kind == "variable":
                cost = len(name) + size
                if cost <= self._left_for_contract:
                    self._left_for_contract -= cost
                    (nodes if of is Node else scalars).append(f"{quoted_name}:{contract}")
        if left_out:
            notes.append(f"{left_out} values left out: size of the event")
        # The contract's order: scalars by name, then the rest by name.
        scalars.sort()
        nodes.sort()
        return Shown(",".join(scalars + nodes), ",".join(entries), notes, rules)

    def _node(self, name: str, node: Node) -> _Variable:
        known = self._known.get((id(node), name))
        if known is None:
            known = self._known[id(node), name] = (self._written(name, node), node)
        return known[0]

    def _written(self, name: str, value: Any) -> _Variable:
        writer = self._writer
        try:
            forms = writer.variable(value, name)
        except Exception:  # fails closed
            return f'{HIDDEN},"type":{name_of(_type_of(value))},"redacted":"error"}}', HIDDEN, len(HIDDEN), ("error",)
        shown, contract = forms[0], forms[1]
        more = _cut(value)
        rules = writer.found
        if rules:
            more += f',"redacted":{quoted(", ".join(dict.fromkeys(rules)))}'
        if type(value) is Node and value.form == OBJECT:
            shown = without_class(value, shown)
        size = _NUMBER
        if contract[0] in "{[":
            size = len(contract)
            contract = quoted(contract)
        elif contract[0] == '"':
            size = len(contract) - 2
        return f'{shown},"type":{name_of(_type_of(value))}{more}}}', contract, size, tuple(rules)


def _scalar(value: Any) -> _Variable | None:
    """What needs no look for secrets: None, a truth value, a finite float."""
    if type(value) is float and isfinite(value):
        text = repr(value)
        return f'{text},"type":"float"}}', text, _NUMBER, ()
    if value is None:
        return 'null,"type":"NoneType"}', '"None"', _NUMBER, ()
    if value is True:
        return 'true,"type":"bool"}', '"True"', _NUMBER, ()
    if value is False:
        return 'false,"type":"bool"}', '"False"', _NUMBER, ()
    return None


def _cut(value: Any) -> str:
    """The members that tell a value's length and what was cut, where they apply."""
    if type(value) is str:
        if len(value) <= MAX_SHOWN_TEXT:
            return ""
        return f',"length":{len(value)},"truncated":"first {MAX_SHOWN_TEXT:,} of {len(value):,} characters"'
    if type(value) is not Node:
        return ""
    length, cut = value.length, None
    more = f',"length":{length}' if length is not None and value.form != OBJECT else ""
    if value.note is not None:
        cut = value.note
    elif value.items is not None and length is not None and len(value.items) < length:
        cut = f"first {len(value.items):,} of {length:,}"
    elif value.form == TEXT and length is not None and length > min(len(value.data or ""), MAX_SHOWN_TEXT):
        cut = f"first {min(len(value.data), MAX_SHOWN_TEXT):,} of {length:,}"
    return more if cut is None else f'{more},"truncated":{quoted(cut)}'


def _type_of(value: Any) -> str:
    return value.type if type(value) is Node else type(value).__name__
