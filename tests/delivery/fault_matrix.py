"""
A server that fails in every way there is, and what became of the events: ``python -m tests.delivery.fault_matrix`` prints it.

For each fault: events delivered, lost (counted), kept on disk, arrived twice; the longest a capture was held, and how long the
exit took. Run one after the other here, all at once in the tests, where times mean little and only hangs are looked for.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from phtrack.delivery import Delivery
from phtrack.delivery.segment import parse
from phtrack.options import DeliveryOptions
from phtrack.seams import Envelope
from phtrack.tally import Tally
from tests.delivery.server import Answer, Server

EVENTS = 30


@dataclass
class Fault:
    """A way to fail, and what must come of it."""

    name: str
    script: Callable[[], list[Any]]
    end: str
    """`delivered`, `lost`, or `kept` (lost without a spool)."""
    wait: float = 12.0
    """Seconds the client may try before it is closed."""
    down: float = 0.0
    """Seconds the server refuses connections at first."""
    more_than_once: bool = False
    """True when the server takes events and fails to say so: at least once means twice here."""
    always: Any = 200


def _date(seconds: float) -> str:
    return formatdate(time.time() + seconds, usegmt=True)


FAULTS = [
    Fault("none", lambda: [], "delivered"),
    Fault("204", lambda: [204], "delivered"),
    Fault("refused for ever", lambda: [], "kept", wait=0, down=1e9),
    Fault("down for 5 s", lambda: [], "delivered", wait=25, down=5.0),
    Fault("blackhole", lambda: [], "kept", wait=0, always="blackhole"),
    Fault("blackhole, then well", lambda: ["blackhole"], "delivered"),
    Fault("reset", lambda: ["reset"], "delivered"),
    Fault("reset in mid-answer", lambda: ["reset_mid_answer"], "delivered"),
    Fault("connection closed", lambda: ["hang_up"], "delivered"),
    Fault("garbage", lambda: ["garbage"], "delivered"),
    Fault("drip", lambda: ["drip"], "delivered"),
    Fault("slow", lambda: [Answer(200, delay=0.8)], "delivered"),
    Fault("3xx to another host", lambda: [Answer(307, {"Location": "http://127.0.0.1:9/batch/"})], "lost"),
    Fault("400", lambda: [400], "lost"),
    Fault("401", lambda: [401], "lost"),
    Fault("408", lambda: [408], "delivered"),
    Fault("413 until it fits", lambda: [], "delivered", always=lambda request: 413 if len(request.events) > 3 else 200),
    Fault("429, seconds", lambda: [Answer(429, {"Retry-After": "2"})], "delivered"),
    Fault("429, date", lambda: [Answer(429, {"Retry-After": _date(3)})], "delivered"),
    Fault("500, then 200", lambda: [500], "delivered"),
    Fault("503 for ever", lambda: [], "kept", wait=0.5, always=503),
]


@dataclass
class Outcome:
    """What came of it."""

    delivered: int
    lost: int
    kept: int
    twice: int
    longest_capture_ms: float
    exit_s: float
    adds_up: bool
    redirected: int = 0


def run(fault: Fault, *, spool: bool) -> Outcome:
    """Capture `EVENTS` events against *fault*, wait, close, and count at both ends."""
    with tempfile.TemporaryDirectory() as directory, Server(*fault.script(), always=fault.always) as server:
        back = None
        if fault.down:
            server.refuse()
            if fault.down < 1e6:
                back = threading.Timer(fault.down, server.listen)
                back.start()
        tally = Tally()
        options: dict[str, Any] = {"spool_dir": directory} if spool else {}
        delivery = Delivery(
            DeliveryOptions(flush_at=10, flush_interval=0.2, timeout=1.5, **options),
            api_key="k",
            host=server.url,
            tally=tally,
        )
        longest = 0.0
        for n in range(EVENTS):
            uuid = f"00000000-0000-7000-8000-{n:012d}"
            envelope = Envelope(uuid, "e", b'{"event":"e","uuid":"%s","properties":{}}' % uuid.encode())
            began = time.perf_counter()
            delivery.put(envelope, "errors" if n % 10 == 0 else "events")
            longest = max(longest, time.perf_counter() - began)
        delivery.flush(fault.wait)
        began = time.perf_counter()
        delivery.close(1.0)
        exit_s = time.perf_counter() - began
        if back is not None:
            back.cancel()
        counts = tally.read()
        kept = {
            envelope.uuid for path in Path(directory).glob("*.spool") for _, _, envelope in parse(path.read_bytes())[1]
        }
        arrived = server.count()
        total = lambda start: sum(many for name, many in counts.items() if name.startswith(start))  # noqa: E731
        return Outcome(
            delivered=len(arrived),
            lost=total("dropped:"),
            kept=len(kept),
            twice=sum(many > 1 for many in arrived.values()),
            longest_capture_ms=1e3 * longest,
            exit_s=exit_s,
            adds_up=total("admitted") + total("recovered") == total("delivered") + total("spooled") + total("dropped:")
            and len(arrived) + total("dropped:") + len(kept) == EVENTS,
        )


def judge(fault: Fault, outcome: Outcome, *, spool: bool) -> str | None:
    """What is wrong with *outcome*, or None."""
    if not outcome.adds_up:
        return "the counters don't add up"
    if outcome.twice and not fault.more_than_once:
        return f"{outcome.twice} events arrived twice"
    if fault.end == "delivered" and outcome.delivered != EVENTS:
        return f"only {outcome.delivered} events arrived"
    if fault.end == "lost" and not outcome.lost:
        return "events that the server refuses were not counted as lost"
    if fault.end == "kept" and (outcome.kept if spool else outcome.lost) != EVENTS:
        return f"{outcome.kept} on disk, {outcome.lost} counted as lost"
    return None


def main() -> int:
    """Print the matrix; 1 when something is wrong or too slow."""
    from phtrack import _guard

    _guard.say = lambda *_, **__: None  # type: ignore[assignment]
    print(f"{EVENTS} events each; times in this process, one fault after the other\n")
    print(
        f"{'fault':24} {'spool':5} {'deliv.':>6} {'lost':>5} {'disk':>5} {'twice':>5} {'capture ms':>11} {'exit s':>7}"
    )
    wrong = 0
    for fault in FAULTS:
        for spool in (False, True):
            one = run(fault, spool=spool)
            problem = judge(fault, one, spool=spool)
            if problem is None and one.longest_capture_ms > 5:
                problem = "capture was held too long"
            if problem is None and one.exit_s > 1.5:
                problem = "the exit was held too long"
            wrong += problem is not None
            print(
                f"{fault.name:24} {'yes' if spool else 'no':5} {one.delivered:6} {one.lost:5} {one.kept:5} {one.twice:5} "
                f"{one.longest_capture_ms:11.2f} {one.exit_s:7.2f}  {problem or ''}"
            )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
