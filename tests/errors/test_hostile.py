"""Objects that fight back cost neither the program nor the event: what can't be read is replaced, the rest arrives."""

from __future__ import annotations

import json
import linecache
import sys
import threading
import time
import types
from collections.abc import Iterator
from typing import Any

import pytest

from tests.errors.conftest import Make, Recorder

RAN: list[str] = []


def counting(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        RAN.append(name)
        raise RuntimeError(f"{name} ran")

    return method


NAMES = (
    "__repr__", "__str__", "__len__", "__iter__", "__eq__", "__hash__", "__bool__", "__getattr__", "__getitem__", "__contains__",
    "__format__", "__dir__", "__reduce__", "__call__", "__enter__", "__index__", "__float__", "__lt__", "keys", "items", "values",
)  # fmt: skip
Hostile = type("Hostile", (), {name: counting(name) for name in NAMES})
HostileDict = type("HostileDict", (dict,), {name: counting(name) for name in NAMES})
HostileList = type("HostileList", (list,), {name: counting(name) for name in NAMES})
HostileStr = type("HostileStr", (str,), {name: counting(name) for name in NAMES if name != "__hash__"})


class Lying:
    """Pretends to be something else."""

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        RAN.append("__class__")
        return dict

    @property
    def total(self) -> Any:
        RAN.append("property")
        return 1

    def __getattribute__(self, name: str) -> Any:
        RAN.append(f"getattribute {name}")
        return object.__getattribute__(self, name)


class LyingMeta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name not in ("__init__", "__new__"):  # the interpreter's own looks, when the class is made and called
            RAN.append(f"metaclass {name}")
            raise SystemExit(name)
        return type.__getattribute__(cls, name)

    def __eq__(cls, other: object) -> bool:
        RAN.append("metaclass eq")
        raise SystemExit

    def __hash__(cls) -> int:
        RAN.append("metaclass hash")
        raise SystemExit

    def __instancecheck__(cls, other: Any) -> bool:
        raise RuntimeError("instancecheck")


@pytest.fixture(autouse=True)
def _count() -> Iterator[None]:
    RAN.clear()
    yield
    assert RAN == [], "code of the user ran"


def last_frame(properties: dict[str, Any]) -> dict[str, Any]:
    frame: dict[str, Any] = properties["$exception_list"][0]["stacktrace"]["frames"][-1]
    return frame


def test_no_method_of_a_local_runs(recorder: Recorder) -> None:
    """Locals of every awkward kind are shown or replaced by a marker, without asking them anything."""

    def work() -> None:
        plain = 42
        hostile = Hostile()
        mapping = HostileDict(a=1)
        sequence = HostileList([1, 2])
        text = HostileStr("text")
        lying = Lying()
        meta = LyingMeta("Meta", (), {})()
        del hostile, mapping, sequence, text, lying, meta
        hostile, mapping, sequence = Hostile(), HostileDict(a=1), HostileList([1, 2])
        text, lying, meta = HostileStr("text"), Lying(), LyingMeta("Meta", (), {})()
        raise ValueError(plain)

    try:
        work()
    except ValueError as error:
        properties = recorder.capture(error)
    names = {one["name"] for one in last_frame(properties)["phtrack"]["variables"]}
    assert {"plain", "hostile", "mapping", "sequence", "text", "lying", "meta"} <= names
    assert last_frame(properties)["code_variables"]["plain"] == 42


def test_an_endless_repr_is_never_started(recorder: Recorder) -> None:
    """A slow `__repr__` doesn't slow the capture."""

    class Slow:
        def __repr__(self) -> str:
            RAN.append("repr")
            time.sleep(60)
            return ""

    slow = Slow()
    try:
        raise ValueError(0)
    except ValueError as error:
        start = time.monotonic()
        recorder.capture(error)
        assert time.monotonic() - start < 30
    assert slow is not None


def test_deep_cyclic_and_huge_values(recorder: Recorder) -> None:
    """100,000 levels, cycles, surrogates and 10,000-digit numbers give a valid, small event."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    surrogate, digits, blob = "a\ud800", 10**10_000, b"\xff" * 10_000_000
    try:
        raise ValueError(len(deep), len(cycle), surrogate, len(blob), digits.bit_length())
    except ValueError as error:
        properties = recorder.capture(error)
    assert {"deep", "cycle", "surrogate", "digits", "blob"} <= {
        one["name"] for one in last_frame(properties)["phtrack"]["variables"]
    }
    assert recorder.transport.batches[-1].envelopes[0].size < 60_000
    while deep:
        deep = deep.pop()


def test_a_dict_that_another_thread_changes(recorder: Recorder) -> None:
    """Captures go on while a local is written to."""
    busy: dict[int, int] = {}
    stop = threading.Event()

    def churn() -> None:
        n = 0
        while not stop.is_set():
            busy[n] = n
            busy.pop(n - 50, None)
            n += 1

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for n in range(50):
            try:
                raise ValueError(n, len(busy))
            except ValueError as error:
                recorder.client.capture_exception(error)
    finally:
        stop.set()
        thread.join()
    assert len(recorder.events()) == 50


# --- the exception itself ----------------------------------------------------------------------------------------------


def exceptions() -> list[tuple[str, BaseException, str]]:
    """(name, exception, what its value must contain)"""

    class RaisesInStr(Exception):
        def __str__(self) -> str:
            raise RuntimeError("in str")

    class ExitsInStr(Exception):
        def __str__(self) -> str:
            raise SystemExit(3)

    class NoText(Exception):
        def __str__(self) -> Any:
            return 5

    class LyingArgs(Exception):
        args = 5  # type: ignore[assignment]

        def __str__(self) -> str:
            raise RuntimeError

    class BrokenMessage(Exception):
        @property
        def message(self) -> str:
            RAN.append("message")
            raise RuntimeError

    class Slotted(Exception):
        __slots__ = ("a",)

    class Frozen(Exception):
        def __setattr__(self, name: str, value: Any) -> None:
            RAN.append("setattr")
            raise AttributeError

        def __getattribute__(self, name: str) -> Any:
            if name in ("__dict__", "__cause__", "__context__", "__traceback__", "__notes__", "message"):
                RAN.append(name)
            return object.__getattribute__(self, name)

    class LyingCause(Exception):
        __cause__ = property(counting("cause"))  # type: ignore[assignment]
        __traceback__ = property(counting("traceback"))  # type: ignore[assignment]

    class Odd(Exception, metaclass=LyingMeta):
        pass

    class StrSubclass(Exception):
        def __str__(self) -> str:
            return HostileStr("hostile text")  # type: ignore[no-any-return]

    class BadNotes(Exception):
        __notes__ = 5

    renamed = type("Renamed", (Exception,), {"__module__": 7})
    bad_notes = BadNotes("x")
    bad_notes.__dict__["__notes__"] = [1, "a note", HostileStr("odd")]
    return [
        ("raises in str", RaisesInStr("arg", 1), "RaisesInStr('arg', 1)"),
        ("raises in str, odd args", RaisesInStr(Hostile()), "<broken repr>"),
        ("exits in str", ExitsInStr("x"), "ExitsInStr('x')"),
        ("no text", NoText("x"), "NoText('x')"),
        ("lying args", LyingArgs("x"), "LyingArgs('x')"),
        ("broken message", BrokenMessage("plain"), "plain"),
        ("slotted", Slotted("x"), "x"),
        ("frozen", Frozen("x"), "x"),
        ("lying cause", LyingCause("x"), "x"),
        ("lying class", Odd("x"), "x"),
        ("a str of its own", StrSubclass("x"), "hostile text"),
        ("a module that is a number", renamed("x"), "x"),
        ("notes that are no list", BadNotes("x"), "x"),
        ("notes that are no texts", bad_notes, "x\na note\nodd"),
        ("surrogates", ValueError("a\ud800b"), "a\ufffdb"),
        ("null bytes", ValueError("a\0b"), "a\0b"),
    ]


@pytest.mark.parametrize("case", range(len(exceptions())), ids=lambda n: exceptions()[n][0])
def test_an_awkward_exception_arrives(recorder: Recorder, case: int) -> None:
    """Whatever its class does, it is captured with a readable value, once."""
    _, error, text = exceptions()[case]
    try:
        raise error
    except BaseException as caught:
        uuid = recorder.client.capture_exception((type(caught), caught, sys.exc_info()[2]))
        again = recorder.client.capture_exception((type(caught), caught, sys.exc_info()[2]))
    assert uuid is not None
    assert again is None
    entry = recorder.one()["$exception_list"][0]
    assert text in entry["value"]
    assert entry["type"]
    assert entry["stacktrace"]["frames"][-1]["function"] == "test_an_awkward_exception_arrives"


def test_an_exception_whose_traceback_was_taken_away(recorder: Recorder) -> None:
    """It is captured with the stack of the capture."""
    try:
        raise ValueError("x")
    except ValueError as error:
        error.__traceback__ = None
        entry = recorder.capture(error)["$exception_list"][0]
    assert entry["stacktrace"]["frames"]


# --- frames and source ---------------------------------------------------------------------------------------------------


def run_in(namespace: dict[str, Any], source: str = "1 / 0", file: str = "<string>") -> BaseException:
    try:
        exec(compile(source, file, "exec"), namespace)  # noqa: S102
    except Exception as error:
        return error
    raise AssertionError("did not fail")


class BadLoader:
    def get_source(self, name: str) -> Any:
        raise SystemExit("no")

    def get_filename(self, name: str) -> Any:
        return 5


class NonsenseLoader:
    def get_source(self, name: str) -> Any:
        return 10**5

    def get_filename(self, name: str) -> str:
        return "/nowhere/x.py"


@pytest.mark.parametrize(
    "namespace",
    [
        {},
        {"__name__": 7, "__file__": [], "__loader__": 5},
        {"__name__": "x", "__file__": "/nowhere/x.py", "__loader__": BadLoader()},
        {"__name__": "x", "__file__": "/nowhere/x.py", "__loader__": NonsenseLoader()},
        {"__name__": Hostile()},
        {"__builtins__": {}},
    ],
)
def test_globals_that_lie(recorder: Recorder, namespace: dict[str, Any]) -> None:
    """No name, a wrong name, a loader that answers nonsense or exits: a frame without source."""
    for file in ("<string>", "/nowhere/x.py", "", "no such\nfile.py"):
        recorder.transport.clear()
        frame = last_frame(recorder.capture(run_in(dict(namespace), file=file)))
        assert frame["filename"]
        assert frame["function"] == "<module>"
        assert "context_line" not in frame


def test_a_linecache_that_answers_nonsense(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is registered there is checked before it is believed."""
    for entry in ((1, None, 5, "x"), (1, None, [5, "x"], "x"), 7, (1, None, ["\0" * 10], "<odd>")):
        monkeypatch.setitem(linecache.cache, "<odd>", entry)  # type: ignore[arg-type]
        recorder.transport.clear()
        assert last_frame(recorder.capture(run_in({}, file="<odd>")))["filename"] == "<odd>"


def test_code_that_was_made_up(recorder: Recorder) -> None:
    """Code objects with impossible names and lines still give a frame."""

    def fail() -> None:
        raise ValueError("x")

    code = fail.__code__.replace(co_name="", co_filename="a\ud800.py", co_firstlineno=2**31 - 1)
    odd = types.FunctionType(code, {})
    try:
        odd()
    except (ValueError, NameError) as error:
        frame = last_frame(recorder.capture(error))
    assert frame["function"]
    json.dumps(frame).encode()


def test_a_stack_of_many_thousand_frames(recorder: Recorder) -> None:
    """10,000 frames of recursion are captured quickly and small."""

    def down(n: int) -> int:
        return down(n - 1) if n else 1 // n

    before = sys.getrecursionlimit()
    sys.setrecursionlimit(11_000)
    try:
        threading.stack_size(512 * 1024 * 1024)
        caught: list[BaseException] = []

        def run() -> None:
            try:
                down(10_000)
            except (ZeroDivisionError, RecursionError) as error:
                caught.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(before)
        threading.stack_size(0)
    frames = recorder.capture(caught[0])["$exception_list"][0]["stacktrace"]["frames"]
    assert len(frames) < 20
    caught.clear()


def test_a_mark_hides_a_frame(recorder: Recorder) -> None:
    """`__tracebackhide__` leaves a helper out; an object under that name is not asked for its truth."""

    def helper() -> None:
        __tracebackhide__ = True
        raise ValueError("x")

    def odd() -> None:
        __tracebackhide__ = Hostile()
        helper()

    try:
        odd()
    except ValueError as error:
        frames = recorder.capture(error)["$exception_list"][0]["stacktrace"]["frames"]
    assert [frame["function"] for frame in frames][-1] == "odd"


def test_a_time_budget_ends_the_reading_of_values(make: Make) -> None:
    """With no time at all the event arrives, and says what is missing."""
    recorder = make(code_variables_time_ms=0)
    local = {"a": 1}
    try:
        raise ValueError(len(local))
    except ValueError as error:
        frame = last_frame(recorder.capture(error))
    assert any("time" in note for note in frame["phtrack"]["not_recorded"])
