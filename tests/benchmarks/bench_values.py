"""What looking at values costs the thread that raised, and the rendering behind the door; the measure is `repr`."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from .code import HEAVY, ORDER, Project, caught
from .harness import Measures, Round, Scenario, Target

EVENTS = 100
"""Per round. Each is raised anew, so that no frame has been looked at before."""


def frames_of(error: BaseException) -> list[Any]:
    """(frame, tb_lasti, line), crash frame first."""
    found, tb = [], error.__traceback__
    while tb is not None:
        found.append((tb.tb_frame, tb.tb_lasti, tb.tb_lineno))
        tb = tb.tb_next
    return found[::-1]


def ours() -> tuple[Callable[[list[Any]], Any], Callable[[Any], Any]]:
    """(snapshot of all frames, rendering of it)."""
    from phtrack.frames.site import site_of
    from phtrack.frames.values import ValueRenderer, ValueSnapshot
    from phtrack.scrub import Scrubber

    scrubber = Scrubber()

    def take(frames: list[Any]) -> Any:
        snapshot = ValueSnapshot(5.0, scrubber)
        taken = [snapshot.take(frame, site_of(frame, lasti, line)) for frame, lasti, line in frames]
        snapshot.close()
        return taken

    def write(taken: Any) -> Any:
        renderer = ValueRenderer(scrubber)
        return [renderer.frame(one) for one in taken]

    return take, write


def baseline(shorten: Callable[[Any], str]) -> tuple[Callable[[list[Any]], Any], Callable[[Any], Any]]:
    """The usual way: the text of every local, cut to the contract's length; no scrubbing, no budget, no expressions."""

    def locals_of(frame: FrameType) -> dict[str, str]:
        return {name: shorten(value)[:1024] for name, value in frame.f_locals.items()}

    return (lambda frames: [locals_of(frame) for frame, _, _ in frames]), (lambda taken: taken)


def subject_of(name: str) -> tuple[Callable[[list[Any]], Any], Callable[[Any], Any]]:
    """`phtrack`, `repr`, or `reprlib`, which is bounded as well."""
    if name == "phtrack":
        return ours()
    if name == "repr":
        return baseline(repr)
    import reprlib

    return baseline(reprlib.Repr().repr)


def measured(name: str, fail: Callable[[], BaseException], events: int = EVENTS) -> Round:
    """µs of CPU per event, warm."""
    take, write = subject_of(name)
    write(take(frames_of(fail())))

    def once() -> Measures:
        errors = [frames_of(fail()) for _ in range(events)]
        start = time.thread_time_ns()
        taken = [take(one) for one in errors]
        middle = time.thread_time_ns()
        for one in taken:
            write(one)
        end = time.thread_time_ns()
        return {
            "raising thread µs": (middle - start) / events / 1e3,
            "per frame µs": (middle - start) / events / 1e3 / len(errors[0]),
            "rendering µs": (end - middle) / events / 1e3,
        }

    return once


def five_frames(name: str, sink: str) -> Round:
    """Ordinary application code: numbers, short texts, one order of some forty values in every frame."""
    module = Project().chain(5)
    return measured(name, lambda: caught(module.level_0, ORDER, 4, ValueError))


def heavy(name: str, sink: str) -> Round:
    """A list of 10,000 numbers, a megabyte of text, an object whose repr takes 2 ms."""
    module = Project().module(HEAVY)
    return measured(name, lambda: caught(module.heavy, ORDER, ValueError), events=5)


def table(name: str, sink: str) -> Round:
    """Twenty frames whose self holds 2,000 dicts. `repr` doesn't look into it here, so there is no target."""
    module = Project().module(HEAVY)
    big = module.Table()
    return measured(name, lambda: caught(big.walk, 20, ValueError), events=5)


def graph(name: str, sink: str) -> Round:
    """Eleven frames with a tree of 37,000 dicts as a local."""
    module = Project().chain(11)

    def grow(depth: int) -> dict[str, Any]:
        return {
            "number": depth,
            "total": 4,
            "items": [],
            **{f"k{n}": grow(depth - 1) for n in range(8 if depth else 0)},
        }

    tree = grow(5)
    return measured(name, lambda: caught(module.level_0, tree, 10, ValueError), events=2)


PEERS = ("phtrack", "repr", "reprlib")
SCENARIOS = [
    Scenario("5 frames", five_frames, PEERS, rounds=7),
    Scenario("large locals", heavy, PEERS),
    Scenario("self of 2,000 dicts in 20 frames", table, PEERS),
    Scenario("37,000 dicts in 11 frames", graph, PEERS, rounds=3),
]
MEASURE = "raising thread µs"
TARGETS = [
    Target("5 frames", MEASURE, "reprlib", 0.5, source="what is bounded already, but neither scrubbed nor looked into"),
    Target("large locals", MEASURE, "repr", 0.1, source="an object's own repr isn't run, a text isn't copied"),
    Target("37,000 dicts in 11 frames", MEASURE, "repr", 0.01, source="each object is read once per event"),
]
