"""
From taken values to what travels. Runs behind the door; needs no object of the user.

    Taken -> scrubbed and cut (`writer`) -> `code_variables` (wire contract, exceptions.md §10) and `phtrack.variables`

Values that a scrubber fails on are redacted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from phtrack.frames.values.limits import MAX_SHOWN_TEXT, PLAIN_INT, SHORT_TEXT
from phtrack.frames.values.node import NOTE, OBJECT, TEXT, VARIABLE, Node
from phtrack.frames.values.plain import is_unicode
from phtrack.frames.values.writer import HIDDEN, Texts, Writer, name_of, quoted, without_class

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phtrack.frames.values.snapshot import Taken


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


_Variable = tuple[str, str, tuple[str, ...]]
"""
One variable: its entry of the richer list from the value on, its value in the contract's form (a JSON string or number), rules
that hid something. What it is called is written around it.
"""


class ValueRenderer:
    """
    Renders the values of one event by one scrubber; call `frame` crash frame first, since the budgets are shared.

    An object that stands in many frames is rendered once. Short texts of all frames may be looked at together beforehand
    (`look_ahead`); nearly always that clears them all.
    """

    __slots__ = ("_clear", "_known", "_left", "_left_for_contract", "_scrubber", "_writer")

    def __init__(self, scrubber: Texts, *, code_variables: int = 10_240, variables: int = 64 * 1024) -> None:
        """
        Args:
            code_variables: Characters of JSON in the contract's form.
            variables: Characters of JSON in the richer form.
        """
        self._left_for_contract = code_variables
        self._left = variables
        self._scrubber = scrubber
        self._writer = Writer(scrubber)
        self._clear: frozenset[str] = frozenset()
        """Short texts that hold nothing, whatever they are called."""
        self._known: dict[tuple[int, str], tuple[_Variable, Node]] = {}
        """(id of a node, the variable's name) -> what was rendered, and the node, whose id it is."""

    def look_ahead(self, frames: Iterable[Taken]) -> None:
        """Look at the short texts of all *frames* together. Never raises."""
        texts = {value for taken in frames for _, value, kind in taken if type(value) is str and kind != NOTE}
        short = frozenset(
            text for text in texts if len(text) < SHORT_TEXT or (" " in text and len(text) <= MAX_SHOWN_TEXT)
        )
        try:
            together = "\n".join(short)
            if is_unicode(together) and self._scrubber.clear(together):
                self._clear = short
        except Exception:  # each is looked at by itself, and hidden where that fails as well
            return

    def frame(self, taken: Taken) -> Shown:
        """
        One frame's values. They are UTF-8 and JSON without further care: no NaN, no lone surrogate, no integer that needs
        more than 64 bits.

        Never raises.
        """
        entries: list[str] = []
        scalars: list[str] = []
        nodes: list[str] = []
        notes: list[str] = []
        rules: list[str] = []
        for name, value, kind in taken:
            if kind is NOTE:
                notes.append(value)
                continue
            quoted_name = name_of(name) if kind is VARIABLE else self._expression(name, rules)
            of = type(value)
            if of is int and -PLAIN_INT < value < PLAIN_INT:
                contract = str(value)
                entries.append(f'{{"name":{quoted_name},"value":{contract},"type":"int"}}')
            else:
                if of is Node:
                    rest, contract, hid = self._node(name, value)
                elif of is str and value in self._clear:
                    contract = quoted(value)
                    rest, hid = f'{contract},"type":"str"}}', ()
                else:
                    rest, contract, hid = _scalar(value) or self._written(name, value)
                entries.append(f'{{"name":{quoted_name},"value":{rest}')
                if hid:
                    rules += hid
            if kind is VARIABLE:
                (nodes if of is Node else scalars).append(f"{quoted_name}:{contract}")
        listed = ",".join(entries)
        if len(listed) > self._left:
            kept = _within(self._left, entries)
            notes.append(f"{len(entries) - len(kept)} values left out: size of the event")
            listed = ",".join(kept)
        self._left -= len(listed)
        # The contract's order: scalars by name, then the rest by name.
        members = ",".join([*sorted(scalars), *sorted(nodes)])
        if len(members) > self._left_for_contract:
            within = frozenset(_within(self._left_for_contract, _nearest_first(taken, scalars, nodes)))
            members = ",".join([*sorted(within.intersection(scalars)), *sorted(within.intersection(nodes))])
        self._left_for_contract -= len(members)
        return Shown(members, listed, notes, rules)

    def _expression(self, text: str, rules: list[str]) -> str:
        """What an expression is called, in quotes: `prices["sk-ant-..."]` has a literal in it, as source has."""
        if "[" not in text:
            return name_of(text)
        try:
            shown, found = _scrubbed(self._scrubber, text)
        except Exception:  # fails closed
            shown, found = HIDDEN, ("error",)
        rules += found
        return shown

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
            return f'{HIDDEN},"type":{name_of(_type_of(value))},"redacted":"error"}}', HIDDEN, ("error",)
        shown, contract = forms[0], forms[1]
        more = _cut(value)
        rules = writer.found
        if rules:
            more += f',"redacted":{quoted(", ".join(dict.fromkeys(rules)))}'
        if type(value) is Node and value.form == OBJECT:
            shown = without_class(value, shown)
        if contract[0] in "{[":
            contract = quoted(contract)
        return f'{shown},"type":{name_of(_type_of(value))}{more}}}', contract, tuple(rules)


@lru_cache(maxsize=1024)
def _scrubbed(scrubber: Texts, expression: str) -> tuple[str, tuple[str, ...]]:
    """The quoted source of an expression, and the rules that hid something. It comes again with each event of its site."""
    found: list[str] = []
    return quoted(scrubber.source(expression, found)), tuple(found)


def _nearest_first(taken: Taken, scalars: list[str], nodes: list[str]) -> list[str]:
    """The members of both lists in the order in which they were taken."""
    left = {True: iter(nodes), False: iter(scalars)}
    return [next(left[type(value) is Node]) for _, value, kind in taken if kind == VARIABLE]


def _within(limit: int, texts: list[str]) -> list[str]:
    """Those of *texts* that together, with a comma after each, have no more than *limit* characters, first come first served."""
    kept: list[str] = []
    for text in texts:
        if len(text) < limit:
            limit -= len(text) + 1
            kept.append(text)
    return kept


def _scalar(value: Any) -> _Variable | None:
    """What needs no look for secrets: None, a truth value, a float of ordinary size."""
    if type(value) is float and -PLAIN_INT < value < PLAIN_INT:
        text = repr(value)
        return f'{text},"type":"float"}}', text, ()
    if value is None:
        return 'null,"type":"NoneType"}', '"None"', ()
    if value is True:
        return 'true,"type":"bool"}', '"True"', ()
    if value is False:
        return 'false,"type":"bool"}', '"False"', ()
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
