"""Objects that fight back: none of their code runs, and what stands beside them still arrives."""

from __future__ import annotations

import collections
import gc
import json
import sys
import threading
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phtrack import encode
from phtrack.frames.values import ValueSnapshot
from tests.frames.values.taking import SCRUBBER, contract, entry, failure, frames_of, render, stopped, taken_of

HOOKS = (
    "__repr__ __str__ __len__ __iter__ __next__ __eq__ __ne__ __lt__ __hash__ __bool__ __getattr__ __getattribute__ "
    "__getitem__ __contains__ __call__ __format__ __int__ __index__ __float__ __bytes__ __dir__ __sizeof__ __reduce__ "
    "__reduce_ex__ __instancecheck__ __subclasscheck__ __get__ __set_name__ __missing__ __copy__ __deepcopy__ __reversed__ "
    "__length_hint__ __fspath__ __enter__ __exit__ __add__ __neg__ __class_getitem__ __subclasshook__ __array__ "
    "__dataframe__ __buffer__ keys values items"
).split()


BASES: list[tuple[type, tuple[Any, ...]]] = [
    (object, ()),
    (dict, ({"a": 1},)),
    (list, ([1, 2],)),
    (tuple, ((1, 2, 3),)),
    (set, ([1],)),
    (frozenset, ()),
    (collections.deque, ([1],)),
    (collections.OrderedDict, ()),
    (str, ("text",)),
    (bytes, (b"bytes",)),
    (bytearray, (b"bytes",)),
    (int, (5,)),
    (float, (1.5,)),
    (complex, (1j,)),
    (Exception, ("message",)),
    (type(sys), ("module",)),
]


@pytest.mark.parametrize(("base", "args"), BASES, ids=[base.__name__ for base, _ in BASES])
def test_no_method_of_a_hostile_object_runs(base: type, args: tuple[Any, ...]) -> None:
    """Every method, property and metaclass method counts its calls; formatting and rendering make none."""
    ran: list[str] = []
    if base is frozenset or base is tuple:
        one = base.__new__(_hostile_class(base, ran), *args)
    else:
        one = _instance(base, ran, args)
    ran.clear()

    def fail(first: Any, value: Any, last: Any) -> None:
        local = [value, {"key": value}, (value,)]
        if value is local:
            return
        if len(local) > 5 and value.total > value[0].shape:
            return
        raise ValueError(value.total, value["key"], local[0].model, first)

    error = None
    try:
        fail("first", one, "last")
    except BaseException as caught:  # its own statement fails: the program may run its code, we may not
        error = caught
    assert error is not None
    ran.clear()
    frame, site = next((frame, site) for frame, site in frames_of(error) if frame.f_code is fail.__code__)
    snapshot = ValueSnapshot(5.0, SCRUBBER, stopped)
    taken = snapshot.take(frame, site)
    snapshot.close()
    before = list(ran)
    variables, richer, notes = render(taken)
    assert before == ran == []
    assert notes == []
    shown = {found["name"]: found for found in richer}
    assert shown["first"]["value"] == "first"
    assert shown["last"]["value"] == "last"
    assert "Hostile" in shown["value"]["type"]
    assert json.loads(json.dumps(variables)) == variables


def _hostile_class(base: type, ran: list[str]) -> Any:
    def counted(name: str) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            ran.append(f"{base.__name__}.{name}")
            raise RuntimeError(name)

        return run

    meta: Any = type("Meta", (type,), {})
    names = ("__class__", "__dict__", "total", "args", "_fields", "_name_", "model", "shape")
    hooks = {name: counted(name) for name in HOOKS}
    cls = meta("Hostile", (base,), {**hooks, **{name: property(counted(name)) for name in names}})
    for name in HOOKS:
        if name not in ("__call__", "__get__", "__getattribute__"):
            setattr(meta, name, counted(f"meta.{name}"))
    meta.__getattribute__ = counted("meta.__getattribute__")
    return cls


def _instance(base: Any, ran: list[str], args: tuple[Any, ...]) -> Any:
    made = base.__new__(_hostile_class(base, ran), *args)
    if base not in (str, bytes, int, float, complex):
        base.__init__(made, *args)
    return made


class _Lying(type):
    __module__ = "not.there"  # type: ignore[assignment]


class _Name(str):
    __slots__ = ()

    def __format__(self, spec: str) -> str:
        raise AssertionError("formatted")


def test_lying_names_of_classes_become_text() -> None:
    """A `__module__` or `__qualname__` that is no text, or text of its own kind, is replaced or copied."""
    one = type("Odd", (), {})
    one.__qualname__ = _Name("Strange")
    one.__module__ = 5  # type: ignore[assignment]
    assert entry(one())["type"] == "?.Strange"
    assert entry(one)["value"] == "<class ?.Strange>"
    assert entry(_Lying("X", (), {"__module__": property(lambda self: 1 / 0)})())["type"] == "?.X"


@pytest.mark.parametrize("kind", [list, dict, tuple])
def test_nesting_of_any_depth_is_bounded(kind: type) -> None:
    """A hundred thousand levels cost neither the stack nor the event."""
    value: Any = 1
    for _ in range(100_000):
        value = [value] if kind is list else {"a": value} if kind is dict else (value,)
    found = entry(value)
    assert len(encode.dumps(found)) < 2_000
    assert len(contract(value)) < 2_000
    while type(value) is not int:  # freeing it at once would recurse
        value = value["a"] if kind is dict else value[0]


def test_cycles_are_marked() -> None:
    """What is inside itself is told, once."""
    one: dict[str, Any] = {"name": "one"}
    one["self"] = one
    two = [one]
    one["list"] = two
    assert entry(one)["value"] == {"name": "one", "self": "<circular ref>", "list": ["<circular ref>"]}
    assert entry(two)["value"] == [{"name": "one", "self": "<circular ref>", "list": "<circular ref>"}]


def test_shared_structures_do_not_multiply() -> None:
    """Twenty levels of ten times the same list are a hundred values, not ten to the twentieth."""
    value: Any = ["leaf"]
    for _ in range(20):
        value = [value] * 10
    assert len(encode.dumps(entry(value))) < 20_000
    assert len(contract(value)) < 20_000


def test_lone_surrogates_become_text_that_can_be_sent() -> None:
    """A file name with undecodable bytes is written out."""
    found = entry({"name\udcff": "\ud800"})
    assert json.loads(encode.dumps(found)) == found
    assert found["value"] == {"name\\udcff": "\\ud800"}


def test_a_dict_changed_by_another_thread_is_shown_as_far_as_it_was_read() -> None:
    """Threads that add and remove keys all the time cost neither an error nor the other variables."""
    shared: dict[int, int] = {n: n for n in range(40)}
    stop = threading.Event()

    def churn() -> None:
        n = 0
        while not stop.is_set():
            shared[1000 + n % 7] = n
            shared.pop(1000 + (n + 3) % 7, None)
            n += 1

    threads = [threading.Thread(target=churn) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for _ in range(300):
            found = render(taken_of(shared, "after"))[1]
            assert {"after"} <= {one["value"] for one in found if type(one["value"]) is str}
            (one,) = [one for one in found if one["type"] == "dict"]
            assert one["value"]["0"] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)


def test_a_change_in_the_middle_leaves_what_was_read_and_a_note() -> None:
    """The interpreter notices the change; the reader learns of it."""
    from phtrack.frames.values.formatter import Formatter
    from phtrack.frames.values.node import CHANGED

    value = {"a": [1], "b": [2], "c": [3]}

    class Masks:
        def masks(self, name: str) -> str | None:
            if name == "b":
                value["d"] = [4]  # what another thread does while we are here
            return None

    formatter = Formatter(Masks(), stopped)
    node = formatter.read(value)
    assert node.note == CHANGED
    assert [key for key, _ in node.items] == ["a", "b"]


def test_an_exception_with_lying_args_is_shown() -> None:
    """`args` come from where the interpreter keeps them."""

    class Odd(Exception):
        args = property(lambda self: 1 / 0)  # type: ignore[assignment]

    assert entry(Odd("stored"))["value"]["args"] == ["stored"]


def test_nothing_is_kept_alive() -> None:
    """Not the objects, not their classes, not the frame: after the snapshot is closed they can go."""

    class Thing:
        pass

    class Meta(type):
        pass

    class Other(metaclass=Meta):
        __slots__ = ("__weakref__", "thing")

    def fail(Thing: Any, Other: Any) -> None:  # noqa: N803
        thing, other = Thing(), Other()
        other.thing = thing
        many = {"thing": thing, "list": [other], "function": lambda: thing}
        refs.extend(map(weakref.ref, (thing, other, Thing, Other, many["function"])))
        raise ValueError(thing)

    refs: list[Any] = []
    error: Any = failure(fail, Thing, Other)
    frame, site = frames_of(error)[0]
    snapshot = ValueSnapshot(5.0, SCRUBBER, stopped)
    taken = snapshot.take(frame, site)
    snapshot.close()
    assert len(taken) >= 3
    del error, frame, fail, Thing, Other, Meta
    gc.collect()
    assert [ref() for ref in refs] == [None] * 5
    assert render(taken)[1]


def test_a_running_function_is_left_as_it_was() -> None:
    """
    What a running function deletes is gone, although we looked at it before: no copy of its locals stays with its frame.
    And what it or a debugger keeps in `locals()` isn't touched.
    """

    class Thing:
        pass

    def fail() -> None:
        raise ValueError

    def running() -> None:
        big = Thing()
        ref = weakref.ref(big)
        try:
            fail()
        except ValueError as error:
            take(error)
        del big
        assert ref() is None

    def with_locals() -> None:
        big, small = Thing(), 5
        kept = locals()
        try:
            fail()
        except ValueError as error:
            take(error)
        assert kept["big"] is big
        assert kept["small"] == small

    def take(error: BaseException) -> None:
        snapshot = ValueSnapshot(5.0, SCRUBBER, stopped)
        for frame, site in frames_of(error):
            snapshot.take(frame, site)
        snapshot.close()

    running()
    with_locals()


JSON_LIKE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.complex_numbers()
    | st.datetimes(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers() | st.binary() | st.tuples(st.integers()), inner)
        | st.tuples(inner, inner)
        | st.frozensets(st.text())
    ),
    max_leaves=60,
)


@given(st.lists(JSON_LIKE, min_size=1, max_size=4))
def test_any_values_come_out_as_bounded_json(values: list[Any]) -> None:
    """Whatever the values: both forms are strict JSON, encode to the same thing, and stay within the budgets."""
    variables, richer, _ = render(taken_of(*values))
    for form in (variables, richer):
        text = json.dumps(form, allow_nan=False).encode("utf-8")
        assert json.loads(text) == form
        assert json.loads(encode.dumps(form)) == form
    assert len(variables) + len(richer) > 0
    assert sum(len(name) + len(str(value)) for name, value in variables.items()) <= 10_240
    assert len(encode.dumps(richer)) < 2 * 64 * 1024
    assert all(type(value) in (str, int, float) for value in variables.values())
