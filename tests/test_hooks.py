"""The interpreter's hooks, in real processes: what is captured, what is left alone, and what was there before still runs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import pytest

PRELUDE = """
import json, sys, threading, atexit
import phtrack
from phtrack.testing import RecordingTransport

transport = RecordingTransport()
before = (sys.excepthook, threading.excepthook, sys.unraisablehook)
client = phtrack.init("phc_test", transport=transport, enable_exception_autocapture=True)

def tell():
    client.flush()
    for event in transport.events:
        print("EVENT " + json.dumps(event), flush=True)
"""


def run(
    body: str, *, tell: str = "atexit.register(tell)"
) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[str]]:
    """Run *body* after the prelude in a new interpreter; the events it captured, and how it ended."""
    import json

    script = PRELUDE + tell + "\n" + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    events = [json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("EVENT ")]
    return events, done


def facts(event: dict[str, Any]) -> tuple[Any, ...]:
    properties = event["properties"]
    mechanism = properties["$exception_list"][0]["mechanism"]
    return (
        properties["$exception_type"],
        properties["$exception_level"],
        mechanism["type"],
        mechanism["handled"],
        properties["$exception_source"],
    )


def test_a_crash_is_captured_and_looks_as_ever() -> None:
    """The program prints Python's own traceback and exits with 1."""
    events, done = run("1 / 0")
    assert [facts(event) for event in events] == [
        ("ZeroDivisionError", "fatal", "onuncaughtexception", False, "python.sys_excepthook")
    ]
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert done.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(("body", "code"), [("sys.exit(3)", 3), ("raise KeyboardInterrupt", -2)])
def test_the_ordinary_ends_of_a_program_are_no_errors(body: str, code: int) -> None:
    """Neither `sys.exit` nor Ctrl-C is captured, and the exit code stays."""
    events, done = run(body)
    assert events == []
    assert done.returncode in (code, 130 if code == -2 else code)


def test_the_hook_that_was_there_before_runs() -> None:
    """phtrack is put in front, not in the place of another hook."""
    events, done = run(
        "1 / 0",
        tell="sys.excepthook_was_called = 0\natexit.register(tell)",
    )
    assert len(events) == 1
    script = """
        import sys
        def mine(kind, value, tb): print("MINE", kind.__name__)
        sys.excepthook = mine
        import phtrack
        from phtrack.testing import RecordingTransport
        phtrack.init("k", transport=RecordingTransport(), enable_exception_autocapture=True)
        1 / 0
    """
    other = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert "MINE ZeroDivisionError" in other.stdout


def test_a_thread_that_dies_is_captured() -> None:
    """With the thread's name; `sys.exit()` in a thread is not."""
    events, done = run(
        """
        def die(): raise ValueError("in a thread")
        for target in (die, sys.exit):
            thread = threading.Thread(target=target, name="worker-7")
            thread.start(); thread.join()
        """
    )
    assert [facts(event) for event in events] == [
        ("ValueError", "error", "onuncaughtexception", False, "python.threading_excepthook")
    ]
    assert events[0]["properties"]["$thread_name"] == "worker-7"
    assert "Exception in thread worker-7" in done.stderr


def test_an_unraisable_error_is_captured() -> None:
    """What a `__del__` raises is printed by Python and known to phtrack."""
    events, done = run(
        """
        class Leaky:
            def __del__(self): raise ValueError("in del")
        Leaky()
        """
    )
    assert [facts(event) for event in events] == [
        ("ValueError", "error", "onuncaughtexception", False, "python.sys_unraisablehook")
    ]
    assert events[0]["properties"]["$unraisable_in"].endswith("Leaky.__del__")
    assert "Exception ignored in" in done.stderr


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_task_whose_exception_nobody_asks_for_is_captured(when: str) -> None:
    """Whether asyncio is imported before phtrack starts or later; a task that is awaited is no event."""
    body = """
        import asyncio, gc

        async def fail(text): raise ValueError(text)

        async def main():
            task = asyncio.create_task(fail("forgotten"), name="forgotten-1")
            await asyncio.sleep(0)
            del task
            gc.collect()
            try:
                await asyncio.create_task(fail("awaited"))
            except ValueError:
                pass
            await asyncio.gather(fail("gathered"), return_exceptions=True)

        asyncio.run(main())
    """
    if when == "before":
        import json

        script = "import asyncio\n" + PRELUDE + "atexit.register(tell)\n" + textwrap.dedent(body)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        events = [json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("EVENT ")]
    else:
        events, done = run(body)
    assert [facts(event) for event in events] == [
        ("ValueError", "error", "onunhandledrejection", False, "python.asyncio_exception_handler")
    ]
    properties = events[0]["properties"]
    assert properties["$asyncio_task"] == "forgotten-1"
    assert properties["$exception_message"] == "forgotten"
    assert "Task exception was never retrieved" in done.stderr


def test_a_loops_own_handler_still_runs() -> None:
    """An application that set an exception handler gets the call as before."""
    events, done = run(
        """
        import asyncio

        async def main():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda loop, context: print("MINE", context["exception"]))
            loop.call_soon(lambda: 1 / 0)
            await asyncio.sleep(0.01)

        asyncio.run(main())
        """
    )
    assert [facts(event)[0] for event in events] == ["ZeroDivisionError"]
    assert "MINE division by zero" in done.stdout


def test_shutdown_puts_everything_back() -> None:
    """After it, the hooks are those from before, and nothing is captured."""
    events, done = run(
        """
        client.shutdown()
        assert (sys.excepthook, threading.excepthook, sys.unraisablehook) == before
        import asyncio
        assert asyncio.base_events.BaseEventLoop.call_exception_handler.__module__ == "asyncio.base_events"
        import logging
        assert logging.getLogRecordFactory() is logging.LogRecord
        assert not any(type(one).__module__.startswith("phtrack") for one in sys.meta_path)
        print("CLEAN")
        1 / 0
        """
    )
    assert "CLEAN" in done.stdout, done.stderr
    assert events == []


def test_a_wrapped_hook_goes_quiet() -> None:
    """When another library has wrapped ours, undoing leaves its hook in place and ours only passes on."""
    events, done = run(
        """
        ours = sys.excepthook
        sys.excepthook = lambda *args: (print("OUTER"), ours(*args))
        client.shutdown()
        1 / 0
        """
    )
    assert events == []
    assert "OUTER" in done.stdout
    assert "ZeroDivisionError" in done.stderr


def test_steps_come_from_logs_and_warnings() -> None:
    """What was logged and warned of before the crash is in its event, with plain arguments only."""
    events, done = run(
        """
        import logging, warnings
        log = logging.getLogger("shop")
        log.setLevel("INFO")
        class Rude:
            def __str__(self): raise SystemExit("ran")
            __repr__ = __str__
        log.info("cart %s has %d items", "c1", 3)
        log.debug("too quiet")
        logging.raiseExceptions = False
        log.propagate = False
        log.info("object %s", Rude())
        phtrack.step("paying", amount=12)
        warnings.warn("old api")
        1 / 0
        """
    )
    steps = events[0]["properties"]["$exception_steps"]
    assert [step["$message"] for step in steps] == ["cart c1 has 3 items", "object %s", "paying", "old api"]
    assert steps[0]["logger"] == "shop"
    assert steps[2]["amount"] == 12
    assert steps[3]["category"] == "UserWarning"
    assert "UserWarning: old api" in done.stderr


def test_logging_is_configured_as_without_phtrack() -> None:
    """No handler of ours is in the way of `basicConfig` or of the last resort."""
    _, done = run(
        """
        import logging
        logging.getLogger("x").warning("last resort")
        logging.basicConfig(format="configured %(message)s")
        logging.getLogger("x").warning("hello")
        """
    )
    assert done.stderr.splitlines() == ["last resort", "configured hello"]
