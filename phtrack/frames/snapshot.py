"""
What the raising thread does: live exceptions and tracebacks in, plain data out, no frame kept.

    walk -> for each link: traceback -> Sites, folded and capped -> values of the application's frames -> Picture

Everything that can be worked out later from a `Site` (source, names, in-app text, JSON) is left to `render`.
"""

from __future__ import annotations

import sys
from _thread import get_native_id
from typing import TYPE_CHECKING, Any

from phtrack.frames import chain
from phtrack.frames.site import Site, _sites, node_site, remember, site_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType, TracebackType

HEAD_FRAMES = 0.25
"""Share of the kept frames that comes from the outer end of a long stack."""
MAX_CYCLE = 8
"""Frames of the longest recursion cycle that is recognised."""
MIN_REPEATS = 4
"""Repetitions of a cycle from which on all but the first and the last are folded away."""


SHORT = 16
"""A stack with fewer frames is shown as it is."""


class Level:
    """One kept frame of a stack: its site, its values, and what was left out before it."""

    __slots__ = ("cycle", "in_app", "omitted", "repeats", "site", "values")

    def __init__(self, site: Site) -> None:
        self.site = site
        self.in_app: bool | None = None
        """True for a frame of the application; None while nobody has asked."""
        self.values: Any = None
        """What `values` took of this frame, or None."""
        self.repeats = 0
        """How often the `cycle` frames that end here were folded away after this one."""
        self.cycle = 0
        self.omitted = 0
        """Frames cut out before this one."""


class Picture:
    """One exception as plain data."""

    __slots__ = ("is_group", "levels", "link", "synthetic")

    def __init__(self, link: chain.Link, levels: list[Level], synthetic: bool) -> None:
        self.link = link
        self.levels = levels
        """Oldest call first."""
        self.synthetic = synthetic
        """True when the stack was made by us (never raised)."""
        self.is_group = link.is_group


class Snapshot:
    """All exceptions of one event."""

    __slots__ = ("pictures", "thread_id")

    def __init__(self, pictures: list[Picture], thread_id: int | None) -> None:
        self.pictures = pictures
        self.thread_id = thread_id
        """The operating system's id of the raising thread, if it fits the wire's 32 bits."""


def take(
    exception: BaseException,
    tb: TracebackType | None,
    *,
    max_frames: int,
    is_in_app: Callable[[Site], bool],
    take_values: Callable[[FrameType, Site], Any] | None,
    own_stack: FrameType | None = None,
) -> Snapshot:
    """
    Picture *exception* and all it came from.

    Args:
        tb: The traceback of *exception* itself; the others' are their own.
        take_values: Called for the application's frames, crash frame first, each exception's own.
        own_stack: For an exception that was never raised: the frame whose callers are its stack.
    """
    pictures: list[Picture] = []
    stacks: list[list[tuple[FrameType, Site]]] = []
    for index, link in enumerate(chain.walk(exception)):
        one = link.exception
        if one is None:
            continue
        link.exception = None
        own = tb if index == 0 else chain.traceback_of(one)
        synthetic = index == 0 and own is None and own_stack is not None
        frames = _stack_frames(own_stack) if synthetic else _traceback_frames(own)
        if len(frames) < SHORT or (len(frames) <= max_frames and not _may_repeat(frames)):
            levels = [Level(site) for _, site in frames]
        else:
            levels, frames = _shortened(frames, max_frames)
        pictures.append(Picture(link, levels, synthetic))
        stacks.append(frames)
    if take_values is not None:
        for where, level in inward_first([picture.levels for picture in pictures]):
            level.in_app = is_in_app(level.site)
            # Django's engine has nothing but its own objects in the frames that stand for a template's tags.
            if level.in_app and not level.site.stands_in:
                level.values = take_values(stacks[where[0]][where[1]][0], level.site)
    thread_id = get_native_id()
    return Snapshot(pictures, thread_id if thread_id < 2**31 else None)


def _traceback_frames(tb: TracebackType | None) -> list[tuple[FrameType, Site]]:
    """(frame, site) per entry, oldest call first; what asks to be hidden is left out."""
    frames = []
    find = _sites.get
    while tb is not None:
        frame = tb.tb_frame
        code = frame.f_code
        lasti = tb.tb_lasti
        site = find((id(code), lasti))
        if site is None:
            site = Site(code, lasti, tb.tb_lineno, frame.f_globals)
            remember(site)
        if not site.hideable:
            frames.append((frame, site))
        elif not _hidden(frame):
            frames.append((frame, node_site(site, frame.f_locals) if site.is_node else site))
        tb = tb.tb_next
    return frames


def _stack_frames(frame: FrameType | None) -> list[tuple[FrameType, Site]]:
    """The stack that leads to *frame*, oldest call first."""
    frames = []
    while frame is not None:
        site = site_of(frame, frame.f_lasti, frame.f_lineno)
        if not site.hideable:
            frames.append((frame, site))
        elif not _hidden(frame):
            frames.append((frame, node_site(site, frame.f_locals) if site.is_node else site))
        frame = frame.f_back
    frames.reverse()
    return frames


def _hidden(frame: FrameType) -> bool:
    local = frame.f_locals
    for name in ("__tracebackhide__", "__traceback_hide__"):
        if name in local:
            value = local[name]
            # Only plain values: the truth of an object of the user's is the user's code. pytest's callables are not asked.
            return value if type(value) is bool else type(value) in (int, str) and bool(value)
    return False


def inward_first(stacks: Sequence[Sequence[Level]]) -> Iterator[tuple[tuple[int, int], Level]]:
    """
    All levels with their (stack, position), in the order in which a budget is best spent: the frames where the exceptions
    were raised, root cause first, then those one call further out, and so on.
    """
    if len(stacks) == 1:
        only = stacks[0]
        for position in range(len(only) - 1, -1, -1):
            yield (0, position), only[position]
        return
    for distance in range(1, max(map(len, stacks), default=0) + 1):
        for index in range(len(stacks) - 1, -1, -1):
            if distance <= len(stacks[index]):
                position = len(stacks[index]) - distance
                yield (index, position), stacks[index][position]


def _may_repeat(frames: list[tuple[FrameType, Site]]) -> bool:
    """False if too few sites stand there twice for a cycle to be folded."""
    return len({site for _, site in frames}) <= len(frames) - MIN_REPEATS + 1


def _shortened(
    frames: list[tuple[FrameType, Site]], max_frames: int
) -> tuple[list[Level], list[tuple[FrameType, Site]]]:
    """The levels of a long stack, recursion folded and the middle cut out, and their frames."""
    keep = (
        _fold([site for _, site in frames]) if _may_repeat(frames) else [(index, 0, 0) for index in range(len(frames))]
    )
    cut = max(0, len(keep) - max_frames)
    cut_at = int(max_frames * HEAD_FRAMES)
    levels: list[Level] = []
    kept: list[tuple[FrameType, Site]] = []
    for position, (index, repeats, cycle) in enumerate(keep):
        if cut and cut_at <= position < cut_at + cut:
            continue
        level = Level(frames[index][1])
        level.repeats = repeats
        level.cycle = cycle
        if cut and position == cut_at + cut:
            level.omitted = cut
        levels.append(level)
        kept.append(frames[index])
    return levels, kept


def _fold(sites: list[Site]) -> list[tuple[int, int, int]]:
    """
    Indices of the frames to keep, with what is folded after them.

    A cycle of up to `MAX_CYCLE` frames that follows itself at least `MIN_REPEATS` times is kept twice, at its start and its
    end; the last frame of its first round carries how many rounds are gone.
    """
    keep: list[tuple[int, int, int]] = []
    ids = [id(site) for site in sites]
    count = len(ids)
    start = 0
    while start < count:
        for cycle in range(1, MAX_CYCLE + 1):
            rounds = 1
            while ids[start : start + cycle] == ids[start + rounds * cycle : start + (rounds + 1) * cycle]:
                rounds += 1
                if start + rounds * cycle >= count:
                    break
            if rounds >= MIN_REPEATS:
                last = start + (rounds - 1) * cycle
                keep += [(index, 0, 0) for index in range(start, start + cycle - 1)]
                keep.append((start + cycle - 1, rounds - 2, cycle))
                keep += [(index, 0, 0) for index in range(last, last + cycle)]
                start = last + cycle
                break
        else:
            keep.append((start, 0, 0))
            start += 1
    return keep


def caller_of_phtrack() -> FrameType | None:
    """The nearest frame that is not phtrack's own: where the host called us."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    return frame


def _is_ours(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__")
    return (
        type(name) is str and (name == "phtrack" or name.startswith("phtrack.")) and not name.startswith("phtrack.demo")
    )
