"""Ids, times and the facts of the program."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import threading
import uuid
from typing import Any

import pytest

from phtrack import event


def test_ids_are_version_7_unique_and_sorted() -> None:
    """Later ids sort later, also within one millisecond."""
    ids = [event.uuid7() for _ in range(5_000)]
    assert ids == sorted(set(ids))
    parsed = uuid.UUID(ids[0])
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    age = dt.datetime.now(dt.timezone.utc).timestamp() * 1000 - (parsed.int >> 80)
    assert -1000 < age < 60_000


def test_ids_are_unique_over_threads() -> None:
    """Eight threads at once never make the same id twice."""
    made: list[list[str]] = [[] for _ in range(8)]

    def make(into: list[str]) -> None:
        into.extend(event.uuid7() for _ in range(2_000))

    threads = [threading.Thread(target=make, args=(one,)) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for each in made for one in each}) == 16_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs Linux")
def test_a_child_makes_its_own_ids() -> None:
    """Random numbers that were fetched before a fork are not used on both sides of it."""
    script = """if 1:
        import os, sys
        from phtrack import event
        event.uuid7()
        event.time_ns = lambda: 1_700_000_000_000_000_000
        event._last = 0
        pid = os.fork()
        event._last = 0
        os.write(1, event.uuid7()[20:].encode() + bytes([10]))
        if pid:
            os.waitpid(pid, 0)
    """
    lines = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert len(lines) == len(set(lines)) == 2


NOW = dt.datetime.now()
AWARE = dt.datetime(2025, 1, 2, 8, 34, 5, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (AWARE, "2025-01-02T03:04:05+00:00"),
        ("2025-01-02T08:34:05+05:30", "2025-01-02T03:04:05+00:00"),
        ("2025-01-02T03:04:05Z", "2025-01-02T03:04:05+00:00"),
        ("2025-01-02T03:04:05.1234567Z", "2025-01-02T03:04:05.123456+00:00"),
        ("2025-01-02T03:04:05.5+00:00", "2025-01-02T03:04:05.500000+00:00"),
        (dt.datetime(2024, 4, 2, 12), "2024-04-02T12:00:00+00:00"),
        (dt.date(2025, 1, 2), "2025-01-02T00:00:00+00:00"),
        (1_735_787_045, "2025-01-02T03:04:05+00:00"),
        (1_735_787_045_000, "2025-01-02T03:04:05+00:00"),
        (1_735_787_045.5, "2025-01-02T03:04:05.500000+00:00"),
    ],
)
def test_a_timestamp_travels_in_utc(given: Any, expected: str) -> None:
    """Whatever form a time has, the wire gets the same instant in UTC."""
    assert event.timestamp_text(given) == expected


def test_a_naive_now_is_local_time() -> None:
    """`datetime.now()` without a zone means this machine's clock; an old naive time means UTC."""
    text = event.timestamp_text(dt.datetime.now())
    assert abs((dt.datetime.fromisoformat(text) - dt.datetime.now(dt.timezone.utc)).total_seconds()) < 10


@pytest.mark.parametrize("given", ["2025-01-02", "yesterday", "", object(), True, 10**40, float("nan")])
def test_a_timestamp_that_cant_be_read_becomes_now(given: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The event is worth more than its time; the log says what happened."""
    text = event.timestamp_text(given)
    assert abs((dt.datetime.fromisoformat(text) - dt.datetime.now(dt.timezone.utc)).total_seconds()) < 10
    assert "timestamp" in caplog.text


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, None), ("", None), (0, "0"), (uuid.UUID(int=1), str(uuid.UUID(int=1))), ("u" * 300, "u" * 200)],
)
def test_any_value_can_be_an_id(given: Any, expected: str | None) -> None:
    """Ids are texts of at most 200 characters; only None and the empty text are missing."""
    assert event.distinct_id_text(given) == expected


def test_an_id_that_is_nobody_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """`"None"` as an id is a bug in the program, which its developer should hear of."""
    assert event.distinct_id_text(" None ") == " None "
    event.distinct_id_text(" None ")
    assert len([record for record in caplog.records if "distinct id" in record.message]) == 1


def test_the_program_is_described_without_a_subprocess(monkeypatch: pytest.MonkeyPatch) -> None:
    """The facts of the system come from files and the interpreter."""
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setattr(event, "_facts", None)
    facts = event.system_properties()
    assert facts["$python_version"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["$python_runtime"] == "CPython"
    assert set(facts) >= {"$os", "$os_version"}
