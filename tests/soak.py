"""
A long run against a server that comes and goes: ``python -m tests.soak [MINUTES]``, ten by default.

Four threads capture through the public client, exceptions among ordinary events, while the server answers, refuses, hangs and fails by turns. At the end every
event must be accounted for, none may have arrived twice but for those whose answer was lost, and memory must not have grown
after the first fifth.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import phtrack
from tests.delivery.server import Request, Server

BATCH = 100
"""Events of a request."""
GROWTH = 8e6
"""Bytes of growth that allocators and caches may still show after the warm-up."""


def resident() -> int:
    """Bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Flapping(Server):
    """Well for a while, then not. Keeps counts only, or its own memory would be what grows."""

    def __init__(self) -> None:
        super().__init__(always=self.decide)
        self.fault: object = 200
        self.taken = 0
        self.cuts = 0
        """How often connections were cut, and with each perhaps the answer to a batch: that one comes again."""

    def decide(self, request: Request) -> object:
        """The answer of the moment."""
        fault = self.fault
        if fault == 200:
            self.taken += len(request.events)
        request.raw = b'{"batch":[]}'
        request.headers = {}
        if len(self.requests) > 1000:
            del self.requests[:900]
        return fault

    def refuse(self) -> None:
        """Also counted."""
        self.cuts += 1
        super().refuse()


def main(minutes: float) -> int:
    """0 when all adds up and memory is steady."""
    chance = random.Random(4)
    end = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as directory, Flapping() as server:
        client = phtrack.Posthog(
            "k", host=server.url, spool_dir=directory, flush_interval=0.5, timeout=2.0, max_queue_size=2000
        )
        stop = threading.Event()
        answered = [0] * 4

        def work(n: int) -> None:
            while not stop.wait(0.002):
                if client.capture("soak", distinct_id=str(n), properties={"text": "x" * 300}):
                    answered[n] += 1
                if chance.random() < 0.02:
                    try:
                        raise ValueError(n)
                    except ValueError as error:
                        client.capture_exception(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        sizes: list[int] = []
        while time.monotonic() < end:
            server.fault = chance.choice([200, 200, 200, 503, "reset", 429, "hang_up"])
            if chance.random() < 0.15:
                server.refuse()
                time.sleep(chance.uniform(0.5, 3))
                server.listen()
            time.sleep(chance.uniform(0.5, 3))
            sizes.append(resident())
        stop.set()
        for thread in threads:
            thread.join()
        server.fault = 200
        flushed = client.flush(120)
        client.shutdown(timeout=20)
        cuts = server.cuts  # before the server closes
        stats = client.stats()
        counts = stats["counters"]
    total = {
        kind: sum(many for name, many in counts.items() if name.split(".")[0].split(":")[0] == kind)
        for kind in ("admitted", "recovered", "delivered", "spooled", "dropped", "throttled")
    }
    warm = sizes[len(sizes) // 5 :]
    growth = max(warm[-max(1, len(warm) // 5) :]) - max(warm[: max(1, len(warm) // 5)])
    twice = server.taken - total["delivered"]
    print(
        f"flushed: {flushed}; taken by the server: {server.taken}, {twice} of them twice after {cuts} cut connections; "
        f"capture() answered with an id: {sum(answered)}"
    )
    print(", ".join(f"{kind} {many}" for kind, many in total.items()))
    print(
        f"memory after the warm-up: {max(warm[: max(1, len(warm) // 5)]) / 1e6:.1f} MB, growth {growth / 1e6:+.1f} MB"
    )
    problems = []
    if total["admitted"] + total["recovered"] != total["delivered"] + total["spooled"] + total["dropped"]:
        problems.append("the counters don't add up")
    if not 0 <= twice <= BATCH * cuts:
        problems.append("the server took another number than was counted as delivered")
    if growth > GROWTH:
        problems.append("memory grew")
    print("; ".join(problems) or "all is well")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0))
