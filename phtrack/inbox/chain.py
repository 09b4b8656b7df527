"""
The exceptions of one event, in the order and with the words in which a page tells them. Pure.

    $exception_list -> tree by `parent_id` -> flat list: each exception, how it relates to its parent, how far indented
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from phtrack.inbox.grouping import entries_of
from phtrack.inbox.stack import Stack, stack_of
from phtrack.inbox.text import as_dict, as_int, as_list, as_text

MAX_EXCEPTIONS = 50
"""The wire format allows no more."""
MAX_FRAMES = 600
"""Frames on one page; after that each exception has its `MIN_FRAMES` innermost ones."""
MIN_FRAMES = 5
_RELATIONS = {
    "cause": "caused by",
    "context": "raised while handling",
}
_EXPLANATIONS = {
    "cause": "(raise … from …)",
}


@dataclass(frozen=True, slots=True)
class ExceptionView:
    """One exception of the chain."""

    type: str
    module: str
    message: str
    relation: str
    """How the exception above (for a member: its group) relates to this one; empty for the one that was caught."""
    explanation: str
    is_member: bool
    depth: int
    """Groups this exception is a member of."""
    members: str
    """Of a group: how many exceptions of which types it holds."""
    synthetic: bool
    """True when it was never raised, so that the stack is the one it was reported from."""
    hides_context: bool
    """True when it was raised `from None` while another exception was being handled."""
    open: bool
    root_cause: bool
    stack: Stack


def chain_of(event: dict[str, Any]) -> tuple[list[ExceptionView], int]:
    """The exceptions of *event*, the caught one first, each before what it was caused by; and how many are not shown."""
    entries = entries_of(event)
    shown = entries[:MAX_EXCEPTIONS]
    walk = _Walk(shown, _children(shown), _hiding(event))
    if shown:
        walk.tell(0, "", "", 0)
    return walk.told, len(entries) - len(shown)


def _hiding(event: dict[str, Any]) -> set[int]:
    """Indices of the exceptions that were raised `from None`, which only phtrack tells."""
    told = as_list(as_dict(as_dict(event.get("properties")).get("phtrack")).get("context_hidden"))
    return {index for index in told if isinstance(index, int)}


def _children(entries: list[dict[str, Any]]) -> dict[int, list[int]]:
    """
    Indices of each exception's children. A parent is always an earlier entry, so that this is a tree whatever was sent;
    without a usable `parent_id` it is the entry before.
    """
    ids: dict[int, int] = {}
    children: dict[int, list[int]] = {index: [] for index in range(len(entries))}
    for index, entry in enumerate(entries):
        mechanism = as_dict(entry.get("mechanism"))
        parent = ids.get(_or(as_int(mechanism.get("parent_id")), -1), index - 1)
        if index:
            children[parent].append(index)
        ids.setdefault(_or(as_int(mechanism.get("exception_id")), index), index)
    return children


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _source(entry: dict[str, Any]) -> str:
    return as_text(as_dict(entry.get("mechanism")).get("source"), 100)


class _Walk:
    """Tells the tree from its root: each exception, then its cause or context, then its members."""

    def __init__(self, entries: list[dict[str, Any]], children: dict[int, list[int]], hiding: set[int]) -> None:
        self._hiding = hiding
        self.told: list[ExceptionView] = []
        self._entries = entries
        self._children = children
        self._room = MAX_FRAMES

    def tell(self, index: int, relation: str, explanation: str, depth: int) -> None:
        entry, children = self._entries[index], self._children[index]
        members = [child for child in children if _source(self._entries[child]) == "member"]
        mechanism = as_dict(entry.get("mechanism"))
        is_root_cause = len(self._entries) > 1 and not children and not depth
        stack = stack_of(entry, max(MIN_FRAMES, self._room))
        self._room -= stack.shown
        self.told.append(
            ExceptionView(
                type=_type(entry),
                module=as_text(entry.get("module"), 200),
                message=as_text(entry.get("value")),
                relation=relation,
                explanation=explanation,
                is_member=_source(entry) == "member" and index > 0,
                depth=depth,
                members=_summary([self._entries[member] for member in members]),
                synthetic=mechanism.get("synthetic") is True,
                hides_context=index in self._hiding,
                # In a long chain the ends matter: what was caught, and where it began.
                open=index == 0 or len(self._entries) <= 3 or is_root_cause,
                root_cause=is_root_cause,
                stack=stack,
            )
        )
        for child in children:
            source = _source(self._entries[child])
            if source != "member":
                words = _RELATIONS.get(source) or (f"related as “{source}” to" if source else "related to")
                self.tell(child, words, _EXPLANATIONS.get(source, ""), depth)
        for at, child in enumerate(members, start=1):
            self.tell(child, f"{at} of {len(members)} in {_type(entry)}", "", depth + 1)


def _type(entry: dict[str, Any]) -> str:
    return as_text(entry.get("type"), 200) or "(no type)"


def _summary(members: list[dict[str, Any]]) -> str:
    if not members:
        return ""
    types = Counter(map(_type, members))
    counted = ", ".join(f"{count} × {name}" for name, count in types.most_common(5))
    return f"{len(members)} {'exception' if len(members) == 1 else 'exceptions'}: {counted}{', …' if len(types) > 5 else ''}"
