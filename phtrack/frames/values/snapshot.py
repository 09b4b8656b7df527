"""
The values of one event's frames, taken on the thread that raised.

One `ValueSnapshot` per event holds the budgets and the memo over all its frames; `take` is called crash frame first.
What it gives is plain data for `render`. Nothing of it refers to a frame or an object of the user.
"""

from __future__ import annotations

import sys
from sys import getrefcount
from time import perf_counter_ns
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from phtrack import _guard
from phtrack.frames.values.containers import SHORT_INT
from phtrack.frames.values.expressions import LOCAL, evaluate
from phtrack.frames.values.formatter import Formatter
from phtrack.frames.values.node import EXPRESSION, MISSING, NOTE, TIME, VARIABLE
from phtrack.frames.values.select import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from phtrack.frames.site import Site
    from phtrack.frames.values.expressions import Shown
    from phtrack.frames.values.select import Plan

SOURCE_NS = 20_000_000
"""Nanoseconds that one event may spend on the source of sites met for the first time; later frames of it go without."""

_WITHOUT_SOURCE = ("", "expressions of the statement: time budget for reading source, at its first report", NOTE)
Taken = tuple[tuple[str, Any, str], ...]
"""(name or text, value, kind) in order of nearness. The value is a scalar or a `Node`."""


class Names(Protocol):
    """What the snapshot asks of the scrubber: decisions by name, which it caches."""

    def masks(self, name: str) -> str | None:
        """The rule that hides what is called *name*; None if none does."""
        ...

    def ignores(self, name: str) -> bool:
        """True if what is called *name* is left out."""
        ...


class ValueSnapshot:
    """Takes the values of the frames of one event. Not for several threads; `close` it when all frames are taken."""

    __slots__ = ("_clock", "_formatter", "_left", "_left_for_source", "_scrubber", "_spent")

    def __init__(self, time_ms: float, scrubber: Names, clock: Callable[[], int] = perf_counter_ns) -> None:
        """
        Args:
            time_ms: Milliseconds of formatting for the whole event.
            clock: Nanoseconds that never go back.
        """
        self._clock = clock
        self._scrubber = scrubber
        self._left = int(time_ms * 1_000_000)
        self._left_for_source = SOURCE_NS
        self._formatter = Formatter(scrubber, clock)
        self._spent = False

    def take(self, frame: FrameType, site: Site) -> Taken:
        """
        The values of *frame*, which stands at *site*.

        Returns:
            Plain data for `render`, nearest first; () once a budget of the event has ended, after one note that said so.

        Never raises. Runs no code of the user, and leaves the frame as it was.
        """
        if self._spent:
            return ()
        start = self._clock()
        names: Any = None
        plan: Any = site.expressions
        try:
            if plan is None:
                plan = self._plan(site, start)
                start = self._clock()
            formatter = self._formatter
            formatter.deadline = start + self._left
            if self._left <= 0:
                formatter.ended = TIME
            names = frame.f_locals
            taken = self._take(frame, plan, names)
            return taken if plan.with_source else (*taken, _WITHOUT_SOURCE)
        except (RecursionError, MemoryError):
            return (("", "not recorded: the stack or the memory was at its end", NOTE),)
        except Exception as error:
            _guard.swallowed("values", error)
            return (("", "not recorded: internal error", NOTE),)
        finally:
            # Up to Python 3.12 a function's `f_locals` is a copy that the frame keeps, and with it every value, also those
            # that a running function deletes later. Nobody else has this copy: take out what we caused to be in it.
            if type(names) is dict and getrefcount(names) == _OWN_REFERENCES and plan.fast:
                _release(names)
            self._left -= self._clock() - start

    def close(self) -> None:
        """Let go of the objects that were read (their ids were in use until now)."""
        self._formatter.close()

    def _plan(self, site: Site, start: int) -> Plan:
        """Make the plan of a site that is met for the first time; reading source has a budget of its own."""
        with_source = self._left_for_source > 0
        plan = make_plan(site, with_source=with_source)
        if with_source:
            site.expressions = plan
        self._left_for_source -= self._clock() - start
        return plan

    def _take(self, frame: FrameType, plan: Plan, mapping: Any) -> Taken:
        view = plan.view
        if view[0] is not self._scrubber:
            view = plan.view = _decided_by(self._scrubber, plan)
        _, shown, names, texts = view
        get = _getter(mapping)
        taken: list[tuple[str, Any, str]] = []
        first: set[str] = set()
        if shown:
            first.update(texts)
            if plan.is_local:
                values = evaluate(plan.steps, get, get, get)
            else:
                values = evaluate(plan.steps, get, _getter(frame.f_globals), _getter(frame.f_builtins))
            self._take_shown(shown, values, taken, first)
        formatter = self._formatter
        read = formatter.read
        left = len(names)
        for name, rule in names if formatter.ended is None else ():
            left -= 1
            value = get(name, MISSING)
            if value is MISSING or name in first:
                continue
            if rule is not None:
                value = formatter.masked(rule, value)
            elif (kind := type(value)) is not float and not (kind is int and -SHORT_INT < value < SHORT_INT):
                value = read(value)
                if formatter.ended is not None:
                    taken.append((name, value, VARIABLE))
                    break
            taken.append((name, value, VARIABLE))
        if formatter.ended is not None:
            self._spent = True
            why = f"{left} more variables of this frame, and those of the frames around it: {formatter.ended}"
            taken.append(("", why, NOTE))
        return tuple(taken)

    def _take_shown(self, shown: Any, values: list[Any], taken: list[tuple[str, Any, str]], first: set[str]) -> None:
        """
        The expressions of the statement; where one has no value, the longest beginning of it that has.

        *first* holds all texts that are shown on their own account; what takes an expression's place is added.
        """
        formatter = self._formatter
        read = formatter.read
        for one in shown:
            value = values[one[1]]
            if value is MISSING:
                one = next((base for base in one[4] if values[base[1]] is not MISSING), None)
                if one is None or one[0] in first:
                    continue
                first.add(one[0])
                value = values[one[1]]
            text, _, kind, rule, _ = one
            if kind is VARIABLE or not _says_its_name(value):
                taken.append((text, read(value) if rule is None else formatter.masked(rule, value), kind))


def _decided_by(scrubber: Names, plan: Plan) -> tuple[Names, Any, Any, Any]:
    """Which names are masked or left out, decided once per site and scrubber, so that a capture needn't."""
    shown = tuple(_decided(one, plan, scrubber) for one in plan.shown if not scrubber.ignores(one.names[0]))
    names = tuple((name, scrubber.masks(name)) for name in plan.names if not scrubber.ignores(name))
    return scrubber, shown, names, frozenset(one[0] for one in shown)


def _decided(one: Shown, plan: Plan, scrubber: Names) -> tuple[str, int, str, str | None, tuple[Any, ...]]:
    """(text, step, kind, rule that masks it, the same for its beginnings)."""
    rule = next((rule for name in one.names if (rule := scrubber.masks(name)) is not None), None)
    kind = VARIABLE if one.is_name and plan.steps[one.step].code == LOCAL else EXPRESSION
    return one.text, one.step, kind, rule, tuple(_decided(base, plan, scrubber) for base in one.bases)


def _says_its_name(value: Any) -> bool:
    """True for functions, classes and modules: in an expression their name says it all."""
    kind = type(value)
    if kind is str or kind is int or kind is dict:
        return False
    return kind is FunctionType or kind is BuiltinFunctionType or kind is ModuleType or issubclass(kind, type)


def _getter(names: Any) -> Callable[[str, Any], Any]:
    """`get` of a frame's names; a class body may have somebody's own mapping, which isn't asked."""
    kind = type(names)
    if kind is dict or kind is _FrameLocals:
        return names.get  # type: ignore[no-any-return]
    if issubclass(kind, dict):
        return lambda name, otherwise: dict.get(names, name, otherwise)
    return lambda name, otherwise: otherwise


def _release(names: dict[str, Any]) -> None:
    if sys.gettrace() is not None or sys.getprofile() is not None:
        return  # a debugger writes such a copy back into the function
    names.clear()


def _count_own_references() -> int:
    names = sys._getframe().f_locals
    return getrefcount(names)


_FrameLocals = (lambda: type(sys._getframe().f_locals))()
"""`dict`, or since Python 3.13 a view of the frame."""
_OWN_REFERENCES = _count_own_references()
