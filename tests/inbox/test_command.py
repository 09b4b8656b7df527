"""`phtrack inbox` as a user runs it: in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from phtrack.inbox.state import state_directory
from tests.inbox import events as make

ROOT = Path(__file__).parents[2]


def phtrack(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with its state directory below *state*."""
    return subprocess.run(
        [sys.executable, "-m", "phtrack", "inbox", *arguments],
        capture_output=True, text=True, timeout=60, env={**os.environ, "XDG_STATE_HOME": str(state)}, cwd=ROOT,
    )  # fmt: skip


@contextmanager
def running(state: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A started command, and the one line it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "phtrack", "inbox", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "XDG_STATE_HOME": str(state)}, cwd=ROOT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process.stdout.readline(), process
    finally:
        process.kill()
        process.communicate()


def post(line: str, *events: object) -> None:
    """Deliver *events* to the inbox whose line is *line*."""
    session = requests.Session()
    session.trust_env = False
    assert session.post(line.split()[2] + "/batch/", json={"batch": list(events)}, timeout=30).status_code == 200
    session.close()


def test_serve_restart_and_read_without_a_server(tmp_path: Path) -> None:
    """One line with the address; Ctrl-C ends it with 0 and no noise; what it stored is read with and without it."""
    with running(tmp_path, "--port", "0") as (line, process):
        assert line.startswith("phtrack inbox http://127.0.0.1:") and line.endswith("(no issues yet)\n")
        post(line, make.exception(make.entry("ValueError", "bad \ud800", make.frame())))
        during = phtrack(tmp_path, "--json")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")
    after = phtrack(tmp_path, "--json")
    assert during.returncode == after.returncode == 0 and during.stdout == after.stdout
    (issue,) = json.loads(after.stdout)
    assert (issue["type"], issue["message"], issue["culprit"]) == ("ValueError", "bad \\ud800", "shop.checkout.pay:88")
    assert set(issue) == {
        "id", "type", "message", "culprit", "count", "held_back", "first_seen", "last_seen", "level", "handled", "fingerprint", "tags",
    }  # fmt: skip
    with running(tmp_path, "--port", "0") as (line, _):
        assert line.endswith("(1 issue)\n")


def test_a_second_inbox_becomes_a_pointer_to_the_first(tmp_path: Path) -> None:
    """Started again on its port it names the running one and ends well; with another file it says whose is used."""
    with running(tmp_path, "--port", "0") as (line, _):
        url = line.split()[2]
        port = url.rsplit(":", 1)[1]
        second = phtrack(tmp_path, "--port", port)
        assert (second.returncode, second.stdout, second.stderr) == (0, f"phtrack inbox {url}  (already running)\n", "")
        third = phtrack(tmp_path, "--port", port, "--db", str(tmp_path / "other.db"))
        assert (
            third.returncode == 0
            and "--port 0" in third.stderr
            and str(tmp_path / "phtrack" / "inbox.db") in third.stderr
        )


def test_listening_beyond_this_machine_is_said(tmp_path: Path) -> None:
    """Whoever opens the inbox to the network is told so, once, on stderr."""
    with running(tmp_path, "--port", "0", "--host", "0.0.0.0") as (line, process):
        assert line.startswith("phtrack inbox http://127.0.0.1:")
        post(line, make.exception())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert "open to the network" in err and len(err.splitlines()) == 1


def test_a_port_of_another_program_is_an_error(tmp_path: Path) -> None:
    """The message names the port and the way out; exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = phtrack(tmp_path, "--port", port)
        assert result.returncode == 2 and f"port {port}" in result.stderr and "--port 0" in result.stderr
        assert result.stdout == "" and "Traceback" not in result.stderr


def test_looking_at_nothing_creates_nothing(tmp_path: Path) -> None:
    """`--json` and `--clear` without an inbox answer emptily and leave the disk alone."""
    result = phtrack(tmp_path, "--json")
    assert (result.returncode, result.stdout) == (0, "[]\n")
    assert "cleared 0 issues, 0 events" in phtrack(tmp_path, "--clear").stdout
    assert list(tmp_path.iterdir()) == []


def test_clear_works_beside_a_running_server(tmp_path: Path) -> None:
    """The running inbox is empty afterwards, and takes new events."""
    with running(tmp_path, "--port", "0") as (line, _):
        post(line, make.exception(), make.ordinary())
        assert "cleared 1 issues, 2 events" in phtrack(tmp_path, "--clear").stdout.replace("1 issue,", "1 issues,")
        assert json.loads(phtrack(tmp_path, "--json").stdout) == []
        post(line, make.exception())
        assert len(json.loads(phtrack(tmp_path, "--json").stdout)) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "99999"), "0 to 65535"),
        (("--port", "x"), "'x'"),
        (("--host", "no.such.host.invalid", "--port", "0"), "no.such.host.invalid"),
        (("--flags", "/no/such/flags.toml", "--port", "0"), "/no/such/flags.toml"),
        (("--db", "/dev/null/x/inbox.db", "--port", "0"), "/dev/null/x/inbox.db"),
    ],
)
def test_wrong_use_is_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """Exit code 2, the value in the message, no traceback."""
    result = phtrack(tmp_path, *arguments)
    assert result.returncode == 2 and words in result.stderr and "Traceback" not in result.stderr
    assert result.stdout == ""


def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    """An event whose sender got its answer is there after the server was killed."""
    with running(tmp_path, "--port", "0") as (line, process):
        post(line, *(make.exception(**{"$exception_fingerprint": "f"}) for _ in range(50)))
        process.kill()
        process.wait(30)
        assert [issue["count"] for issue in json.loads(phtrack(tmp_path, "--json").stdout)] == [50]


def test_reading_needs_no_web_packages(tmp_path: Path) -> None:
    """`--json` works, and serving says what to install, where the extra is missing."""
    code = (
        "import sys; sys.modules.update(starlette=None, uvicorn=None, jinja2=None)\n"
        "from phtrack.cli import main\n"
        f"assert main(['inbox', '--db', {str(tmp_path / 'x.db')!r}, '--json']) == 0\n"
        f"sys.exit(main(['inbox', '--db', {str(tmp_path / 'x.db')!r}, '--port', '0']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (result.returncode, result.stdout) == (2, "[]\n")
    assert "pip install 'phtrack[inbox]'" in result.stderr


def test_the_state_directory_follows_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG first; a relative XDG path is ignored, as its specification says; else the system's own place."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert state_directory() == tmp_path / "state" / "phtrack"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setattr(sys, "platform", "linux")
    assert state_directory() == tmp_path / ".local" / "state" / "phtrack"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert state_directory() == tmp_path / "Library" / "Application Support" / "phtrack"
