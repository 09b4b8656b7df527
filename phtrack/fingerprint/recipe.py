"""
From exceptions to the key they are grouped under.

    FrameFacts -> FramePart (here, once per site) -> ExceptionFacts -> Fingerprint

A fingerprint groups what one fix would cure, so it names the place that is at fault and not the way that led there: the
innermost statement of the application, of the exception at the root of the failure. Callers are added only while the
place merely checks what it was given. Messages, lines, paths of the machine, library frames, names of locals and the
depth of a recursion have no say.

What must not change under version `v1` is the value for the same program: a better recipe is a new version.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from phtrack import _guard
from phtrack.fingerprint import guards, normalise
from phtrack.fingerprint.facts import ExceptionFacts, Fingerprint, FrameFacts
from phtrack.fingerprint.names import names_of, own_statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VERSION = "v1"
MAX_LENGTH = 64
MAX_CALLERS = 4
"""Callers that a chain of guards may add."""
MAX_LEAVES = 50
MIN_REPEATS = 3
"""Calls of one function in a stack that make a recursion of it."""
_COMPREHENSIONS = frozenset(("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>"))
_CANCELLED = frozenset(("CancelledError", "Cancelled", "GeneratorExit"))
"""Exceptions by which someone else ends a task: they have no fault of their own to follow."""


@dataclass(frozen=True, slots=True)
class FramePart:
    """All that the recipe needs to know of one site. Worth keeping: it costs a walk through the function, using it does not."""

    in_app: bool
    file: str
    function: str
    """File and qualified name, as shown: `shop/cart.py Cart.pay`."""
    text: str = ""
    """The statement, normalised; empty without source."""
    caller_text: str = ""
    """The same for a frame that called a guard: numbers in its arguments are data there."""
    position: tuple[int, int] | None = None
    """Of the statement in its file: equal for a comprehension and the statement it stands in."""
    places: tuple[str, ...] = ()
    place: int | None = None
    """Which of `places` failed; None for the statement as a whole."""
    inner: bool = False
    """A comprehension or lambda, which counts as a part of the statement it stands in."""
    raises: bool = False
    """The statement is a `raise`."""
    verdict: guards.Verdict = guards.NOTHING


def frame_part(facts: FrameFacts) -> FramePart:
    """What the recipe takes from one frame. The same for the same site, so it may be cached there. Raises nothing."""
    file = _file(facts.file)
    function = f"{file} {_qualname(facts)}"
    inner = facts.function in _COMPREHENSIONS
    if not facts.in_app:
        return FramePart(False, file, function, inner=inner)
    statement = facts.statement
    if statement is None:
        return FramePart(True, file, function, inner=inner)
    try:
        names = names_of(facts.scope)
        written = normalise.Text(statement, names, facts.freevars)
        ordinal = _ordinal(facts, written.text)
        caller = normalise.Text(statement, names, facts.freevars, numbers=False).text
        caller += ordinal if caller == written.text else _ordinal(facts, caller, numbers=False)
        return FramePart(
            True,
            file,
            function,
            written.text + ordinal,
            caller,
            normalise.anchor(statement),
            written.places(),
            normalise.place_of(statement, facts.expression),
            inner,
            isinstance(statement, ast.Raise),
            guards.judge(statement, names, facts.expression, facts.freevars),
        )
    except Exception as error:  # a tree that no one has seen before must not cost the event its group
        _guard.swallowed("fingerprint of a frame", error)
        return FramePart(True, file, function, inner=inner)


def fingerprint(exceptions: Sequence[ExceptionFacts]) -> Fingerprint:
    """
    The fingerprint of a tree of exceptions.

    Args:
        exceptions: The outermost first, parents before children. Empty gives a fingerprint of nothing.

    Never raises: what can't be worked out is grouped by type and function, and failing that by type and message.
    """
    try:
        return _Tree(exceptions).fingerprint()
    except Exception as error:
        _guard.swallowed("fingerprint", error)
        return _plain(exceptions)


def explicit(value: str | Sequence[str]) -> Fingerprint:
    """
    The fingerprint the user chose.

    A text stands for itself; several are joined by `/`. What is longer than 64 characters is hashed, since a server
    would do so too. Raises ValueError for an empty text or sequence.
    """
    parts = [value] if isinstance(value, str) else [str(one) for one in value]
    text = "/".join(parts)
    if not text.strip():
        raise ValueError(f"a fingerprint needs at least one character, got {value!r}")
    if len(text) > MAX_LENGTH:
        text = _digest("\n".join(parts))
    return Fingerprint(text, parts, "explicit")


class _Tree:
    """One walk over the exceptions of an event."""

    __slots__ = ("children", "exceptions", "seen")

    def __init__(self, exceptions: Sequence[ExceptionFacts]) -> None:
        self.exceptions = exceptions
        self.children: dict[int, list[int]] = {}
        self.seen: set[int] = set()
        for index, one in enumerate(exceptions):
            if one.parent is not None and one.parent != index and index:
                self.children.setdefault(one.parent, []).append(index)

    def fingerprint(self) -> Fingerprint:
        if not self.exceptions:
            return _made([("<nothing>", "<nothing>")], "message")
        leaves = list(self.leaves(0))
        leaves = [leaf for leaf in leaves if not self.exceptions[leaf[0]].is_cut] or leaves
        if len(leaves) == 1:
            index, followed = leaves[0]
            parts, rule = _of_one(self.exceptions[index])
            if rule == "message" and (made := self.maker_of(index)) is not None:
                return _made([parts[0], *made], "group")
            return _made(parts, "cause" if followed and rule != "message" else rule)
        keys: dict[tuple[tuple[str, str], ...], str] = {}
        for index, _ in leaves[:MAX_LEAVES]:
            parts, rule = _of_one(self.exceptions[index])
            if rule == "message":  # never raised, or not in the application: where the group was made says more
                made = self.maker_of(index)
                if made is not None:
                    parts, rule = parts[:1], "group"
                    keys[tuple(made)] = rule
            keys[tuple(parts)] = rule
        if len(keys) == 1:
            ((key, rule),) = keys.items()
            return _made(list(key), rule)
        return _made([part for key in sorted(keys) for part in key], "group")

    def maker_of(self, index: int) -> list[tuple[str, str]] | None:
        """Parts of the closest exception around *index* that has a place in the application."""
        seen = {index}
        parent = self.exceptions[index].parent
        while parent is not None and parent not in seen:
            seen.add(parent)
            parts, rule = _of_one(self.exceptions[parent])
            if rule != "message":
                return parts
            parent = self.exceptions[parent].parent
        return None

    def leaves(self, start: int) -> Iterator[tuple[int, bool]]:
        """The exceptions at the root of the failure, as (index, whether a cause was followed to it), without recursion."""
        pending = [(start, False)]
        while pending:
            index, followed = pending.pop()
            if index in self.seen or not 0 <= index < len(self.exceptions):
                continue
            self.seen.add(index)
            members = [child for child in self.children.get(index, ()) if self.exceptions[child].relation == "member"]
            if members:
                pending.extend((child, followed) for child in reversed(members))
                continue
            cause = self.cause_of(index)
            if cause is None:
                yield index, followed
            else:
                pending.append((cause, True))

    def cause_of(self, index: int) -> int | None:
        """The exception that *index* only passes on, or None if it stands for itself."""
        exception = self.exceptions[index]
        for child in self.children.get(index, ()):
            other = self.exceptions[child]
            meant = other.relation == "cause" or (other.relation == "context" and _raised_in_handler(exception))
            if (
                meant
                and other.type.rpartition(".")[2] not in _CANCELLED
                and child not in self.seen
                and self.reaches_app(child)
            ):
                return child
        return None

    def reaches_app(self, start: int) -> bool:
        pending, seen = [start], set[int]()
        while pending:
            index = pending.pop()
            if index in seen:
                continue
            seen.add(index)
            frames = self.exceptions[index].frames
            if any(frames[position].in_app for position in range(len(frames) - 1, -1, -1)):
                return True
            pending.extend(
                child for child in self.children.get(index, ()) if self.exceptions[child].relation != "context"
            )
        return False


# --- one exception ----------------------------------------------------------------------------------------------------


def _of_one(exception: ExceptionFacts) -> tuple[list[tuple[str, str]], str]:
    """Parts, each as (what counts, what is shown), and the rule that made them."""
    kind = _type(exception.type)
    frames = _Parts(exception.frames)
    if kind == "RecursionError":
        cycle = _cycle(frames, exception.folded)
        if cycle:
            return [(kind, kind), *((function, function) for function in cycle)], "recursion"
    site = _next_frame(frames, len(frames))
    if site is None:
        text = normalise.message(exception.message)
        return [(kind, kind), (text, text)], "message"
    index, place = site
    frame = frames[index]
    parts = [(kind, kind), _part(frame, frame.text, place)]
    if not frame.text:
        return parts, "function"
    if index != len(frames) - 1 or not frame.verdict.guard:
        return parts, "site"
    functions: set[str] = set()
    while len(parts) < MAX_CALLERS + 2:
        functions.add(frame.function)
        caller = _next_frame(frames, _outermost(frames, index))
        if caller is None or frames[caller[0]].verdict.forwards:
            break
        index, place = caller
        frame = frames[index]
        if frame.function in functions:
            break
        parts.append(_part(frame, frame.caller_text, place))
        if not frame.verdict.passes_on:
            break
    return parts, "guard" if len(parts) > 2 else "site"


class _Parts:
    """The parts of a stack, each made when first asked for: most are not needed."""

    __slots__ = ("_frames", "_made")

    def __init__(self, frames: Sequence[FrameFacts | FramePart]) -> None:
        self._frames = frames
        self._made: dict[int, FramePart] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> FramePart:
        frame = self._frames[index]
        if isinstance(frame, FramePart):
            return frame
        made = self._made.get(index)
        if made is None:
            made = self._made[index] = frame_part(frame)
        return made


def _next_frame(frames: _Parts, end: int) -> tuple[int, int | None] | None:
    """
    The innermost frame of the application before *end* that stands for itself, with the place that failed in it.

    Comprehensions and lambdas are a part of the statement they are written in, when that is on the stack; what
    they failed at is then its failing place. Frames that only forward a call are passed over, but where there is nothing
    else, the innermost frame counts.
    """
    fallback: tuple[int, int | None] | None = None
    place_in: tuple[str, tuple[int, int] | None] | None = None
    place: int | None = None
    for index in range(end - 1, -1, -1):
        frame = frames[index]
        if not frame.in_app:
            continue
        inside = place_in is not None and place_in == (frame.file, frame.position)
        failed = place if inside else frame.place
        if frame.inner and _stands_within(frames, index):
            if not inside:
                place_in, place = (frame.file, frame.position), frame.place
        elif not frame.verdict.forwards:
            return index, failed
        if fallback is None:
            fallback = index, failed
    return fallback


def _outermost(frames: _Parts, index: int) -> int:
    """The first call of the function at *index*: how deep it called itself says nothing."""
    function = frames[index].function
    return next(outer for outer in range(index + 1) if frames[outer].function == function)


def _stands_within(frames: _Parts, inner: int) -> bool:
    """Whether the statement in which the comprehension or lambda at *inner* is written is being executed further out."""
    frame = frames[inner]
    if frame.position is None:
        return True
    for index in range(inner - 1, -1, -1):
        other = frames[index]
        if other.in_app and not other.inner:
            return (other.file, other.position) == (frame.file, frame.position)
    return False


def _part(frame: FramePart, text: str, place: int | None) -> tuple[str, str]:
    if not text:
        return frame.function, frame.function
    text = f"{frame.function}: {text}"
    if place is not None and place < len(frame.places):
        text += f" at {frame.places[place]}"
    return text, normalise.shown(text)


def _cycle(frames: _Parts, folded: Sequence[tuple[int, int, int]]) -> list[str]:
    """The application's functions in a recursion, sorted, since it may be cut anywhere; nothing if there is no recursion."""
    on_cycle: list[FramePart] = []
    if folded:
        start, length, _ = max(folded, key=lambda fold: fold[1] * fold[2])
        on_cycle = [frames[index] for index in range(start, min(start + length, len(frames)))]
    if not on_cycle:
        counts: dict[str, int] = {}
        for index in range(len(frames)):
            function = frames[index].function
            counts[function] = counts.get(function, 0) + 1
        most = max(counts.values(), default=0)
        if most < MIN_REPEATS:
            return []
        on_cycle = [frames[index] for index in range(len(frames)) if 3 * counts[frames[index].function] >= most]
    ours = [frame for frame in on_cycle if frame.in_app]
    return sorted(
        {frame.function for frame in ours if not frame.verdict.forwards} or {frame.function for frame in ours}
    )


def _raised_in_handler(exception: ExceptionFacts) -> bool:
    """Whether *exception* was raised on purpose inside an `except` block of the application, be it by a helper."""
    frames = _Parts(exception.frames)
    if not len(frames):
        return False
    last = frames[len(frames) - 1]
    if last.verdict.on_order:
        caller = _next_frame(frames, len(frames) - 1)
        return caller is not None and frames[caller[0]].verdict.in_handler
    return last.raises and last.verdict.in_handler


# --- names ------------------------------------------------------------------------------------------------------------


def _type(name: str) -> str:
    """*name* of a class; where in a function it was made doesn't matter."""
    return name.rpartition("<locals>.")[2] or name


def _qualname(facts: FrameFacts) -> str:
    """`Cart.pay`, and for a comprehension or lambda the function it is written in."""
    names = [name for name in facts.qualname.split(".") if name != "<locals>" and name not in _COMPREHENSIONS]
    name = ".".join(names) or "<module>"
    if facts.function in _COMPREHENSIONS or name.endswith(facts.function):
        return name
    return facts.function  # code that was given another name, as templates are; only 3.11+ keeps the old one beside it


def _file(path: str) -> str:
    """*path*, without what differs between machines or sessions in case it does."""
    path = path.replace("\\", "/")
    if path.startswith("<") or "ipykernel_" in path:
        return "<cell>" if "ipy" in path or "python-input" in path else re.sub(r"\d+", "#", path)
    if path.startswith("/") or path[1:3] == ":/":
        return path.rpartition("/")[2]
    return path


def _ordinal(facts: FrameFacts, text: str, *, numbers: bool = True) -> str:
    """` #2` for the second of equal statements of one function; nothing for the first."""
    statement, scope = facts.statement, facts.scope
    if scope is None or statement is None:
        return ""
    if isinstance(scope, normalise.INNER):
        return ""
    names, here = names_of(scope), normalise.anchor(statement)
    count = 0
    for other in own_statements(scope):
        if other is statement or normalise.anchor(other) == here:
            break
        if _alike(other, statement) and normalise.Text(other, names, facts.freevars, numbers=numbers).text == text:
            count += 1
    return f" #{count + 1}" if count else ""


_HOLDING = frozenset(("Expr", "Return", "Assign", "AnnAssign"))


def _alike(one: object, other: object) -> bool:
    """Whether two statements could have the same text; cheap."""
    kinds = type(one).__name__, type(other).__name__
    if kinds[0] != kinds[1] and not _HOLDING.issuperset(kinds):
        return False
    values = getattr(one, "value", None), getattr(other, "value", None)
    if kinds[0] != kinds[1] and isinstance(values[0], (ast.Name, ast.Constant)):
        return False  # `x = y` and `return x` have little in common
    return type(values[0]) is type(values[1]) or "Await" in (type(values[0]).__name__, type(values[1]).__name__)


# --- values -----------------------------------------------------------------------------------------------------------


def _made(parts: list[tuple[str, str]], rule: str) -> Fingerprint:
    return Fingerprint(_digest("\n".join([part[0] for part in parts])), [part[1] for part in parts], rule)


def _digest(text: str) -> str:
    return f"{VERSION}:{blake2b(text.encode('utf-8', 'backslashreplace'), digest_size=16).hexdigest()}"


def _plain(exceptions: Sequence[ExceptionFacts]) -> Fingerprint:
    """The last resort: type and function, or type and message."""
    first = exceptions[0]
    for frame in reversed(first.frames):
        if frame.in_app:
            function = frame.function if isinstance(frame, FramePart) else f"{_file(frame.file)} {_qualname(frame)}"
            return _made([(part, part) for part in (_type(first.type), function)], "function")
    return _made([(part, part) for part in (_type(first.type), normalise.message(first.message))], "message")
