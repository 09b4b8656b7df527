"""How well values group: pairs of occurrences that belong together, and those that were put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def pairwise_f1(labelled: Iterable[tuple[str, str]]) -> float:
    """
    F1 over pairs of occurrences, from (bug, value) per occurrence.

    1.0 means: two occurrences have the same value exactly if they are the same bug.
    """
    both, bugs, values = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
    for bug, value in labelled:
        both[bug, value] += 1
        bugs[bug] += 1
        values[value] += 1
    together = sum(count * (count - 1) // 2 for count in both.values())
    wanted = sum(count * (count - 1) // 2 for count in bugs.values())
    given = sum(count * (count - 1) // 2 for count in values.values())
    return 2 * together / (wanted + given) if wanted + given else 1.0
