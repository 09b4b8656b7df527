"""
Local evaluation against `posthog`, in one run: the same 100 definitions, loaded from the same server, the same users.

    python tests/benchmarks/bench_flags.py [--users N] [--json]

Counts CPU seconds of the calling thread, not wall time, and takes the best of several rounds that alternate between the two.
Before counting, both must give the same values for every user. Also: what compiling costs, and memory per 10,000 definitions.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import sys
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import phtrack
from phtrack.flags import hashing
from phtrack.flags.ruleset import Ruleset

AIM = 5.0
"""The ratio that must be reached."""
ONE = "flag-10"
"""The flag that is read alone: a rollout of those who match a property."""


def _prop(key: str, operator: str, value: Any) -> dict[str, Any]:
    return {"key": key, "operator": operator, "value": value, "type": "person"}


def definitions(count: int = 100) -> dict[str, Any]:
    """Flags of ten kinds, in turn: rollouts, property filters, variants, a cohort, a dependency ..."""
    flags = [_definition(number) for number in range(count)]
    cohort = {
        "type": "OR",
        "values": [{"type": "AND", "values": [_prop("plan", "exact", ["pro"]), _prop("age", "gte", 18)]}],
    }
    return {"flags": flags, "group_type_mapping": {"0": "company"}, "cohorts": {"1": cohort}}


def _definition(number: int) -> dict[str, Any]:
    kind, key = number % 10, f"flag-{number}"
    halves = {"variants": [{"key": "control", "rollout_percentage": 50}, {"key": "test", "rollout_percentage": 50}]}
    rollout: float = 10 + (number * 7) % 80
    conditions: list[dict[str, Any]] = [{"properties": [], "rollout_percentage": rollout, "variant": None}]
    more: dict[str, Any] = {}
    if kind == 0:
        conditions[0]["properties"] = [_prop("plan", "exact", ["pro", "team"])]
    elif kind == 2:
        conditions = [
            {
                "properties": [_prop("email", "icontains", f"@corp{number}.com")],
                "rollout_percentage": 100,
                "variant": None,
            },
            {
                "properties": [_prop("country", "exact", "DE"), _prop("age", "gt", 30)],
                "rollout_percentage": rollout,
                "variant": None,
            },
        ]
    elif kind in (3, 4):
        more["multivariate"] = halves
    elif kind == 5:
        conditions[0]["properties"] = [_prop("version", "semver_gte", "2.1.0")]
    elif kind == 6:
        conditions[0]["properties"] = [_prop("joined", "is_date_after", "-30d")]
    elif kind == 7:
        conditions[0]["properties"] = [{"key": "id", "type": "cohort", "value": 1}]
    elif kind == 8:
        other = {"key": f"flag-{number - 7}", "type": "flag", "operator": "flag_evaluates_to", "value": True}
        conditions[0]["properties"] = [{**other, "dependency_chain": [other["key"]]}]
    elif kind == 9:
        conditions[0]["properties"] = [_prop("email", "regex", r"^[a-z0-9]+@example\.(com|org)$")]
        more["payloads"] = {"true": json.dumps({"limit": number})}
    return {"id": number, "key": key, "active": True, "version": 1, "filters": {"groups": conditions, **more}}


def users(count: int) -> list[tuple[str, dict[str, Any]]]:
    """Ids and properties; all that the definitions ask for is there, so that everything resolves locally."""
    plans, countries = ("free", "pro", "team", "Pro"), ("DE", "FR", "US")
    return [
        (
            f"user-{number}",
            {
                "plan": plans[number % 4],
                "country": countries[number % 3],
                "age": 15 + number % 50,
                "email": f"user{number}@example.com",
                "version": f"{1 + number % 3}.{number % 7}.0",
                "joined": f"202{number % 5}-0{1 + number % 9}-15",
            },
        )
        for number in range(count)
    ]


class _Server:
    """Serves the definitions to both, and takes no events."""

    def __init__(self, data: dict[str, Any]) -> None:
        body = json.dumps(data).encode()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                raise AssertionError(f"nothing may be asked, but {self.path} was")

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def clients(url: str) -> tuple[Any, Any]:
    """(phtrack, posthog), with definitions loaded and nothing sent."""
    import posthog

    options: dict[str, Any] = {"secret_key": "phs_secret", "poll_interval": 100_000, "send": False, "host": url}
    made = phtrack.Posthog("phc_bench", **options), posthog.Posthog("phc_bench", **options)
    for client in made:
        client.load_feature_flags()
        assert len(client.feature_flags) == len(definitions()["flags"])
    return made


Work = Callable[[Any, list[tuple[str, dict[str, Any]]]], int]


def one_flag(client: Any, people: list[tuple[str, dict[str, Any]]]) -> int:
    """`get_feature_flag` of one flag, silent. Returns the number of evaluations."""
    read = client.get_feature_flag
    for user, person in people:
        read(ONE, user, person_properties=person, only_evaluate_locally=True, send_feature_flag_events=False)
    return len(people)


def one_flag_reported(client: Any, people: list[tuple[str, dict[str, Any]]]) -> int:
    """The same with `$feature_flag_called`, which was sent before."""
    read = client.get_feature_flag
    for user, person in people:
        read(ONE, user, person_properties=person, only_evaluate_locally=True)
    return len(people)


def all_flags(client: Any, people: list[tuple[str, dict[str, Any]]]) -> int:
    """`get_all_flags`. Returns the number of users."""
    read = client.get_all_flags
    for user, person in people:
        read(user, person_properties=person, only_evaluate_locally=True)
    return len(people)


def snapshots(client: Any, people: list[tuple[str, dict[str, Any]]]) -> int:
    """`evaluate_flags`. Returns the number of users."""
    read = client.evaluate_flags
    for user, person in people:
        read(user, person_properties=person, only_evaluate_locally=True)
    return len(people)


def rate(work: Work, client: Any, people: list[tuple[str, dict[str, Any]]]) -> float:
    """Per CPU second of this thread."""
    gc.collect()
    began = time.thread_time()
    done = work(client, people)
    return done / (time.thread_time() - began)


def compare(
    work: Work, ours: Any, theirs: Any, people: list[tuple[str, dict[str, Any]]], rounds: int
) -> dict[str, float]:
    """The best of *rounds*, taken in turns."""
    best = [0.0, 0.0]
    for _ in range(rounds):
        for place, client in enumerate((ours, theirs)):
            best[place] = max(best[place], rate(work, client, people))
    return {"phtrack": best[0], "posthog": best[1], "ratio": best[0] / best[1]}


def same_values(ours: Any, theirs: Any, people: list[tuple[str, dict[str, Any]]]) -> None:
    """Speed means nothing if the values differ."""
    for user, person in people:
        here = ours.get_all_flags(user, person_properties=person, only_evaluate_locally=True)
        there = theirs.get_all_flags(user, person_properties=person, only_evaluate_locally=True)
        assert len(here) == 100
        assert here == there, {key: (here[key], there.get(key)) for key in here if here[key] != there.get(key)}


def compiling(count: int = 10_000) -> dict[str, float]:
    """Seconds and megabytes that *count* definitions cost, beyond the decoded JSON that is kept with them."""
    data = json.loads(json.dumps(definitions(count)))
    began = time.thread_time()
    rules = Ruleset(data)
    seconds = time.thread_time() - began
    del rules
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    body = json.dumps(data).encode()
    kept = json.loads(body)
    decoded = tracemalloc.get_traced_memory()[0] - before - len(body)
    rules = Ruleset(kept)
    gc.collect()
    compiled = tracemalloc.get_traced_memory()[0] - before - len(body) - decoded
    tracemalloc.stop()
    assert len(rules.flags) == count
    return {"seconds": seconds, "decoded_mb": decoded / 1e6, "compiled_mb": compiled / 1e6}


def bucket() -> float:
    """Microseconds of CPU for one hash."""
    began = time.thread_time()
    for number in range(100_000):
        hashing.digest(b"flag-1.user-%d" % number)
    return (time.thread_time() - began) * 10


def main() -> int:
    """Print the comparison; 1 if the aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0] if __doc__ else None)
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    server = _Server(definitions())
    ours, theirs = clients(server.url)
    people = users(args.users)
    same_values(ours, theirs, people[:200])
    few = people[: max(100, args.users // 10)]
    results: dict[str, Any] = {
        "one flag, evaluations/s": compare(one_flag, ours, theirs, people, args.rounds),
        "one flag with its event, evaluations/s": compare(one_flag_reported, ours, theirs, people, args.rounds),
        "all 100 flags, users/s": compare(all_flags, ours, theirs, few, args.rounds),
        "snapshot of 100 flags, users/s": compare(snapshots, ours, theirs, few, args.rounds),
    }
    for client in (ours, theirs):
        client.shutdown()
    server.close()
    costs = {"hash_us": bucket(), "10,000 definitions": compiling()}
    if args.json:
        sys.stdout.write(json.dumps({**results, **costs}, indent=1) + "\n")
    else:
        for name, found in results.items():
            sys.stdout.write(
                f"{name:40} phtrack {found['phtrack']:>10,.0f}  posthog {found['posthog']:>9,.0f}  {found['ratio']:.1f} x\n"
            )
        cost: Any = costs["10,000 definitions"]
        sys.stdout.write(
            f"one hash {costs['hash_us']:.2f} us; 10,000 definitions: compiled in {cost['seconds']:.2f} s, "
        )
        sys.stdout.write(f"{cost['compiled_mb']:.1f} MB beside {cost['decoded_mb']:.1f} MB of decoded JSON\n")
    missed = [name for name, found in results.items() if found["ratio"] < AIM]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
