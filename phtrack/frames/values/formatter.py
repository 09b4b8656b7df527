"""
The snapshot of values: live objects in, plain bounded data out. Runs on the thread that raised.

    object -> shape of its type (`shapes`) -> scalar or Node (`node`), filled breadth first

Breadth first, so that a budget cuts the depths and not the second field of the object at hand, and so that nesting
costs no stack. Each object is read once per event: wherever it stands again, the same node stands.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from phtrack.frames.values.leaves import MAX_INT, MAX_TEXT, TEXT_HEAD
from phtrack.frames.values.node import BYTES, CHANGED, MASKED, NODES, SEQUENCE, TEXT, TIME, UNREADABLE, Node
from phtrack.frames.values.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack.frames.values.shapes import Shape

MAX_NODES = 100
"""Values read for one variable."""
MAX_EVENT_NODES = 3000
"""Values read for one event."""
MAX_EVENT_BYTES = 256 * 1024
"""Characters of text held for one event."""
MAX_NAME = 200
"""Characters of a name that is still looked at; what is longer is text."""
MAX_RULES = 4096
"""Names whose rule is remembered."""
_SHORT = 64
"""Characters of a text that count as one node and no more."""


class Masks(Protocol):
    """Decides by name. The scrubber is one."""

    def masks(self, name: str) -> str | None:
        """The rule that hides the value of a variable, attribute or key of this name; None if none does."""
        ...


class Formatter:
    """Reads values for one event within its budgets. Not shared between threads; `close` lets go of all objects."""

    __slots__ = ("_bytes", "_clock", "_memo", "_nodes", "_scrubber", "_waiting", "deadline", "ended", "rules")

    def __init__(self, masks: Masks, clock: Callable[[], int]) -> None:
        self.deadline = 0
        """The reading of the clock (nanoseconds) after which nothing more is read."""
        self.ended: str | None = None
        """The budget that has ended; nothing is read any more once it is set."""
        self.rules = _rules_of(masks)
        """What `rule_for` has decided, in this event or before."""
        self._clock = clock
        self._scrubber = masks
        self._memo: dict[int, tuple[Node, Any]] = {}  # the objects too: an id is only as good as its object's life
        self._waiting: deque[tuple[Node, Any, Shape]] = deque()
        self._nodes = MAX_EVENT_NODES
        self._bytes = MAX_EVENT_BYTES

    def rule_for(self, name: Any) -> str | None:
        """The rule that hides what is known by *name* (text, or bytes as in a header), decided once per name."""
        kind = type(name)
        if (kind is not str and kind is not bytes) or len(name) > MAX_NAME:
            return None
        if name in self.rules:
            return self.rules[name]
        rule = self.rules[name] = self._scrubber.masks(name if kind is str else name.decode("latin-1"))
        return rule

    def read(self, value: Any) -> Any:
        """The value of a variable or expression, with as much of its inside as the budgets allow. Never raises."""
        kind = type(value)
        if kind is int:
            if -MAX_INT < value < MAX_INT:
                return value
        elif kind is str:
            if len(value) <= _SHORT:
                return value
        elif value is None or kind is float or kind is bool:
            return value
        memo = self._memo
        known = memo.get(id(value))
        node = self.visit(value) if known is None else known[0]
        if type(node) is Node and node.items is None:
            if node.form < SEQUENCE:
                memo[id(value)] = (node, value)
            else:  # new, or met before where a budget left it out
                if known is not None:
                    node.note = None
                    self._waiting.append((node, value, shape_of(kind)))
                self._fill_waiting()
        return node

    def masked(self, rule: str, value: Any) -> Any:
        """
        A value whose name is masked by *rule*: not read at all.

        Except for None, a truth value and the empty text: they are no secret, and "the password was None" is often the
        answer.
        """
        if value is None or value is True or value is False or (type(value) is str and not value):
            return value
        return Node(MASKED, "", rule)

    def visit(self, value: Any) -> Any:
        """*value* as a scalar or a node; a container's node is filled when its turn comes."""
        kind = type(value)
        if kind is str:
            length = len(value)
            if length > _SHORT:
                self._bytes -= min(length, TEXT_HEAD)
                if length > MAX_TEXT:
                    return Node(TEXT, "str", value[:TEXT_HEAD], length)
            return value
        if value is None or kind is bool or kind is float:
            return value
        if kind is int and -MAX_INT < value < MAX_INT:
            return value
        try:
            known = self._memo.get(id(value))
            if known is not None:
                return known[0]
            shape = shape_of(kind)
            if shape.leaf is not None:
                return shape.leaf(value, shape)
            node = Node(shape.form, shape.name)
            self._memo[id(value)] = (node, value)
            self._waiting.append((node, value, shape))
        except Exception:  # an object that fights back, memory or stack at their end: the rest still arrives
            return _unreadable(kind)
        return node

    def named(self, name: Any, value: Any) -> Any:
        """Like `visit`, for what is known by a *name*: not read where the name is masked."""
        rules = self.rules
        rule = rules[name] if type(name) is str and name in rules else self.rule_for(name)
        return self.visit(value) if rule is None else self.masked(rule, value)

    def close(self) -> None:
        """Let go of every object that was read."""
        self._memo.clear()
        self._waiting.clear()

    def _fill_waiting(self) -> None:
        """Fill nodes in the order in which they were met, until one of the budgets ends."""
        waiting = self._waiting
        nodes = MAX_NODES
        while waiting:
            if self._clock() > self.deadline:
                self.ended = TIME
            elif self._nodes <= 0:
                self.ended = NODES
            elif self._bytes <= 0:
                self.ended = BYTES
            if nodes <= 0 or self.ended is not None:
                for node, _, _ in waiting:
                    node.note = self.ended or NODES
                waiting.clear()
                return
            node, value, shape = waiting.popleft()
            if node.items is not None or shape.fill is None:
                continue  # it waited twice: as a part of something, and as a variable of its own
            node.items = []
            try:
                shape.fill(self, value, node, shape)
            except RuntimeError as error:
                node.note = CHANGED if type(error) is RuntimeError else UNREADABLE
            except Exception:
                node.note = UNREADABLE
            used = len(node.items) + 1
            nodes -= used
            self._nodes -= used


_rules: tuple[Any, dict[Any, str | None]] = (None, {})
"""The scrubber that was asked last, and its decisions: nearly always there is one."""


def _rules_of(masks: Masks) -> dict[Any, str | None]:
    global _rules
    known = _rules
    if known[0] is not masks or len(known[1]) > MAX_RULES:  # never emptied: another thread may be using it
        known = _rules = (masks, {})
    return known[1]


def _unreadable(kind: type) -> Node:
    try:
        return Node(TEXT, shape_of(kind).name, None, note=UNREADABLE)
    except Exception:
        return Node(TEXT, "?", None, note=UNREADABLE)
