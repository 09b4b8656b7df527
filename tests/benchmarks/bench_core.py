"""What a program pays: import, ordinary events, exceptions warm and cold, big values, storms."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from . import subjects
from .code import HEAVY, ORDER, SITES, Project, caught
from .harness import Measures, Round, Scenario, Target
from .sink import count

KILOBYTE = {
    "plan": "wholesale",
    "cart": [{"sku": f"item-{n}", "quantity": n, "price": 4.25 * n} for n in range(12)],
    "page": "https://shop.example/basket",
    "first_visit": False,
    "text": "lorem ipsum dolor sit amet " * 10,
}
"""Properties of an ordinary event: about 1 KB of JSON."""

IMPORT = {"phtrack": "import phtrack", "posthog": "import posthog", "sentry": "import sentry_sdk"}
FIRST_EVENT = {
    "phtrack": "c = phtrack.Posthog('k', host='{sink}'); c.capture_exception(ValueError('x')); c.shutdown()",
    "posthog": "c = posthog.Posthog('k', host='{sink}'); c.capture_exception(ValueError('x')); c.shutdown()",
    "sentry": "sentry_sdk.init('{dsn}/1'); sentry_sdk.capture_exception(ValueError('x')); sentry_sdk.flush()",
}


def importing(subject: str, sink: str) -> Round:
    """What an interpreter pays that imports the SDK: the promise is that it waits with the rest for the first use."""
    return _starting(IMPORT[subject])


def first_event(subject: str, sink: str) -> Round:
    """What a short program pays in all: import, set up, report one exception, deliver it. Nothing can wait here."""
    rest = FIRST_EVENT[subject].format(sink=sink, dsn=sink.replace("http://", "http://k@"))
    return _starting(f"{IMPORT[subject]}; {rest}", tries=1)


def _starting(statement: str, *, tries: int = 3) -> Round:
    """CPU time of an interpreter that runs *statement*, without that of one that does nothing; and modules loaded."""

    def spent(statement: str) -> float:
        process = subprocess.Popen([sys.executable, "-c", statement])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_utime + usage.ru_stime

    probe = "import sys; before = set(sys.modules); {}; print(len(set(sys.modules) - before))"
    counted = subprocess.run(
        [sys.executable, "-c", probe.format(statement)], capture_output=True, text=True, check=True
    )

    def once() -> Measures:
        bare = min(spent("pass") for _ in range(tries))
        return {"ms": 1e3 * (min(spent(statement) for _ in range(tries)) - bare), "modules": float(counted.stdout)}

    return once


def delivered(subject: subjects.Subject, sink: str, work: list[Any], one: Callable[[Any], None]) -> Measures:
    """
    Do *one* for each item of *work* and wait until all has been delivered.

    Returns:
        µs of the calling thread, µs of all threads until delivered, bytes on the wire, each per event; events per second.
    """
    before, caller = count(sink), 0.0
    everything, clock = time.process_time(), time.perf_counter()
    for start in range(0, len(work), subject.chunk):
        began = time.thread_time()
        for item in work[start : start + subject.chunk]:
            one(item)
        caller += time.thread_time() - began
        subject.flush()
    everything, clock = time.process_time() - everything, time.perf_counter() - clock
    after, many = count(sink), len(work)
    arrived = after["events"] - before["events"]
    assert arrived == many, (
        f"{arrived} of {many} events arrived: what is lost costs nothing, so this would compare nothing"
    )
    return {
        "caller µs": 1e6 * caller / many,
        "all threads µs": 1e6 * everything / many,
        "events/s": many / clock,
        "bytes": (after["bytes"] - before["bytes"]) / many,
    }


def events(subject: str, sink: str) -> Round:
    """Ordinary events of 1 KB from one thread."""
    sdk = subjects.make(subject, sink)
    many = 200 if subject == "sentry" else 4_000
    return lambda: delivered(sdk, sink, [KILOBYTE] * many, sdk.capture)


def exceptions(subject: str, sink: str, *, frames: int, library: int = 0, values: bool, many: int = 150) -> Round:
    """Fresh exceptions from one warm site, *frames* deep, *library* of them in a library."""
    project = Project()
    sdk = subjects.make(subject, sink, values=values, root=str(project.app))
    app = project.chain(frames - library)
    lib = project.chain(library, library=True) if library else app

    def enter(order: dict[str, Any], depth: int, fail: type[Exception]) -> object:
        # The library's chain ends by calling back into the application's, as frameworks do.
        return lib.level_0(order, depth, partial(_back, order, fail)) if library else app.level_0(order, depth, fail)

    def _back(order: dict[str, Any], fail: type[Exception], text: str) -> Exception:
        app.level_0(order, frames - library - 1, fail)
        raise AssertionError

    depth = library - 1 if library else frames - 1

    def once() -> Measures:
        errors = [caught(enter, ORDER, depth, ValueError) for _ in range(many)]
        assert abs(_depth(errors[0]) - frames) <= 2, _depth(errors[0])
        return delivered(sdk, sink, errors, sdk.exception)

    return once


def _depth(error: BaseException) -> int:
    levels, tb = 0, error.__traceback__
    while tb is not None:
        levels, tb = levels + 1, tb.tb_next
    return levels


def cold(subject: str, sink: str) -> Round:
    """The first report of each of 200 sites, over ten files that nobody has read yet."""
    project = Project()
    sdk = subjects.make(subject, sink, root=str(project.app))
    warm = project.chain(5)
    for _ in range(5):  # what an SDK does at its very first report is not what this is about
        sdk.exception(caught(warm.level_0, ORDER, 4, ValueError))
    sdk.flush()

    def once() -> Measures:
        modules = [project.module("".join(SITES.format(n=n) for n in range(20))) for _ in range(10)]
        errors = [caught(getattr(module, f"site_{n}"), ORDER, ValueError) for module in modules for n in range(20)]
        return delivered(sdk, sink, errors, sdk.exception)

    return once


def big_values(subject: str, sink: str) -> Round:
    """A list of 10,000, a text of 1 MB, and an object whose repr takes 2 ms, where it fails."""
    project = Project()
    sdk = subjects.make(subject, sink, root=str(project.app))
    module = project.module(HEAVY)
    return lambda: delivered(sdk, sink, [caught(module.heavy, ORDER, ValueError) for _ in range(20)], sdk.exception)


def big_self(subject: str, sink: str) -> Round:
    """Twenty frames whose `self` holds 2,000 dicts."""
    project = Project()
    sdk = subjects.make(subject, sink, root=str(project.app))
    table = project.module(HEAVY).Table()
    return lambda: delivered(sdk, sink, [caught(table.walk, 20, ValueError) for _ in range(20)], sdk.exception)


def held_back(subject: str, sink: str) -> Round:
    """The same failure again and again with the throttle on; peers without one send each."""
    project = Project()
    sdk = subjects.make(subject, sink, throttle=True, root=str(project.app))
    app = project.chain(5)
    ours = subject == "phtrack"

    def once() -> Measures:
        errors = [caught(app.level_0, ORDER, 4, ValueError) for _ in range(5_000 if ours else 50)]
        began = time.thread_time()
        for error in errors:
            sdk.exception(error)
        spent = time.thread_time() - began
        sdk.flush()
        return {"caller µs": 1e6 * spent / len(errors)}

    return once


SCENARIOS = [
    Scenario("import", importing, rounds=5),
    Scenario("import to first exception delivered", first_event, rounds=3),
    Scenario("event of 1 KB", events),
    Scenario("exception, 5 frames, no values", partial(exceptions, frames=5, values=False)),
    Scenario("exception, 40 frames, no values", partial(exceptions, frames=40, library=34, values=False)),
    # More rounds: every other one has a full collection of garbage in it.
    Scenario("exception, 5 frames, values", partial(exceptions, frames=5, values=True), rounds=11),
    Scenario("exception, 40 frames, values", partial(exceptions, frames=40, library=34, values=True)),
    Scenario("200 cold sites", cold),
    Scenario("big values", big_values),
    Scenario("20 frames of a big self", big_self),
    Scenario("held back by the throttle", held_back),
]

TARGETS = [
    Target("import", "ms", "posthog", 1 / 2),
    Target("event of 1 KB", "caller µs", "posthog", 1 / 6),
    Target("event of 1 KB", "all threads µs", "posthog", 1 / 8),
    Target("event of 1 KB", "events/s", "posthog", 6, more=True),
    Target("exception, 5 frames, no values", "caller µs", "posthog", 1 / 10),
    Target("exception, 5 frames, no values", "caller µs", "sentry", 1 / 15),
    Target("exception, 5 frames, values", "caller µs", "posthog", 1 / 8),
    Target("exception, 5 frames, values", "caller µs", "sentry", 1 / 12),
    Target("exception, 5 frames, values", "all threads µs", "posthog", 1 / 5),
    Target("exception, 5 frames, values", "all threads µs", "sentry", 1 / 5),
    Target("exception, 40 frames, values", "caller µs", "posthog", 1 / 20),
    Target("exception, 40 frames, values", "caller µs", "sentry", 1 / 20),
    Target("200 cold sites", "caller µs", "posthog", 1 / 2),
    Target("big values", "caller µs", "posthog", 1 / 10),
    Target("big values", "caller µs", "sentry", 1 / 10),
    Target("20 frames of a big self", "caller µs", "sentry", 1 / 10),
    Target("held back by the throttle", "caller µs", "posthog", 1 / 100),
    Target("held back by the throttle", "caller µs", "sentry", 1 / 100),
]
