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
from phtrack.frames.values.node import BYTES, CHANGED, MASKED, NODES, TEXT, TIME, UNREADABLE, Node
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
_SHORT = 64
"""Characters of a text that count as one node and no more."""


class Masks(Protocol):
    """Decides by name. The scrubber is one."""

    def masks(self, name: str) -> str | None:
        """The rule that hides the value of a variable, attribute or key of this name; None if none does."""
        ...


class Formatter:
    """Reads values for one event within its budgets. Not shared between threads; `close` lets go of all objects."""

    __slots__ = ("_bytes", "_clock", "_memo", "_nodes", "_rules", "_scrubber", "_waiting", "deadline")

    def __init__(self, masks: Masks, clock: Callable[[], int]) -> None:
        self.deadline = 0
        """The reading of the clock (nanoseconds) after which nothing more is read."""
        self._clock = clock
        self._scrubber = masks
        self._rules: dict[str, str | None] = {}
        self._memo: dict[int, tuple[Node, Any]] = {}  # the objects too: an id is only as good as its object's life
        self._waiting: deque[tuple[Node, Any, Shape]] = deque()
        self._nodes = MAX_EVENT_NODES
        self._bytes = MAX_EVENT_BYTES

    def exhausted(self) -> str | None:
        """The budget that has ended, or None."""
        if self._clock() > self.deadline:
            return TIME
        if self._nodes <= 0:
            return NODES
        return BYTES if self._bytes <= 0 else None

    def rule_for(self, name: str) -> str | None:
        """The rule that hides values called *name*, decided once per event and name."""
        rules = self._rules
        if name in rules:
            return rules[name]
        rule = rules[name] = self._scrubber.masks(name)
        return rule

    def read(self, value: Any) -> Any:
        """The value of a variable or expression, with as much of its inside as the budgets allow. Never raises."""
        node = self.visit(value)
        if type(node) is Node and node.items is None:
            known = self._memo.get(id(value))
            if known is not None:  # new, or met before where a budget left it out
                node.note = None
                self._waiting.append((node, value, shape_of(type(value))))
                self._fill_waiting()
        return node

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
        """Like `visit`, for what is known by a *name*: not read at all where the name is masked."""
        kind = type(name)
        if kind is not str:
            if kind is not bytes or len(name) > 100:
                return self.visit(value)
            name = name.decode("latin-1")
        if len(name) <= 200 and (rule := self.rule_for(name)) is not None:
            return Node(MASKED, "", rule)
        return self.visit(value)

    def close(self) -> None:
        """Let go of every object that was read."""
        self._memo.clear()
        self._waiting.clear()

    def _fill_waiting(self) -> None:
        waiting = self._waiting
        nodes = MAX_NODES
        while waiting:
            why = NODES if nodes <= 0 else self.exhausted()
            if why is not None:
                for node, _, _ in waiting:
                    node.note = why
                waiting.clear()
                return
            node, value, shape = waiting.popleft()
            if node.items is not None:
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


def _unreadable(kind: type) -> Node:
    try:
        return Node(TEXT, shape_of(kind).name, None, note=UNREADABLE)
    except Exception:
        return Node(TEXT, "?", None, note=UNREADABLE)
