"""
What was handed in to be captured: an exception, a tuple, nothing, or any other value (wire contract, exceptions.md §4.2).
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from phtrack.frames import chain, snapshot

if TYPE_CHECKING:
    from types import FrameType


class Caught:
    """One failure as it was handed in."""

    __slots__ = ("exception", "made_up", "stack", "tail", "tb")

    def __init__(
        self, exception: BaseException, tb: TracebackType | None, stack: FrameType | None, made_up: bool
    ) -> None:
        self.exception = exception
        self.tb = tb
        self.tail = chain.tail_of(tb)
        """The traceback's innermost entry: where it was raised."""
        self.stack = stack
        """The host's frame that called, when there is no traceback."""
        self.made_up = made_up
        """True when something else than an exception was handed in."""


class NotAnException(Exception):
    """Stands in for a value that is no exception; its type and text are the value's."""


def catch(given: Any) -> Caught | None:
    """What to capture, from any input (exceptions.md §4.2); None if there is nothing."""
    if given is None:
        given = sys.exc_info()
        if given[1] is None:
            return None
    if type(given) is tuple and len(given) == 3 and chain.isinstance_static(given[1], BaseException):
        tb = given[2]
        return _caught(given[1], tb if type(tb) is TracebackType else chain.traceback_of(given[1]))
    if chain.isinstance_static(given, BaseException):
        return _caught(given, chain.traceback_of(given))
    if type(given) is tuple and len(given) == 3 and all(one is None for one in given):
        return None
    stack = snapshot.caller_of_phtrack()
    kind = given if issubclass(type(given), type) else type(given)
    return Caught(NotAnException(chain.type_name(kind), _said_by(given)), None, stack, True)


def _caught(exception: BaseException, tb: TracebackType | None) -> Caught:
    return Caught(exception, tb, snapshot.caller_of_phtrack() if tb is None else None, False)


def _said_by(value: Any) -> str:
    """The text of a value that is no exception, bounded."""
    if issubclass(type(value), type):
        return chain.type_name(value)
    try:
        return chain.exact_text(str(value))[: chain.MAX_TEXT]
    except (Exception, SystemExit, GeneratorExit):
        return "<broken repr>"
