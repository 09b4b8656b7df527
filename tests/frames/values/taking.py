"""What the tests of values share: take and render the values of the frame in which a call fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from phtrack.frames.site import Site
from phtrack.frames.values import ValueRenderer, ValueSnapshot
from phtrack.frames.values.node import NOTE
from phtrack.scrub import Scrubber

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from phtrack.frames.values.snapshot import Taken

SCRUBBER = Scrubber()


def stopped() -> int:
    """A clock that stands still, so that no time budget ends on a slow machine."""
    return 0


def frames_of(error: BaseException) -> list[tuple[FrameType, Site]]:
    """(frame, fresh site) per level of the traceback, crash frame first."""
    found, tb = [], error.__traceback__
    while tb is not None:
        found.append((tb.tb_frame, Site(tb.tb_frame.f_code, tb.tb_lasti, tb.tb_lineno, tb.tb_frame.f_globals)))
        tb = tb.tb_next
    return found[::-1]


def failure(call: Callable[..., Any], *args: Any) -> BaseException:
    """The exception that ``call(*args)`` ends with."""
    try:
        call(*args)
    except BaseException as error:
        return error
    raise AssertionError("did not fail")


def taken_at(call: Callable[..., Any], *args: Any, level: int = 0, scrubber: Any = SCRUBBER) -> Taken:
    """What is taken of the frame in which ``call(*args)`` fails, or of one *level* further out."""
    frame, site = frames_of(failure(call, *args))[level]
    snapshot = ValueSnapshot(5.0, scrubber, stopped)
    taken = snapshot.take(frame, site)
    snapshot.close()
    return taken


def render(
    taken: Taken, renderer: ValueRenderer | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """`code_variables`, the richer list and the notes, as a reader of the event has them."""
    shown = (renderer or ValueRenderer(SCRUBBER)).frame(taken)
    return _read(f"{{{shown.code_variables}}}"), _read(f"[{shown.variables}]"), shown.notes


def _read(text: str) -> Any:
    """Strictly: UTF-8, no NaN, no name twice."""
    text.encode()
    return json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)


def _refuse(constant: str) -> None:
    raise AssertionError(f"no JSON: {constant}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), pairs
    return found


def shown_at(call: Callable[..., Any], *args: Any, level: int = 0) -> dict[str, Any]:
    """Name -> value in the richer form, in order."""
    return {one["name"]: one["value"] for one in entries_at(call, *args, level=level)}


def entries_at(call: Callable[..., Any], *args: Any, level: int = 0) -> list[dict[str, Any]]:
    """The richer list of the frame in which ``call(*args)`` fails."""
    return render(taken_at(call, *args, level=level))[1]


def taken_of(*values: Any, names: list[str] | None = None) -> Taken:
    """What becomes of *values*, as the locals of a frame, called *names* or ``v0``, ``v1`` ..."""
    names = names or [f"v{n}" for n in range(len(values))]
    source = f"def f({', '.join(names)}):\n    raise ValueError\n"
    space: dict[str, Any] = {}
    exec(compile(source, "<no source>", "exec"), space)
    return taken_at(space["f"], *values)


def entry(value: Any, name: str = "value") -> dict[str, Any]:
    """The richer entry of a variable that holds *value*."""
    (found,) = [one for one in render(taken_of(value, names=[name]))[1] if one["name"] == name]
    return found


def contract(value: Any, name: str = "value") -> Any:
    """The same in the contract's form."""
    return render(taken_of(value, names=[name]))[0][name]


def notes(taken: Taken) -> list[str]:
    """What the snapshot said about values it didn't take."""
    return [value for _, value, kind in taken if kind == NOTE]
