"""
Runs scenarios and judges them.

    Scenario x subject -> a process -> rounds -> median per measure -> ratios -> Target -> table

A scenario is a function ``prepare(subject, sink_url) -> round``; `round()` does the work once and answers with its measures,
e.g. ``{"caller µs": 5.1}``. It runs in a process of its own, so that no SDK pays for another one's threads or caches, and
all subjects take turns round by round, so that a machine that gets slower hits all of them.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

Measures = dict[str, float]
Round = Callable[[], Measures]
Prepare = Callable[[str, str], Round]
Results = dict[tuple[str, str, str], float]
"""(scenario, subject, measure) -> median over the rounds."""

OURS = "phtrack"


@dataclass(frozen=True)
class Scenario:
    """One thing to measure."""

    name: str
    prepare: Prepare
    """Must be a function at the top of its module: the process that runs it imports it by name."""
    subjects: Sequence[str] = ("phtrack", "posthog", "sentry")
    rounds: int = 5
    """After one that doesn't count."""


@dataclass(frozen=True)
class Target:
    """What must come out: ours, in relation to a peer's."""

    scenario: str
    measure: str
    peer: str
    ratio: float
    """Ours divided by the peer's: at most this, or at least this when *more* is better."""
    more: bool = False
    of: str | None = None
    """The scenario whose value of the peer counts; default the same."""
    source: str = ""
    """Where the target comes from, for the reader of the table."""


@dataclass
class Verdict:
    """A target with what came out."""

    target: Target
    ours: float
    theirs: float
    ratio: float = field(init=False)
    met: bool = field(init=False)

    def __post_init__(self) -> None:
        self.ratio = self.ours / self.theirs if self.theirs else float("inf")
        self.met = self.ratio >= self.target.ratio if self.target.more else self.ratio <= self.target.ratio


def run(module: str, scenarios: Iterable[Scenario], *, sink: str, say: Callable[[str], None]) -> Results:
    """Run all *scenarios* of *module*; the answer holds a median for each measure."""
    results: Results = {}
    for scenario in scenarios:
        say(f"{scenario.name} ...")
        with ExitStack() as stack:
            workers = {
                subject: stack.enter_context(Worker(module, scenario.name, subject, sink))
                for subject in scenario.subjects
            }
            rounds: dict[str, list[Measures]] = {subject: [] for subject in workers}
            for number in range(scenario.rounds + 1):
                for subject, worker in workers.items():
                    measures = worker.round()
                    if number:
                        rounds[subject].append(measures)
        for subject, measured in rounds.items():
            for measure in measured[0]:
                results[scenario.name, subject, measure] = median(one[measure] for one in measured)
    return results


class Worker:
    """The process in which one subject goes through one scenario. Between rounds it waits for the next line."""

    def __init__(self, module: str, scenario: str, subject: str, sink: str) -> None:
        self._what = f"{scenario} / {subject}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.harness", module, scenario, subject, sink],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )

    def __enter__(self) -> Worker:
        # What one sends while it prepares must not be counted as another's.
        if self._process.stdout.readline() != "ready\n":  # type: ignore[union-attr]
            raise RuntimeError(f"{self._what} ended with {self._process.wait()}")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def round(self) -> Measures:
        """One round's measures."""
        self._process.stdin.write("\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError(f"{self._what} ended with {self._process.wait()}")
        measures: Measures = json.loads(line)
        return measures


def _work(module: str, name: str, subject: str, sink: str) -> None:
    """What a worker process does."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # an SDK that prints must not spoil an answer
    scenario = next(one for one in importlib.import_module(module).SCENARIOS if one.name == name)
    once = scenario.prepare(subject, sink)
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps(once()), file=answers, flush=True)


def judge(results: Results, targets: Iterable[Target]) -> list[Verdict]:
    """Each target with what came out for it; one whose scenario was not run is left out."""
    return [
        Verdict(one, results[ours], results[theirs])
        for one in targets
        if (ours := (one.scenario, OURS, one.measure)) in results
        and (theirs := (one.of or one.scenario, one.peer, one.measure)) in results
    ]


def report(results: Results, verdicts: Sequence[Verdict]) -> str:
    """Two tables: what was measured, and what that means."""
    subjects = list(dict.fromkeys(subject for _, subject, _ in results))
    measured = [["measured", *subjects]]
    for scenario, measure in dict.fromkeys((scenario, measure) for scenario, _, measure in results):
        values = [results.get((scenario, subject, measure)) for subject in subjects]
        measured.append([f"{scenario}, {measure}", *("" if value is None else _number(value) for value in values)])
    judged = [["target", "against", "ratio", "wanted", ""]]
    for one in verdicts:
        wanted = f">= {one.target.ratio:g} x" if one.target.more else f"<= 1/{1 / one.target.ratio:g}"
        ratio = f"{one.ratio:.1f} x" if one.target.more else f"1/{1 / one.ratio:.1f}" if one.ratio else "0"
        against = one.target.peer + (f", {one.target.of}" if one.target.of else "")
        judged.append(
            [f"{one.target.scenario}, {one.target.measure}", against, ratio, wanted, "met" if one.met else "MISSED"]
        )
    return f"{table(measured)}\n\n{table(judged)}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Plain columns, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def to_json(results: Results, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "measured": [
            {"scenario": scenario, "subject": subject, "measure": measure, "value": value}
            for (scenario, subject, measure), value in results.items()
        ],
        "targets": [
            {
                "scenario": one.target.scenario, "measure": one.target.measure, "peer": one.target.peer,
                "wanted": one.target.ratio, "more": one.target.more, "ratio": one.ratio, "met": one.met,
            }
            for one in verdicts
        ],
    }  # fmt: skip


if __name__ == "__main__":
    _work(*sys.argv[1:])
