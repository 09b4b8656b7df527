"""Runs small programs in processes of their own, against a server of the test, and says what they left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

GUARD = """
def _guard_of_the_test(parent):
    import os, signal, sys
    if sys.platform == "linux":
        import ctypes
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)  # it is gone already
    signal.alarm(120)
    os.register_at_fork(after_in_child=lambda: signal.alarm(120))  # a child inherits neither
_guard_of_the_test({parent})
"""
"""Runs first in each program: it dies with its test, and what it forked two minutes later at most, also when that is interrupted."""

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


def start(
    source: str, url: str, *, python: tuple[str, ...] = (), prelude: str = PRELUDE, **env: str
) -> subprocess.Popen[str]:
    """Start *source* with `make()` and `event()` at hand."""
    code = GUARD.format(parent=os.getpid()) + prelude.format(root=str(ROOT), url=url) + textwrap.dedent(source)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST"))}
    return subprocess.Popen(
        [sys.executable, *python, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**clean, "PYTHONFAULTHANDLER": "1", **env},
        cwd=ROOT,
    )


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
