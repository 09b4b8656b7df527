"""
What is kept and what gives way, so that a store stays small for ever. Counts are never given up, only bodies.

An issue's first and newest events matter most, and a spread of those between shows how it changed; so a full issue is
thinned in the middle instead of cut at one end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Limits of a store. They hold roughly: it is tidied now and then, not at each event."""

    per_issue: int = 100
    """Events of one issue that keep their body."""
    exceptions: int = 10_000
    """Exception events that keep their body, over all issues; the newest of each issue always does."""
    exception_bytes: int = 200 * 1024 * 1024
    """Bytes of those bodies."""
    issues: int = 5_000
    """Issues; those not seen for longest are forgotten."""
    ordinary: int = 10_000
    """Events that are no exceptions."""
    traces: int = 200_000
    """Events without body, kept to recognise one that is delivered again, and to say when an issue happened."""
    names: int = 1_000
    """Names of ordinary events that are counted."""


def thin(items: Sequence[Item], keep: int) -> list[Item]:
    """
    What to give up of *items*, oldest first, so that *keep* remain: the first tenth, the newest half, a spread between.

    >>> thin([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], 10)
    [2, 7]
    """
    if len(items) <= keep:
        return []
    first = max(1, keep // 10)
    last = keep // 2
    middle = items[first : len(items) - last]
    wanted = keep - first - last
    chosen = {(index + 1) * len(middle) // (wanted + 1) for index in range(wanted)}
    return [item for index, item in enumerate(middle) if index not in chosen]
