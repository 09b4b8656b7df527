"""The recipe against a corpus of bugs in many variants, run as real programs on this interpreter."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.fingerprint.run_corpus import run_all
from tests.fingerprint.score import pairwise_f1

KNOWN = Path(__file__).with_name("values_v1.json")
"""The value of each bug under recipe v1, the same on every interpreter and for ever."""

LEAST_F1 = 0.99


@pytest.fixture(scope="module")
def found() -> list[list[Any]]:
    return run_all(share=2)  # all of them: python -m tests.fingerprint.run_corpus


@pytest.mark.timeout(300)
def test_bugs_are_grouped_and_told_apart(found: list[list[Any]]) -> None:
    """Variants of one bug share a value, different bugs don't."""
    score = pairwise_f1((bug, value) for bug, _, _, value, _, _ in found)
    assert score >= LEAST_F1, "\n".join([f"F1 {score}", *_split(found), *_merged(found)])


@pytest.mark.timeout(300)
def test_values_are_those_of_every_python_version(found: list[list[Any]], pytestconfig: pytest.Config) -> None:
    """A value of v1 never changes: not with the interpreter, not with a release of phtrack."""
    values = {f"{bug} {index}": value for bug, index, variant, value, _, _ in found if variant == "base"}
    if pytestconfig.getoption("--golden-rewrite"):
        KNOWN.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    known = json.loads(KNOWN.read_text(encoding="utf-8"))
    parts = {f"{bug} {index}": parts for bug, index, variant, _, _, parts in found if variant == "base"}
    assert {name: parts[name] for name in values if values[name] != known.get(name)} == {}
    assert set(values) == set(known)


@pytest.mark.timeout(300)
def test_every_rule_is_in_the_corpus(found: list[list[Any]]) -> None:
    """The corpus exercises all ways to a value that need no broken source."""
    assert {rule for *_, rule, _ in found} >= {"site", "guard", "cause", "group", "recursion"}


@pytest.mark.timeout(300)
def test_values_fit_and_say_their_version(found: list[list[Any]]) -> None:
    """A server hashes what is longer than 64 characters."""
    assert all(value.startswith("v1:") and len(value) <= 64 for _, _, _, value, _, _ in found)


def test_the_score_is_one_only_for_the_right_groups() -> None:
    """The scorer counts pairs: all together and all apart both lose."""
    right = [("a", "1"), ("a", "1"), ("b", "2"), ("b", "2")]
    assert pairwise_f1(right) == 1.0
    assert pairwise_f1([(bug, "1") for bug, _ in right]) == 0.5
    assert pairwise_f1([(bug, str(n)) for n, (bug, _) in enumerate(right)]) == 0.0
    assert pairwise_f1([("a", "1"), ("a", "1"), ("b", "1"), ("b", "2")]) == 0.4


def _split(found: list[list[Any]]) -> list[str]:
    values = defaultdict(dict)
    for bug, _, variant, value, _, parts in found:
        values[bug].setdefault(value, (variant, parts))
    return [f"split: {bug}: {list(of.values())}" for bug, of in values.items() if len(of) > 1]


def _merged(found: list[list[Any]]) -> list[str]:
    bugs = defaultdict(set)
    for bug, _, _, value, _, _ in found:
        bugs[value].add(bug)
    return [f"merged: {sorted(of)}" for of in bugs.values() if len(of) > 1]
