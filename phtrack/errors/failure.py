"""
One failure, one event: is this exception, or one that it came from, a failure that was captured before?

    exception -> sighting of an earlier capture, or None

The identity is the exception object itself (the mark is in its own `__dict__`, which every exception has) and where its
traceback stood at the time: the same object that travels on outward, is logged on the way and raised again is one failure;
a singleton that is raised anew is another. A wrapper counts as the failure it wraps when it says so (`raise X from e`), or
when it was raised by a `raise` statement in the very code that caught the other; an unrelated error inside an `except` block
is its own failure. So is what is raised from an old one later, as by a circuit breaker that keeps its last error, except for
the first. A group is the failures in it: captured before if all of them were, and when it is captured, so are they.
`except*` and task groups make new groups of old members all the time.
"""

from __future__ import annotations

import dis
from typing import TYPE_CHECKING, Any
from zlib import crc32

from phtrack.frames import chain

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, TracebackType

_POSTHOG_MARK = "__posthog_exception_captured"
_RAISE = dis.opmap["RAISE_VARARGS"]
_MAX_CHAIN = 50


class Sighting(str):
    """
    What an exception remembers of having been captured; only the exception holds it. As a text it is the event's uuid.

    An exception's attributes are not ours alone: they are pickled on the way to another process, copied, dumped as JSON.
    There it is that text and no more, and marks nothing: a copy that is raised is a failure of its own.

    It has the innermost entry of the traceback, which the exception has as well, unless somebody takes its traceback away. An
    address instead would not do: the entry of the next raise is often made where the last one was.
    """

    __slots__ = ("head", "is_wrapped", "pending", "tail")

    head: int
    """The address of the outermost entry."""
    is_wrapped: bool
    """True once something was raised from the exception when it was no longer being handled."""
    pending: Callable[[], Any] | None
    """A weak reference to the event, which can be enriched while it waits, or None: kept exceptions keep no events."""
    tail: TracebackType | None

    def __new__(cls, uuid: str, tb: TracebackType | None, tail: TracebackType | None, pending: Any) -> Sighting:
        self = str.__new__(cls, uuid)
        self.head = id(tb)
        self.is_wrapped = False
        self.pending = pending
        self.tail = tail
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def name_of_marks(project: str) -> str:
    """Under which attribute exceptions remember that they were captured for *project*: another one has its own events."""
    return f"__phtrack_sighting_{crc32(project.encode('utf-8', 'replace')):08x}__"


def _at(tb: TracebackType) -> tuple[int, int]:
    return (id(tb.tb_frame.f_code), tb.tb_lasti)


def mark(exception: BaseException, sighting: Sighting, name: str) -> None:
    """
    Let *exception* remember that it was captured; a group's members that were not captured before, too.

    Args:
        name: As `name_of_marks` has it, here and below.
    """
    dict.__setitem__(chain.instance_dict(exception), name, sighting)
    for leaf in chain.leaves_of(exception):
        tb = chain.traceback_of(leaf)
        if _own(leaf, tb, name) is None:
            own = Sighting(str(sighting), tb, chain.tail_of(tb), sighting.pending)
            dict.__setitem__(chain.instance_dict(leaf), name, own)


def seen(exception: BaseException, tb: TracebackType | None, name: str) -> Sighting | None:
    """
    The earlier capture of this failure, of *exception* itself or of what it wraps; None for a new failure.

    For a group, that of one of its members, if all of them were captured.
    """
    sighting = _own(exception, tb, name)
    if sighting is not None:
        return sighting
    if not chain.kind_of(type(exception)).is_group:
        return _seen_inside(exception, tb, name)
    for leaf in chain.leaves_of(exception):
        leaf_tb = chain.traceback_of(leaf)
        found = _own(leaf, leaf_tb, name) or _seen_inside(leaf, leaf_tb, name)
        if found is None:
            return None
        sighting = sighting or found
    return sighting


def _seen_inside(exception: BaseException, tb: TracebackType | None, name: str) -> Sighting | None:
    """The earlier capture of what *exception* wraps."""
    one, one_tb, is_late = exception, tb, False
    for _ in range(_MAX_CHAIN):
        inner = _wrapped(one, one_tb)
        if inner is None:
            return None
        is_late = is_late or not chain.raised_while(one, inner)
        one, one_tb = inner, chain.traceback_of(inner)
        sighting = _own(one, one_tb, name)
        if sighting is not None:
            return _wrapped_late(sighting, exception, tb, name) if is_late else sighting
    return None


def _wrapped_late(sighting: Sighting, exception: BaseException, tb: TracebackType | None, name: str) -> Sighting | None:
    """*sighting* for the first exception that was raised from it after its end; None for others."""
    if sighting.is_wrapped:
        return None
    sighting.is_wrapped = True
    mark(exception, Sighting(str(sighting), tb, chain.tail_of(tb), sighting.pending), name)
    return sighting


def captured_by_posthog(exception: BaseException) -> bool:
    """True if the `posthog` package, used beside us, has reported it."""
    return bool(dict.get(chain.instance_dict(exception), _POSTHOG_MARK) is True)


def _own(exception: BaseException, tb: TracebackType | None, name: str) -> Sighting | None:
    sighting = dict.get(chain.instance_dict(exception), name)
    if type(sighting) is not Sighting:
        return None
    return sighting if _same_raise(sighting, tb) else None


def _same_raise(sighting: Sighting, tb: TracebackType | None) -> bool:
    """
    True if *tb* tells of the raise that was captured: of how the exception travelled on from it, or was handed out again.

    A traceback grows outward: entries are put in front of it, and its end stays. If one of the new entries is a `raise` at the
    place where the exception was first raised, somebody raised the same object anew. Another end than before is a new raise as
    well, unless no `raise` stands there: asyncio's futures hand an exception to each who waits, all but the first time without
    the frames that it came from.
    """
    tail = sighting.tail
    if tail is None or tb is None:
        return tail is None and tb is None
    at = _at(tail)
    travelled = is_new = True
    while tb.tb_next is not None:
        is_new = is_new and id(tb) != sighting.head
        if is_new and _at(tb) == at:
            travelled = False
        tb = tb.tb_next
    if tb is tail:
        return travelled
    return not is_raise(tb.tb_frame.f_code, tb.tb_lasti)


def _wrapped(exception: BaseException, tb: TracebackType | None) -> BaseException | None:
    """What *exception* is a wrapper of, or None."""
    cause = chain.cause_of(exception)
    if cause is not None:
        return cause
    other = chain.context_of(exception)
    if other is None or not raised_while_handling(tb, chain.traceback_of(other)):
        return None
    return other


def raised_while_handling(tb: TracebackType | None, other: TracebackType | None) -> bool:
    """True if the raise that *tb* ends with is a `raise` statement in the code that caught what *other* belongs to."""
    raised = chain.tail_of(tb)
    if raised is None or other is None or raised.tb_frame is not other.tb_frame:
        return False
    return is_raise(raised.tb_frame.f_code, raised.tb_lasti)


def is_raise(code: CodeType, lasti: int) -> bool:
    """True if the instruction at *lasti* is a `raise` statement's."""
    return 0 <= lasti < len(code.co_code) and code.co_code[lasti] == _RAISE
