"""
What a value becomes on the raising thread: plain data without any object of the user.

A value is a scalar itself (None, bool, float, a short `str`, an `int` of sane size, all of exact type) or a `Node`.
The same node may stand in several places (one `self` in every frame), and inside itself (a cycle).
"""

from __future__ import annotations

from typing import Any

VARIABLE, EXPRESSION, NOTE = "variable", "expression", "note"
"""Kinds of what is taken of a frame; the value of a note is a text about what was not."""

TEXT = 0
"""`data` is text of the user, so it is scrubbed: the head of a long string, bytes, a path, a pattern."""
NAME = 1
"""`data` is a text of ours: `<function shop.pay>`, a number too long to write, a class."""
NUMBER = 2
"""`data` is an exact int or float; `type` says what it was (a subclass, a numpy scalar)."""
SEQUENCE = 3
"""`items` is a list of values."""
MAPPING = 4
"""`items` is a list of (key, value), keys being values themselves."""
OBJECT = 5
"""`items` is a list of (attribute name, value)."""
MASKED = 6
"""Never read: `data` is the rule that forbids to show it."""


class Node:
    """One value that is no scalar. Filled while the snapshot is taken, never changed afterwards."""

    __slots__ = ("data", "form", "items", "length", "note", "type")

    def __init__(self, form: int, type_name: str, data: Any = None, length: int | None = None, note: str | None = None):
        self.form = form
        """One of the constants of this module."""
        self.type = type_name
        """`module.Class`, or the bare name of a builtin."""
        self.data = data
        """The text or number of the forms without parts."""
        self.length = length
        """Characters, bytes or entries the value has, where `items` or `data` may hold fewer."""
        self.items: list[Any] | None = None
        """The parts that were read; None while (or because) none were."""
        self.note = note
        """Why there is less here than there was: a budget, another thread. None when nothing is missing but a tail."""


class _Missing:
    """The type of `MISSING`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Any = _Missing()
"""There is no such value, or none that can be had without running code."""

TIME = "time budget"
NODES = "node budget"
BYTES = "size budget"
CHANGED = "changed by another thread while being read"
UNREADABLE = "could not be read"
