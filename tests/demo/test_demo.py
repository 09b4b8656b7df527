"""The demo, as a newcomer runs it: each lesson arrives, and what it promises is in its event."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from phtrack.demo import lessons, shop, tour
from phtrack.demo.lessons import LESSONS

from tests.sink import Sink

DRIVER = "import sys; from phtrack.demo.tour import break_everything; break_everything(sys.argv[1])"


@pytest.fixture(scope="module")
def events() -> Iterator[list[dict[str, Any]]]:
    """What the shop sends, broken in a process of its own."""
    with Sink() as sink:
        done = subprocess.run([sys.executable, "-c", DRIVER, sink.url], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        yield sink.wait(len(LESSONS))


def of(events: list[dict[str, Any]], type: str, message: str = "") -> dict[str, Any]:
    """The properties of the first event of an exception."""
    found = [
        one["properties"]
        for one in events
        if one["event"] == "$exception"
        and one["properties"]["$exception_type"] == type
        and message in one["properties"]["$exception_message"]
    ]
    assert found, f"no event of {type}: {message}"
    return found[0]


def own_frames(entry: dict[str, Any]) -> list[str]:
    """Functions of the application in a stack, the outermost first."""
    return [frame["function"] for frame in entry["stacktrace"]["frames"] if frame["in_app"]]


def test_the_command_ends_with_0_and_a_table() -> None:
    """`phtrack demo --once` finds every issue and says where its page is."""
    done = subprocess.run([sys.executable, "-m", "phtrack", "demo", "--once"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    for one in LESSONS:
        (line,) = [line for line in lines if line.startswith(f"{one.name}  ")]
        assert one.type in line and one.where in line and "/issues/" in line
    assert f"All {len(LESSONS)} lessons arrived." in lines


def test_a_missing_issue_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 1 and the lesson is named when its issue does not arrive."""
    monkeypatch.setattr(tour, "PATIENCE", 0.2)
    monkeypatch.setattr(tour, "break_everything", lambda host: None)
    assert tour.tour(once=True) == 1
    shown = capsys.readouterr().out
    assert "Missing: which is none, chained" in shown and "CheckoutError: did not arrive" in shown


def test_there_are_enough_lessons() -> None:
    """Each has a title and something to look at."""
    assert len(LESSONS) >= 12
    for one in LESSONS:
        docstring = getattr(lessons, one.name.replace(" ", "_")).__doc__
        title, blank, *rest = docstring.splitlines()
        assert title == one.title and not blank and any(line.strip() for line in rest), one.name


@pytest.mark.parametrize(
    ("type", "source", "handled", "level"),
    [
        ("CheckoutError", None, True, "error"),
        ("SoldOut", "python.threading_excepthook", False, "error"),
        ("LookupError", "python.asyncio_exception_handler", False, "error"),
        ("InvalidOperation", "python.logging", True, "error"),
        ("LoggedError", "python.logging", True, "error"),
    ],
)
def test_boundaries(events: list[dict[str, Any]], type: str, source: str | None, handled: bool, level: str) -> None:
    """Each way of reporting says which it was."""
    found = of(events, type)
    assert (found.get("$exception_source"), found["$exception_level"]) == (source, level)
    assert found["$exception_list"][0]["mechanism"]["handled"] is handled


def test_the_crash_is_fatal(events: list[dict[str, Any]]) -> None:
    """The program that dies."""
    crashes = [
        one["properties"]
        for one in events
        if one["event"] == "$exception" and one["properties"].get("$exception_source") == "python.sys_excepthook"
    ]
    assert len(crashes) == 1
    assert crashes[0]["$exception_level"] == "fatal"
    assert crashes[0]["$exception_list"][0]["stacktrace"]["frames"][-1]["context_line"].startswith("print(")


def test_chains_and_groups(events: list[dict[str, Any]]) -> None:
    """Cause, hidden cause, context and members each as Python means them."""

    def relations(found: dict[str, Any]) -> list[tuple[str, str | None]]:
        return [(one["type"], one["mechanism"].get("source")) for one in found["$exception_list"]]

    assert relations(of(events, "CheckoutError")) == [("CheckoutError", None), ("TimeoutError", "cause")]
    assert relations(of(events, "UnknownItem")) == [("UnknownItem", None)]
    assert relations(of(events, "KeyError")) == [("KeyError", None), ("TimeoutError", "context")]
    group = of(events, "ExceptionGroup")
    assert relations(group) == [("ExceptionGroup", None), ("ValueError", "member"), ("TimeoutError", "member")]
    assert own_frames(group["$exception_list"][1])[-1] == "ask_supplier"


def test_the_context_travels(events: list[dict[str, Any]]) -> None:
    """User and tags are on the exception and on the ordinary event before it."""
    exception = next(one for one in events if one["properties"].get("campaign") and one["event"] == "$exception")
    ordinary = next(one for one in events if one["event"] == "newsletter started")
    for one in (exception, ordinary):
        assert one["distinct_id"] == "customer-17"
        assert (one["properties"]["campaign"], one["properties"]["plan"]) == ("spring", "wholesale")
    generator = of(events, "ValueError", "invalid literal")
    assert generator["file"] == "stock.csv"


def test_recursion_is_short(events: list[dict[str, Any]]) -> None:
    """A thousand frames arrive as a few that say how often they repeat."""
    (entry,) = of(events, "RecursionError")["$exception_list"]
    frames = entry["stacktrace"]["frames"]
    assert len(frames) <= 100
    assert own_frames(entry)[-1] == "depth"


def test_the_storm_is_held_back(events: list[dict[str, Any]]) -> None:
    """Of two thousand some arrive."""
    arrived = [one for one in events if one["properties"].get("$exception_message") == "kettle"]
    assert 1 <= len(arrived) <= lessons.STORM / 4


def test_never_raised_has_the_stack_of_the_call(events: list[dict[str, Any]]) -> None:
    """Synthetic, and it ends where it was reported."""
    (entry,) = of(events, "CheckoutError", "no items")["$exception_list"]
    assert entry["mechanism"]["synthetic"] is True
    assert own_frames(entry)[-1] == "never_raised"


def test_secrets_stay_at_home(events: list[dict[str, Any]]) -> None:
    """Neither password nor key, in no part of any event, whatever the shape."""
    text = repr(events)
    assert "correct-horse" not in text and "4eC39HqLyjWDarjtT1zdp7dc" not in text


def test_the_shop_knows_nothing_of_phtrack() -> None:
    """It could be anybody's code."""
    assert "import phtrack" not in Path(shop.__file__).read_text(encoding="utf-8")
