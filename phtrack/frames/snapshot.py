"""
What the raising thread does: live exceptions and tracebacks in, plain data out, no frame kept.

    walk -> for each link: traceback -> Sites, folded and capped -> values of the application's frames -> Picture

Everything that can be worked out later from a `Site` (source, names, in-app text, JSON) is left to `render`.
"""

from __future__ import annotations

import sys
from _thread import get_native_id
from typing import TYPE_CHECKING, Any, NamedTuple

from phtrack.frames import chain
from phtrack.frames.site import Site, _sites, node_site, remember, site_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import FrameType, TracebackType

HEAD_FRAMES = 0.25
"""Share of the kept frames that comes from the outer end of a long stack."""
MAX_CYCLE = 8
"""Frames of the longest recursion cycle that is recognised."""
MIN_REPEATS = 4
"""Repetitions of a cycle from which on all but the first and the last are folded away."""


SHORT = 16
"""A stack with fewer frames is shown as it is."""


class Cut(NamedTuple):
    """What was left out of a stack at one of its kept frames."""

    repeats: int = 0
    """How often the `cycle` frames that end here were folded away after this one."""
    cycle: int = 0
    omitted: int = 0
    """Frames cut out before this one."""


class Level:
    """One kept frame of a stack: its site, its values, and what was left out around it."""

    __slots__ = ("cut", "in_app", "site", "values")

    def __init__(self, site: Site) -> None:
        self.site = site
        self.in_app: bool | None = None
        """True for a frame of the application; None while nobody has asked."""
        self.values: Any = None
        """What `values` took of this frame, or None."""
        self.cut: Cut | None = None
        """None for nearly all."""


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
    apps: list[list[tuple[Level, FrameType]]] = []
    decide = is_in_app if take_values is not None else None
    for index, link in enumerate(chain.walk(exception)):
        one = link.exception
        if one is None:
            continue
        link.exception = None
        own = tb if index == 0 else chain.traceback_of(one)
        synthetic = index == 0 and own is None and own_stack is not None
        levels, app = _stack_levels(own_stack, decide) if synthetic else _traceback_levels(own, decide)
        if len(levels) >= SHORT and (len(levels) > max_frames or _may_repeat(levels)):
            levels = _shortened(levels, max_frames)
            kept = frozenset(levels)
            app = [pair for pair in app if pair[0] in kept]
        pictures.append(Picture(link, levels, synthetic))
        apps.append(app)
    if take_values is not None:
        for level, frame in reversed(apps[0]) if len(apps) == 1 else _inward_first(pictures, apps):
            level.values = take_values(frame, level.site)
    thread_id = get_native_id()
    return Snapshot(pictures, thread_id if thread_id < 2**31 else None)


Levels = tuple["list[Level]", "list[tuple[Level, FrameType]]"]
"""A stack's levels, oldest call first; and those of the application among them, whose values are worth a look, with their frames."""


def _traceback_levels(tb: TracebackType | None, is_in_app: Callable[[Site], bool] | None) -> Levels:
    """The entries of a traceback; what asks to be hidden is left out."""
    levels: list[Level] = []
    app: list[tuple[Level, FrameType]] = []
    find = _sites.get
    while tb is not None:
        frame = tb.tb_frame
        code = frame.f_code
        lasti = tb.tb_lasti
        site = find((id(code), lasti))
        if site is None:
            site = Site(code, lasti, tb.tb_lineno, frame.f_globals)
            remember(site)
        tb = tb.tb_next
        if site.hideable:
            if _hidden(frame):
                continue
            if site.is_node:
                site = node_site(site, frame.f_locals)
        level = Level(site)
        levels.append(level)
        if is_in_app is not None:
            asked = site.in_app  # what `InApp` remembers, without the call
            level.in_app = asked[1] if asked is not None and asked[0] is is_in_app else is_in_app(site)
            # Django's engine has nothing but its own objects in the frames that stand for a template's tags.
            if level.in_app and not site.stands_in:
                app.append((level, frame))
    return levels, app


def _stack_levels(frame: FrameType | None, is_in_app: Callable[[Site], bool] | None) -> Levels:
    """The stack that leads to *frame*, likewise."""
    levels: list[Level] = []
    app: list[tuple[Level, FrameType]] = []
    while frame is not None:
        site = site_of(frame, frame.f_lasti, frame.f_lineno)
        if not (site.hideable and _hidden(frame)):
            if site.is_node:
                site = node_site(site, frame.f_locals)
            level = Level(site)
            levels.append(level)
            if is_in_app is not None:
                level.in_app = is_in_app(site)
                if level.in_app and not site.stands_in:
                    app.append((level, frame))
        frame = frame.f_back
    levels.reverse()
    app.reverse()
    return levels, app


def _hidden(frame: FrameType) -> bool:
    local = frame.f_locals
    for name in ("__tracebackhide__", "__traceback_hide__"):
        if name in local:
            value = local[name]
            # Only plain values: the truth of an object of the user's is the user's code. pytest's callables are not asked.
            return value if type(value) is bool else type(value) in (int, str) and bool(value)
    return False


def _inward_first(
    pictures: list[Picture], apps: list[list[tuple[Level, FrameType]]]
) -> Iterable[tuple[Level, FrameType]]:
    """What is in *apps* in the order of `inward_first`."""
    frames = {level: frame for app in apps for level, frame in app}
    order = inward_first([picture.levels for picture in pictures])
    return ((level, frames[level]) for level in order if level in frames)


def inward_first(stacks: Sequence[Sequence[Level]]) -> Iterator[Level]:
    """
    All levels in the order in which a budget is best spent: the frames where the exceptions were raised, root cause first,
    then those one call further out, and so on.
    """
    if len(stacks) == 1:
        yield from reversed(stacks[0])
        return
    for distance in range(1, max(map(len, stacks), default=0) + 1):
        for index in range(len(stacks) - 1, -1, -1):
            if distance <= len(stacks[index]):
                yield stacks[index][-distance]


def _may_repeat(levels: list[Level]) -> bool:
    """False if too few sites stand there twice for a cycle to be folded."""
    return len({level.site for level in levels}) <= len(levels) - MIN_REPEATS + 1


def _shortened(levels: list[Level], max_frames: int) -> list[Level]:
    """Those of a long stack that are kept: recursion is folded, the middle cut out."""
    keep = (
        _fold([level.site for level in levels])
        if _may_repeat(levels)
        else [(index, 0, 0) for index in range(len(levels))]
    )
    cut = max(0, len(keep) - max_frames)
    cut_at = int(max_frames * HEAD_FRAMES)
    kept: list[Level] = []
    for position, (index, repeats, cycle) in enumerate(keep):
        if cut and cut_at <= position < cut_at + cut:
            continue
        level = levels[index]
        omitted = cut if cut and position == cut_at + cut else 0
        if repeats or omitted:
            level.cut = Cut(repeats, cycle, omitted)
        kept.append(level)
    return kept


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
