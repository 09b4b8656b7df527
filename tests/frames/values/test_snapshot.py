"""Budgets of the raising thread: time, values, bytes; one reading per object; what it costs in memory."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from typing import Any

from phtrack.frames.values import ValueRenderer, ValueSnapshot
from phtrack.frames.values.node import NOTE, Node
from phtrack.frames.values.shapes import MAX_SHAPES, _shapes
from tests.frames.values.taking import SCRUBBER, failure, frames_of, notes, render, stopped, taken_of


class Ticking:
    """A clock that goes on by *step* nanoseconds at each look."""

    def __init__(self, step: int) -> None:
        self.now, self.step = 0, step

    def __call__(self) -> int:
        self.now += self.step
        return self.now


def nested(depth: int, self: Any) -> None:
    """Recurse with the same object, then fail."""
    near = [depth]
    if not depth:
        raise ValueError(near)
    nested(depth - 1, self)


def take_all(error: BaseException, snapshot: ValueSnapshot) -> list[Any]:
    """What is taken of each frame, crash frame first."""
    taken = [snapshot.take(frame, site) for frame, site in frames_of(error)[:-1]]
    snapshot.close()
    return taken


def test_the_time_budget_ends_it_with_a_note() -> None:
    """When the milliseconds are gone, the crash frame has its values, one note says so, and the outer frames have none."""
    big = [{"id": n, "tags": ["a"]} for n in range(40)]
    taken = take_all(failure(nested, 20, big), ValueSnapshot(1.0, SCRUBBER, Ticking(20_000)))
    assert taken[0][0][0] == "near"
    assert sum(map(len, map(notes, taken))) == 1
    assert "time budget" in next(one for one in map(notes, taken) if one)[0]
    assert taken[-1] == ()


def test_a_container_cut_by_time_says_so() -> None:
    """What was met and not read is named as such, and its neighbours are whole."""
    snapshot = ValueSnapshot(0.05, SCRUBBER, Ticking(10_000))
    frame, site = frames_of(failure(nested, 0, [[n] for n in range(30)]))[0]
    variables, richer, _ = render(snapshot.take(frame, site))
    text = str(richer) + str(variables)
    assert "not recorded: time budget" in text or "time budget" in text
    assert "near" in variables


def test_real_time_is_bounded_on_a_huge_graph() -> None:
    """A self with 2,000 dicts in each of 20 frames: read once, its head only. The guard is generous on purpose."""

    class Table:
        def __init__(self) -> None:
            self.rows = [{"id": n, "name": f"row {n}", "tags": ["a", "b"]} for n in range(2_000)]

    error = failure(nested, 20, Table())
    start = time.thread_time()
    taken = take_all(error, ValueSnapshot(5.0, SCRUBBER))
    assert time.thread_time() - start < 0.25
    assert taken


def test_an_object_in_many_frames_is_read_once() -> None:
    """All frames refer to the same node, and both renderings to the same data."""
    shared = {"rows": [{"id": n} for n in range(5)]}
    taken = take_all(failure(nested, 3, shared), ValueSnapshot(5.0, SCRUBBER, stopped))
    nodes = [value for one in taken for name, value, _ in one if name == "self"]
    assert len(nodes) == 4
    assert all(type(node) is Node and node is nodes[0] for node in nodes)
    looked_at: list[str] = []

    class Counting:
        def masks(self, name: str) -> str | None:
            return None

        def text(self, text: str, found: list[str], *, name: str) -> str:
            looked_at.append(text)
            return text

        def clear(self, text: str) -> bool:
            looked_at.append(text)
            return True

    renderer = ValueRenderer(Counting())
    rendered = [render(one, renderer)[1] for one in taken]
    values = [entry["value"] for one in rendered for entry in one if entry["name"] == "self"]
    assert values == [values[0]] * 4
    assert len(looked_at) == len(set(looked_at))


def test_what_one_variable_left_out_another_one_shows() -> None:
    """An object cut off as a part of something big is complete where it is a variable itself."""
    inner = {"found": [1, 2, 3]}
    outer = [[[n] * 5 for n in range(30)], [{"deep": {"deeper": inner}} for _ in range(40)]]
    taken = taken_of(inner, outer, names=["second", "first"])
    shown = {one["name"]: one["value"] for one in render(taken)[1]}
    assert shown["second"] == inner


def test_nodes_and_bytes_of_an_event_are_bounded() -> None:
    """Hundreds of variables full of values and text end with a note, and the event's data stays small."""
    many = [[f"{n} {m} " * 90 for m in range(50)] for n in range(300)]
    taken = taken_of(*many)
    assert any("budget" in note for note in notes(taken))
    held = sum(
        len(text) for _, node, _ in taken if type(node) is Node for text in node.items or () if type(text) is str
    )
    assert held < 400_000


def test_memory_of_a_snapshot_is_bounded() -> None:
    """A 50 MB text and a million numbers as locals leave some kilobytes."""
    text, numbers = "x" * 50_000_000, list(range(1_000_000))
    taken_of(1, 2)
    gc.collect()
    tracemalloc.start()
    taken = taken_of(text, numbers)
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken
    assert size < 200_000


def test_types_are_remembered_within_bounds() -> None:
    """An application that makes classes all day doesn't grow our cache, and a new class at an old address is its own."""
    for n in range(MAX_SHAPES + 50):
        cls = type(f"Made{n}", (), {})
        (_, value, _) = taken_of(cls())[0]
        assert value.type.endswith(f"Made{n}")
        if n > 20 and n < MAX_SHAPES - 20:
            _shapes.setdefault(-n, _shapes[id(cls)])  # fill it up without making two thousand frames
            break
    for n in range(MAX_SHAPES):
        _shapes[-n - 1] = next(iter(_shapes.values()))
    taken_of(type("Last", (), {})())
    assert len(_shapes) < MAX_SHAPES


def test_two_scrubbers_may_share_a_site() -> None:
    """Each event is masked by its own rules, whoever made the plan first."""
    from phtrack.scrub import Rules, Scrubber

    strict = Scrubber(Rules(mask_patterns=("near",), ignore_patterns=("^self$",)))
    error = failure(nested, 0, 5)
    frame, site = frames_of(error)[0]
    for _ in range(2):
        mine = render(ValueSnapshot(5.0, strict, stopped).take(frame, site), ValueRenderer(strict))[0]
        theirs = render(ValueSnapshot(5.0, SCRUBBER, stopped).take(frame, site))[0]
        assert "redacted" in mine["near"]
        assert "self" not in mine
        assert theirs["near"] == "[0]"
        assert theirs["self"] == 5


def test_two_scrubbers_at_the_same_moment() -> None:
    """Another thread that masks by its own rules in between changes nothing here."""
    from phtrack.frames.values.select import Plan
    from phtrack.scrub import Rules, Scrubber

    strict = Scrubber(Rules(mask_patterns=("near",)))
    frame, site = frames_of(failure(nested, 0, 5))[0]
    ValueSnapshot(5.0, strict, stopped).take(frame, site)
    plan = site.expressions

    class Interrupted(Plan):
        __slots__ = ()

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "view" and value[0] is strict:
                ValueSnapshot(5.0, SCRUBBER, stopped).take(frame, site)

    site.expressions = Interrupted([], [], [], plan.fast, True)
    for name in ("steps", "shown", "names"):
        setattr(site.expressions, name, getattr(plan, name))
    for _ in range(2):
        mine = render(ValueSnapshot(5.0, strict, stopped).take(frame, site), ValueRenderer(strict))[0]
        assert "redacted" in mine["near"]


def test_no_time_for_source_is_told() -> None:
    """An event of many new sites goes without the expressions of the last ones, says so, and makes up for it later."""
    clock = Ticking(15_000_000)  # 15 ms
    error = failure(nested, 3, {"a": 1})
    sites = frames_of(error)
    hurried = ValueSnapshot(10_000.0, SCRUBBER, clock)
    taken = [hurried.take(frame, site) for frame, site in sites]
    assert not any("reading source" in note for note in notes(taken[0]))
    assert any("reading source" in note for note in notes(taken[-1]))
    assert any(kind != NOTE for _, _, kind in taken[-1]), "the locals are there"
    later = ValueSnapshot(10_000.0, SCRUBBER, stopped)
    assert not any(notes(later.take(frame, site)) for frame, site in sites)


def test_threads_take_at_the_same_time() -> None:
    """Snapshots of different threads share sites and shapes, and nothing else."""
    wrong: list[Any] = []

    def work(number: int) -> None:
        for _ in range(50):
            taken = take_all(failure(nested, 3, {"number": number}), ValueSnapshot(1000.0, SCRUBBER))
            for one in taken:
                values = render(one)[0]
                if values["self"] != f'{{"number":{number}}}':
                    wrong.append(values)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_at_the_end_of_the_stack_a_note_takes_the_place() -> None:
    """Where there is no stack left for us, the frame says so; nothing is raised."""
    error = failure(nested, 0, [[1]])
    frame, site = frames_of(error)[0]
    results: list[Any] = []

    def dive() -> None:
        try:
            dive()
        except RecursionError:
            results.append(ValueSnapshot(5.0, SCRUBBER, stopped).take(frame, site))

    try:
        dive()
    except RecursionError:
        pass
    assert results
    assert all(type(one) is tuple for one in results)
