"""
What scrubbing costs, per text: CPU time, and as a multiple of lower-casing the same text, which holds on any machine.

    python -m tests.benchmarks.bench_scrub
"""

from __future__ import annotations

import time
from collections.abc import Callable

from phtrack.scrub import scrubber

SCRUBBER = scrubber()
MESSAGE = "Order 4711 could not be charged: gateway answered 502 after 3 attempts for customer bob smith in Berlin"
DATA = {
    "user": {"id": "u1", "email": "bob@example.com", "plan": "pro"},
    "items": [{"sku": f"A-{i}", "qty": i, "price": 9.5} for i in range(10)],
    "path": "/checkout",
}
CASES: list[tuple[str, Callable[[], object]]] = [
    ("masks, known name", lambda: SCRUBBER.masks("order_id")),
    ("ignores, known name", lambda: SCRUBBER.ignores("order_id")),
    ("text, a word", lambda: SCRUBBER.text("Berlin")),
    ("text, 100 characters", lambda: SCRUBBER.text(MESSAGE)),
    ("text, a UUID", lambda: SCRUBBER.text("550e8400-e29b-41d4-a716-446655440000")),
    ("text, a path", lambda: SCRUBBER.text("/srv/app/shop/checkout/services/payment_gateway.py:118")),
    ("text, an address", lambda: SCRUBBER.text("https://api.example.com/v1/orders/4711?page=2&sort=name")),
    ("text, about a token", lambda: SCRUBBER.text("Invalid token: line 3, column 14 of the template for authors")),
    ("text, with a password", lambda: SCRUBBER.text("login failed for bob with password=hunter2, retrying in 5s")),
    ("source, one line", lambda: SCRUBBER.source("    charge = gateway.charge(order.total, currency='EUR')")),
    ("source, a password", lambda: SCRUBBER.source('    client = connect(host="db1", password="hunter2", port=5432)')),
    ("sql, one statement", lambda: SCRUBBER.sql("SELECT id FROM users WHERE email = 'bob@example.com' AND active = 1")),
    ("value, 45 nodes", lambda: SCRUBBER.value(DATA)),
]


def cost(call: Callable[[], object], repeats: int = 2_000, rounds: int = 7) -> float:
    """Microseconds of CPU per call, the best of some rounds."""
    call()
    best = float("inf")
    for _ in range(rounds):
        begin = time.thread_time()
        for _ in range(repeats):
            call()
        best = min(best, time.thread_time() - begin)
    return best / repeats * 1e6


def main() -> None:
    """Print the table."""
    unit = cost(MESSAGE.lower, 20_000)
    print(f"{'case':24}{'µs':>9}{'x lower()':>11}")
    for name, call in CASES:
        took = cost(call)
        print(f"{name:24}{took:9.2f}{took / unit:11.1f}")


if __name__ == "__main__":
    main()
