"""
What delivery costs and holds: ordinary events end to end from one and four threads, memory while they wait, the spool.

``python -m tests.benchmarks delivery``, or this file as a script. ``... bench_delivery.py compress`` prints what gzip's levels
cost and save on batches of such events.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks import subjects
from tests.benchmarks.harness import Measures, Round, Scenario, Target
from tests.benchmarks.sink import count

KILOBYTE = {
    "plan": "wholesale",
    "cart": [{"sku": f"item-{n}", "quantity": n, "price": 4.25 * n} for n in range(12)],
    "page": "https://shop.example/basket",
    "first_visit": False,
    "text": "lorem ipsum dolor sit amet " * 10,
}
"""Properties of an ordinary event: about 1 KB of JSON."""
QUEUED = 10_000


class SentryLogs(subjects.Sentry):
    """sentry-sdk's lightest event: a log record with attributes."""

    chunk = 500

    def __init__(self, sink: str, **more: Any) -> None:
        super().__init__(sink, enable_logs=True, **more)

    def capture(self, properties: Any) -> None:
        """A log."""
        self._sdk.logger.info("benchmark", attributes={**properties, "cart": json.dumps(properties["cart"])})


def make(subject: str, sink: str, **options: Any) -> Any:
    """The subject of that name; `sentry logs` is one more."""
    return SentryLogs(sink, **options) if subject == "sentry logs" else subjects.make(subject, sink, **options)


def end_to_end(subject: str, sink: str, *, threads: int, gzip: bool = False) -> Round:
    """From the first call to the last event's arrival, with *threads* capturing at once."""
    options: dict[str, Any] = {"gzip": True} if gzip else {}
    sdk = make(subject, sink, **options)
    many = {"phtrack": 5_000, "posthog": 5_000, "sentry": 200, "sentry logs": 1_000}[subject] * 2
    share = sdk.chunk // threads

    def capture() -> None:
        for _ in range(share):
            sdk.capture(KILOBYTE)

    def once() -> Measures:
        before = count(sink)
        cpu, clock = time.process_time(), time.perf_counter()
        done = 0
        while done < many:
            workers = [threading.Thread(target=capture) for _ in range(threads)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            sdk.flush()
            done += share * threads
        cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
        after = count(sink)
        arrived = after["events"] - before["events"]
        assert arrived == done, f"{arrived} of {done} events arrived"
        return {
            "all threads µs": 1e6 * cpu / done,
            "events/s": done / clock,
            "bytes": (after["bytes"] - before["bytes"]) / done,
            "requests per 1,000": 1e3 * (after["requests"] - before["requests"]) / done,
        }

    return once


WAITING = """
import gc, os, socket, time
from tests.benchmarks.bench_delivery import KILOBYTE, QUEUED, make, resident
deaf = socket.socket(); deaf.bind(("127.0.0.1", 0)); deaf.listen(50)
sdk = make({subject!r}, f"http://127.0.0.1:{{deaf.getsockname()[1]}}", timeout=100)
for n in range(100): sdk.capture({{"n": n}})
time.sleep(1.0)  # its first batch is under way and will stay so
gc.collect(); before = resident()
for n in range(QUEUED - 200): sdk.capture({{**KILOBYTE, "text": f"{{n:08}} {{'lorem ipsum dolor sit amet ' * 10}}"}})
gc.collect(); print((resident() - before) / (QUEUED - 200) * QUEUED / 1e6)
os._exit(0)
"""


def memory(subject: str, sink: str) -> Round:
    """How much a process grows by 10,000 events of 1 KB that wait for a server that doesn't answer. Options as they are."""

    def once() -> Measures:
        code = WAITING.format(subject=subject)
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        return {"MB": float(out)}

    return once


def resident() -> int:
    """Bytes of memory this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def spooling(subject: str, sink: str) -> Round:
    """`capture()` with every event on disk before it returns (ours), and without (`memory only`)."""
    more: dict[str, Any] = {}
    if subject == "phtrack":
        directory = tempfile.mkdtemp()
        import atexit

        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        more = {"spool_dir": directory, "spool": "always"}
    sdk = subjects.make("phtrack", sink, **more)
    many = 4_000

    def once() -> Measures:
        cpu, caller = time.process_time(), time.thread_time()
        for _ in range(many):
            sdk.capture(KILOBYTE)
        caller = time.thread_time() - caller
        sdk.flush()
        cpu = time.process_time() - cpu
        return {"caller µs": 1e6 * caller / many, "all threads µs": 1e6 * cpu / many}

    return once


ALL = ("phtrack", "posthog", "sentry", "sentry logs")
SCENARIOS = [
    Scenario("events, 1 thread", partial(end_to_end, threads=1), subjects=ALL),
    Scenario("events, 4 threads", partial(end_to_end, threads=4), subjects=ALL),
    Scenario("events, gzip", partial(end_to_end, threads=1, gzip=True), subjects=("phtrack", "posthog")),
    Scenario("10,000 waiting", memory, subjects=("phtrack", "posthog"), rounds=2),
    Scenario("spool always", spooling, subjects=("phtrack", "memory only")),
]
TARGETS = [
    *(
        target
        for name in ("events, 1 thread", "events, 4 threads")
        for target in (
            Target(name, "events/s", "posthog", 6, more=True),
            Target(name, "all threads µs", "posthog", 1 / 8),
            Target(name, "all threads µs", "sentry", 1 / 8),
            Target(name, "all threads µs", "sentry logs", 1 / 2),
        )
    ),
    Target("10,000 waiting", "MB", "posthog", 1 / 2),
    Target("spool always", "caller µs", "memory only", 3),
]


def compress() -> None:
    """Print what each level of gzip costs and saves on a batch of 100 events of 1 KB that differ as real ones do."""
    from random import Random

    chance = Random(1)
    events = [
        json.dumps(
            {
                "event": chance.choice(["page viewed", "order placed", "searched"]),
                "uuid": f"{chance.getrandbits(128):032x}",
                "distinct_id": f"user-{chance.randrange(1000)}",
                "properties": {**KILOBYTE, "page": f"/shop/{chance.randrange(500)}", "total": chance.random()},
            }
        ).encode()
        for _ in range(100)
    ]
    body = b",".join(events)
    print(f"{len(body) / 100:.0f} bytes an event")
    for level in (1, 2, 3, 4, 5, 6, 9):
        began = time.process_time()
        for _ in range(20):
            compressor = zlib.compressobj(level, zlib.DEFLATED, 31)
            size = len(compressor.compress(body) + compressor.flush())
        spent = (time.process_time() - began) / 20 / 100
        print(f"level {level}: {1e6 * spent:5.1f} µs an event, {100 * size / len(body):4.1f} % of the size")


if __name__ == "__main__":
    if sys.argv[1:] == ["compress"]:
        compress()
    else:
        from tests.benchmarks.__main__ import main

        sys.argv[1:] = ["delivery", *sys.argv[1:]]
        sys.exit(main())
