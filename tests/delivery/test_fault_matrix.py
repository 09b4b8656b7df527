"""The fault matrix as a test: every fault at once, with and without a spool, judged by what arrived and what was counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.delivery import fault_matrix

EXIT_HANG = 5.0
"""Seconds. The exit takes one; all run at once here, and the script measures against 1.5."""


def test_every_fault_ends_as_it_should() -> None:
    """Delivered, lost and counted, or on disk; never twice; the counters add up; nothing hangs."""
    cases = [(fault, spool) for fault in fault_matrix.FAULTS for spool in (False, True)]
    with ThreadPoolExecutor(len(cases)) as pool:
        outcomes = list(pool.map(lambda case: fault_matrix.run(case[0], spool=case[1]), cases))
    wrong = {
        f"{fault.name}, {'with' if spool else 'without'} spool": problem
        for (fault, spool), outcome in zip(cases, outcomes)
        if (problem := fault_matrix.judge(fault, outcome, spool=spool)) is not None
    }
    assert wrong == {}
    slow = {fault.name: outcome.exit_s for (fault, _), outcome in zip(cases, outcomes) if outcome.exit_s > EXIT_HANG}
    assert slow == {}
