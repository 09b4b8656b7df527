"""
Local evaluation of flags: 100 definitions of ten kinds, loaded from a server, and the same users for both.

Counted is the calling thread's CPU. Before ours is counted, both must give the same values for every user.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .harness import Measures, Round, Scenario, Target

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


People = list[tuple[str, dict[str, Any]]]


def client_of(subject: str, url: str) -> Any:
    """A client of *subject* with the definitions loaded, which sends nothing."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    options: dict[str, Any] = {"secret_key": "phs_secret", "poll_interval": 100_000, "send": False, "host": url}
    client = importlib.import_module(subject).Posthog("phc_bench", **options)
    client.load_feature_flags()
    assert len(client.feature_flags) == 100
    return client


def one_flag(client: Any, people: People) -> int:
    """`get_feature_flag` of one flag, silent."""
    read = client.get_feature_flag
    for user, person in people:
        read(ONE, user, person_properties=person, only_evaluate_locally=True, send_feature_flag_events=False)
    return len(people)


def one_flag_reported(client: Any, people: People) -> int:
    """The same, with a `$feature_flag_called` that was sent before."""
    read = client.get_feature_flag
    for user, person in people:
        read(ONE, user, person_properties=person, only_evaluate_locally=True)
    return len(people)


def all_flags(client: Any, people: People) -> int:
    """`get_all_flags`."""
    few = people[:200]
    for user, person in few:
        client.get_all_flags(user, person_properties=person, only_evaluate_locally=True)
    return len(few)


def snapshots(client: Any, people: People) -> int:
    """`evaluate_flags`."""
    few = people[:200]
    for user, person in few:
        client.evaluate_flags(user, person_properties=person, only_evaluate_locally=True)
    return len(few)


def evaluating(subject: str, sink: str, *, work: Callable[[Any, People], int]) -> Round:
    """*work* done for 2,000 users (those with all flags: 200)."""
    people, server = users(2_000), _Server(definitions())
    client = client_of(subject, server.url)
    if subject == "phtrack":
        same_values(client, client_of("posthog", server.url), people[:200])

    def once() -> Measures:
        gc.collect()
        began = time.thread_time()
        done = work(client, people)
        return {"per second": done / (time.thread_time() - began)}

    return once


def same_values(ours: Any, theirs: Any, people: People) -> None:
    """Speed means nothing if the values differ."""
    for user, person in people:
        here = ours.get_all_flags(user, person_properties=person, only_evaluate_locally=True)
        there = theirs.get_all_flags(user, person_properties=person, only_evaluate_locally=True)
        assert len(here) == 100
        assert here == there, {key: (here[key], there.get(key)) for key in here if here[key] != there.get(key)}
    theirs.shutdown()


def hashing(subject: str, sink: str) -> Round:
    """One bucket: the hash that a rollout or a variant costs."""
    from phtrack.flags.hashing import digest

    def once() -> Measures:
        began = time.thread_time()
        for number in range(100_000):
            digest(b"flag-1.user-%d" % number)
        return {"µs": (time.thread_time() - began) * 10}

    return once


def compiling(subject: str, sink: str) -> Round:
    """10,000 definitions: CPU to compile them, memory beside the decoded JSON that is kept with them."""
    from phtrack.flags.ruleset import Ruleset

    body = json.dumps(definitions(10_000))

    def once() -> Measures:
        data = json.loads(body)
        began = time.thread_time()
        Ruleset(data)
        spent = time.thread_time() - began
        gc.collect()
        tracemalloc.start()
        kept = json.loads(body)
        decoded, _ = tracemalloc.get_traced_memory()
        rules = Ruleset(kept)
        gc.collect()
        both, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(rules.flags) == 10_000
        return {"ms": 1e3 * spent, "compiled MB": (both - decoded) / 1e6, "decoded MB": decoded / 1e6}

    return once


_BOTH = ("phtrack", "posthog")

SCENARIOS = [
    Scenario("one flag", partial(evaluating, work=one_flag), _BOTH),
    Scenario("one flag, reported before", partial(evaluating, work=one_flag_reported), _BOTH),
    Scenario("all 100 flags of a user", partial(evaluating, work=all_flags), _BOTH),
    Scenario("snapshot of 100 flags", partial(evaluating, work=snapshots), _BOTH),
    Scenario("one bucket", hashing, ("phtrack",)),
    Scenario("10,000 definitions", compiling, ("phtrack",), rounds=1),
]

TARGETS = [
    Target("one flag", "per second", "posthog", 5, more=True),
    Target("one flag, reported before", "per second", "posthog", 5, more=True),
    Target("all 100 flags of a user", "per second", "posthog", 5, more=True),
    Target("snapshot of 100 flags", "per second", "posthog", 5, more=True),
]
