"""
Steps (breadcrumbs) as data: what happened before an exception, oldest given up first.

A list of steps is a chain of immutable cells, newest first, so that a context that is copied shares its past and goes its own
way from there. Each step is encoded when it is made. Shape and budget: wire contract, exceptions.md §8.
"""

from __future__ import annotations

MAX_KEPT_BYTES = 65_536
"""Bytes a chain may grow to before its older part is cut off; what an event carries is bounded by its own option."""


class Cell:
    """One step and the ones before it."""

    __slots__ = ("before", "body", "count", "total")

    def __init__(self, body: bytes, before: Cell | None) -> None:
        self.body = body
        """The step as a JSON object."""
        self.before = before
        self.total: int = len(body) + 1 + (before.total if before is not None else 0)
        """Bytes of this step and all before it."""
        self.count: int = 1 + (before.count if before is not None else 0)


def add(chain: Cell | None, body: bytes) -> Cell:
    """*chain* with one more step; its older half is forgotten when it grew over `MAX_KEPT_BYTES`."""
    cell = Cell(body, chain)
    if cell.total <= MAX_KEPT_BYTES:
        return cell
    kept: Cell | None = None
    for one in collect(cell, MAX_KEPT_BYTES // 2):
        kept = Cell(one, kept)
    return kept if kept is not None else Cell(body, None)


def collect(chain: Cell | None, budget: int) -> list[bytes]:
    """The newest steps whose JSON array fits into *budget* bytes, oldest first."""
    found: list[bytes] = []
    room = budget - 2
    while chain is not None and room >= len(chain.body):
        found.append(chain.body)
        room -= len(chain.body) + 1
        chain = chain.before
    found.reverse()
    return found
