"""
Runs golden programs, all in this one process, and prints what each made phtrack send, as JSON.

    python -m tests.golden.run chains/cause.py ... -> {"chains/cause.py": {"events": [...], "judge": [...]}, ...}

A program is a script that fails. The exception that leaves it is captured; what it captures itself (hooks, logging) counts as
well. `judge` is what Python's own `traceback` says about the exception that left it.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import phtrack
from phtrack import _guard
from phtrack.frames.values import snapshot
from phtrack.testing import FakeClock, RecordingTransport
from tests.golden.normal import clean_text, normal_events

__tracebackhide__ = True
"""Frames of this module are no part of what is tested: they would show in stacks that phtrack makes itself."""

PROGRAMS = Path(__file__).resolve().parent / "programs"


def main(names: list[str]) -> None:
    __tracebackhide__ = True
    sys.dont_write_bytecode = True
    _guard.STRICT = True
    sys.setrecursionlimit(400)
    snapshot.SOURCE_NS = 10**12  # a busy machine must not decide what a test sees
    transport = RecordingTransport()
    client = phtrack.Posthog(
        "phc_golden",
        transport=transport,
        clock=FakeClock(),
        project_root=PROGRAMS,
        enable_exception_autocapture=True,
        code_variables_time_ms=60_000,
        release="golden",
        environment="test",
    )
    phtrack.default_client = client
    results = {}
    for name in names:
        transport.clear()
        error = run(PROGRAMS / name)
        if error is not None:
            client.capture_exception(error)
        judge = judged(error) if error is not None else None
        error = None
        client.flush()
        results[name] = {"events": normal_events(transport.events, PROGRAMS), "judge": judge}
    client.shutdown()
    sys.stdout.write(json.dumps(results))


def run(path: Path) -> BaseException | None:
    """Run a program in a context of its own; what it fails with, without this frame."""
    __tracebackhide__ = True
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    assert path.stem not in sys.modules, f"{path.name} would hide a module of that name"
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent))
    try:
        with phtrack.new_context(fresh=True, capture_exceptions=False):
            spec.loader.exec_module(module)
    except BaseException as error:
        tb = error.__traceback__
        while tb is not None and not tb.tb_frame.f_code.co_filename.startswith(str(PROGRAMS)):
            tb = tb.tb_next
        return error.with_traceback(tb) if tb is not None else error
    finally:
        sys.path.remove(str(path.parent))
        del sys.modules[path.stem]
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and not thread.daemon:
                thread.join(10)
    return None


def judged(error: BaseException) -> list[dict[str, Any]]:
    """The exceptions around *error* as `traceback` sees them, in the order of the wire contract."""
    found: list[dict[str, Any]] = []

    def visit(one: traceback.TracebackException, relation: str | None, parent: int | None) -> None:
        here = len(found)
        found.append(
            {
                "text": clean_text(str(one).partition(". Did you mean")[0], str(PROGRAMS)),
                "relation": relation,
                "parent": parent,
                "frames": [
                    [Path(frame.filename).name, frame.lineno, frame.name]
                    for frame in one.stack
                    if frame.filename.startswith(str(PROGRAMS))
                ],
            }
        )
        if one.__cause__ is not None:
            visit(one.__cause__, "cause", here)
        elif one.__context__ is not None and not one.__suppress_context__:
            visit(one.__context__, "context", here)
        for member in getattr(one, "exceptions", None) or ():
            visit(member, "member", here)

    visit(traceback.TracebackException.from_exception(error), None, None)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
