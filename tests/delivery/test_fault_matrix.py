"""The fault matrix as a test: every fault at once, with and without a spool, judged by what arrived and what was counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.delivery import fault_matrix


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
    assert max(outcome.exit_s for outcome in outcomes) < 10  # a hang-guard; the script measures
