"""
Small failing programs, and the events they are to become.

The expected event of `programs/chains/cause.py` is `expected/chains/cause.json`; where a Python version truly differs,
`cause.3.10.json` stands beside it and holds for that version and older ones. `pytest tests/golden --golden-rewrite` writes
what is found: on the newest Python first, then on the older ones; read the diff before you commit it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.golden.normal import REDACTED
from tests.golden.run import PROGRAMS

EXPECTED = PROGRAMS.parent / "expected"
VERSION = sys.version_info[:2]
NEWEST = (3, 13)
"""The version, and those after it, whose events are the general expectation."""
_needs = re.compile(r"# needs: Python 3\.(\d+)").match


def programs() -> list[str]:
    """The programs that run on this Python."""
    found = []
    for path in sorted(PROGRAMS.rglob("*.py")):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        needs = _needs(first)
        if path.name.startswith("_") or (needs and VERSION < (3, int(needs[1]))):
            continue
        found.append(path.relative_to(PROGRAMS).as_posix())
    return found


NAMES = programs()


@pytest.fixture(scope="session")
def found() -> dict[str, Any]:
    """All programs, run in one process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("POSTHOG_", "PHTRACK_"))}
    environment["PYTHONPATH"] = str(PROGRAMS.parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden.run", *NAMES],
        capture_output=True,
        cwd=PROGRAMS.parents[2],
        env=environment,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-4000:]
    results: dict[str, Any] = json.loads(done.stdout)
    return results


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_program(name: str, found: dict[str, Any], pytestconfig: pytest.Config) -> None:
    """The program's events are the expected ones, down to statements, expressions, values and fingerprints."""
    events = found[name]["events"]
    assert events, "the program sent nothing"
    if pytestconfig.getoption("--golden-rewrite"):
        rewrite(name, events)
    assert events == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_python_itself_agrees(name: str, found: dict[str, Any]) -> None:
    """Chains, groups, messages and lines are those that Python's own `traceback` prints."""
    judge = found[name]["judge"]
    if judge is None:  # it captured by itself, nothing left it
        assert found[name]["events"]
        return
    entries = found[name]["events"][-1]["$exception_list"]
    assert len(entries) == min(len(judge), 50)
    for entry, true in zip(entries, judge):
        assert entry["mechanism"].get("source") == true["relation"]
        assert entry["mechanism"].get("parent_id") == true["parent"]
        if "says_otherwise" not in name and REDACTED not in entry["value"]:
            assert entry["value"].startswith(true["text"][:1000])
        frames = [frame for frame in entry.get("frames", ()) if "library" not in frame]
        if not any({"repeats", "omitted"} & set(frame.get("phtrack", ())) for frame in frames):
            lines = [[Path(frame["filename"]).name, frame["lineno"], frame["function"]] for frame in frames]
            assert [one for one in lines if one in true["frames"]] == [one for one in true["frames"] if one in lines]
            assert lines[-1:] == true["frames"][-1:]


def test_there_are_enough() -> None:
    """The corpus covers the language, not a corner of it."""
    assert len(list(PROGRAMS.rglob("*.py"))) >= 80
    assert len({Path(name).parts[0] for name in NAMES}) >= 15


def test_no_expectation_is_left_over() -> None:
    """Each expected event has its program, and a version's own says something that the next newer one does not."""
    for path in EXPECTED.rglob("*.json"):
        name = path.relative_to(EXPECTED).as_posix()
        program, _, minor = name.removesuffix(".json").partition(".3.")
        assert (PROGRAMS / f"{program}.py").is_file(), f"{name} has no program"
        if minor:
            newer = expected(f"{program}.py", int(minor) + 1)
            assert newer != json.loads(path.read_text(encoding="utf-8")), f"{name} says nothing new"


def _file(name: str, version: tuple[int, int] | None = None) -> Path:
    suffix = f".{version[0]}.{version[1]}.json" if version else ".json"
    return EXPECTED / f"{name.removesuffix('.py')}{suffix}"


def expected(name: str, minor: int = VERSION[1]) -> Any:
    """The expectation for Python 3.*minor*: of the oldest version, from this one on, that has its own; else the general one."""
    for path in [*(_file(name, (3, own)) for own in range(minor, 20)), _file(name)]:
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    return None


def rewrite(name: str, events: Any) -> None:
    own = _file(name, VERSION)
    own.unlink(missing_ok=True)
    if expected(name) == events:
        return
    path = own if VERSION < NEWEST and _file(name).is_file() else _file(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(events, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
