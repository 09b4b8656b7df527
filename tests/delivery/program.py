"""
Runs programs in processes of their own, against a server of the test, and says what they left behind.

None outlives its test: each leads a process group, which the fixture in `conftest` ends whatever the test does, and dies by
itself with the process that runs the tests.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]

GUARD = """
def _guard_of_the_test(parent):
    import os, signal, sys
    if sys.platform == "linux":
        import ctypes
        prctl = ctypes.CDLL(None).prctl
    else:
        prctl = lambda *_: None
    def guard():
        prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        signal.alarm(120)
    guard()
    if parent and os.getppid() != parent:
        os._exit(1)  # it is gone already
    os.register_at_fork(after_in_child=guard)  # a child inherits neither
_guard_of_the_test({parent})
"""
"""
Runs first in each program: it dies with the process that started it, the tests' or its own parent, also when that is killed;
where the system can't do that, after two minutes.
"""

GUARDED = (
    GUARD
    + """
import os, sys
os.execv(sys.argv[1], sys.argv[1:])
"""
)
"""Becomes another program, which stays guarded; what that forks is not, unless it runs `GUARD` (with parent=0) too."""

PRELUDE = """
import os, signal, sys, threading, time
from uuid import uuid4
sys.path.insert(0, {root!r})
from phtrack import _guard
from phtrack.delivery import Delivery
from phtrack.options import DeliveryOptions
from phtrack.seams import Envelope
from phtrack.tally import Tally

tally = Tally()
def make(**options):
    return Delivery(DeliveryOptions(**options), api_key="k", host={url!r}, tally=tally)
def event(name, size=0):
    uuid = str(uuid4())
    body = ('{{"event":"%s","uuid":"%s","properties":{{"pid":%d,"pad":"%s"}}}}' % (name, uuid, os.getpid(), "x" * size)).encode()
    return Envelope(uuid, name, body)
"""


@dataclass
class Ended:
    """A program that ended."""

    code: int
    out: str
    err: str
    seconds: float
    """From start to end, the interpreter's own included."""


_started: list[subprocess.Popen[Any]] = []
"""Leaders of the process groups of this test."""


def start(
    source: str, url: str, *, python: tuple[str, ...] = (), prelude: str = PRELUDE, **env: str
) -> subprocess.Popen[str]:
    """Start *source* with `make()` and `event()` at hand."""
    code = GUARD.format(parent=os.getpid()) + prelude.format(root=str(ROOT), url=url) + textwrap.dedent(source)
    return _start([sys.executable, *python, "-c", code], subprocess.PIPE, subprocess.PIPE, env)


def start_command(command: list[str], log: IO[str] | None = None) -> subprocess.Popen[str]:
    """Start a *command* that may fork. Its output goes to *log*, or is at hand at its `end`."""
    guarded = [sys.executable, "-c", GUARDED.format(parent=os.getpid()), *command]
    return _start(guarded, log or subprocess.PIPE, log or subprocess.PIPE, {})


def _start(command: list[str], out: Any, err: Any, env: dict[str, str]) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST"))}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=err,
        text=True,
        env={**clean, "PYTHONFAULTHANDLER": "1", **env},
        cwd=ROOT,
        start_new_session=True,
    )
    _started.append(process)
    return process


def kill_all() -> None:
    """Kill what is left of all programs that were started, children included."""
    while _started:
        process = _started.pop()
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # nothing is left
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def end(process: subprocess.Popen[str], timeout: float = 50.0) -> Ended:
    """Wait for its end; a hang kills it and fails."""
    begun = time.monotonic()
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # faulthandler prints where every thread hangs
        out, err = process.communicate()
        raise AssertionError(f"the program hangs\n{out}\n{err}") from None
    return Ended(process.returncode, out, err, time.monotonic() - begun)


def run(source: str, url: str, **more: Any) -> Ended:
    """`start` and `end`."""
    return end(start(source, url, **more))


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    """Until the program has printed *text*."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the program ended without printing {text!r}: {process.communicate()}")
