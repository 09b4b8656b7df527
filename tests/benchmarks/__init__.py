"""
phtrack beside its peers, in one run: `make bench`, or `python -m tests.benchmarks core delivery`.

    bench_*.py   what is measured (`SCENARIOS`) and what must come out (`TARGETS`)
    harness      runs each scenario: one process per SDK, rounds interleaved, medians, a table with ratios
    subjects     the SDKs behind one small face, with their defaults
    sink         takes what they send, in a process of its own, and counts it
    code         the programs that fail: written to a temporary project, with a library beside it

Ratios count, not microseconds: what one machine needs says little about another. Time is CPU time, so that a machine that
is busy with something else gives the same answer.
"""
