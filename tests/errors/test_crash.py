"""Segfaults and fatal signals, in processes that really crash."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from phtrack.errors import crash
from tests.errors.conftest import Make

CRASHING = """
import ctypes, os, signal, sys, threading, time
import phtrack
phtrack.init("k", send=False, crash_dir=sys.argv[1], release="r1")
phtrack.step("cart loaded", items=3)
phtrack.step("calling the library")

def deep(n):
    if n:
        deep(n - 1)
    HOW

threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
deep(2)
"""


def crash_by(how: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "crashing.py"
    script.write_text(CRASHING.replace("HOW", how))
    return subprocess.run(
        [sys.executable, str(script), str(tmp_path / "crashes")], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("how", "kind", "code"),
    [
        ("ctypes.string_at(0)", "SIGSEGV", -signal.SIGSEGV),
        ("os.abort()", "SIGABRT", -signal.SIGABRT),
        ("os.kill(os.getpid(), signal.SIGFPE)", "SIGFPE", -signal.SIGFPE),
    ],
)
def test_a_crash_is_an_event_at_the_next_start(make: Make, tmp_path: Path, how: str, kind: str, code: int) -> None:
    """Fatal, unhandled, with the frames of the crashing thread and the last steps."""
    assert crash_by(how, tmp_path).returncode == code
    recorder = make(crash_dir=tmp_path / "crashes")
    (event,) = recorder.events()
    properties = event["properties"]
    assert properties["$exception_type"] == kind
    assert properties["$exception_level"] == "fatal"
    assert properties["$exception_source"] == "python.faulthandler"
    assert properties["release"] == "r1"
    entry = properties["$exception_list"][0]
    assert entry["mechanism"]["handled"] is False
    frames = [frame for frame in entry["stacktrace"]["frames"] if frame["filename"].endswith("crashing.py")]
    assert [frame["function"] for frame in frames] == ["<module>", "deep", "deep", "deep"]
    assert frames[-1]["context_line"].strip() == how
    assert [frame["phtrack"]["qualname"] for frame in frames] == ["<module>", "deep", "deep", "deep"]
    assert [step["$message"] for step in properties["$exception_steps"]] == ["cart loaded", "calling the library"]
    recorder.client.shutdown()
    assert list((tmp_path / "crashes").iterdir()) == []
    assert make(crash_dir=tmp_path / "crashes").events() == []


def test_an_orderly_end_leaves_nothing(tmp_path: Path) -> None:
    """Neither a normal exit nor an exception is a crash."""
    for how in ("sys.exit(0)", "raise ValueError"):
        crash_by(how, tmp_path)
        assert list((tmp_path / "crashes").iterdir()) == []


def test_a_killed_process_is_no_crash(make: Make, tmp_path: Path) -> None:
    """Without a dump nobody knows what happened, and nothing is made up."""
    crash_by("os.kill(os.getpid(), signal.SIGKILL)", tmp_path)
    recorder = make(crash_dir=tmp_path / "crashes")
    assert recorder.events() == []
    recorder.client.shutdown()
    assert list((tmp_path / "crashes").iterdir()) == []


def test_a_living_process_is_left_alone(make: Make, tmp_path: Path) -> None:
    """Two processes share the directory; the second doesn't take the first one's files."""
    script = textwrap.dedent("""
        import sys, phtrack
        phtrack.init("k", send=False, crash_dir=sys.argv[1])
        print("ready", flush=True)
        sys.stdin.read()
        import os; os.abort()
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as living:
        assert living.stdout is not None and living.stdin is not None
        living.stdout.readline()
        first = make(crash_dir=tmp_path)
        assert first.events() == []
        assert len(list(tmp_path.glob("*.crash"))) == 2
        living.stdin.close()
        living.wait(30)
    second = make(crash_dir=tmp_path)
    assert [event["properties"]["$exception_type"] for event in second.events()] == ["SIGABRT"]


def test_files_are_private(make: Make, tmp_path: Path) -> None:
    """A dump may hold paths and steps: 0600 in a directory of 0700."""
    make(crash_dir=tmp_path / "new")
    assert stat.S_IMODE(os.stat(tmp_path / "new").st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "new").iterdir()} == {0o600}


def test_a_directory_that_cant_be_used_is_told(make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The program runs on without crash recording."""
    (tmp_path / "file").write_text("")
    recorder = make(crash_dir=tmp_path / "file")
    assert "crash_dir" in caplog.text
    assert recorder.client.capture("x")


def test_damaged_files_do_no_harm(make: Make, tmp_path: Path) -> None:
    """Nonsense in the directory is removed or read as far as it goes."""
    (tmp_path / "a.crash").write_bytes(b"\xff\xfe nonsense")
    (tmp_path / "b.crash").write_text('{"uuid": 5}\nFatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most')
    (tmp_path / "b.steps").write_bytes(b'{"$message": "torn\n\0\0{"$message":"ok","$timestamp":"2025"}\n')
    (event,) = make(crash_dir=tmp_path).events()
    assert event["properties"]["$exception_type"] == "SIGSEGV"
    assert [step["$message"] for step in event["properties"]["$exception_steps"]] == ["ok"]


def test_more_steps_than_fit_keep_the_newest(tmp_path: Path) -> None:
    """The mirror goes round and round, and what it overwrote is not read as a step."""
    ring = crash._Ring(tmp_path / "x.steps")
    for n in range(5_000):
        ring.add(json.dumps({"$message": f"step {n}", "$timestamp": f"{n:08}"}).encode())
    found: list[Any] = [json.loads(step)["$message"] for step in crash._read_steps(tmp_path / "x.steps")]
    assert found[-1] == "step 4999"
    numbers = [int(one.split()[1]) for one in found]
    assert numbers == list(range(numbers[0], 5_000))
    assert len(numbers) > 500
