"""The order and the words of a chain of exceptions."""

from __future__ import annotations

from typing import Any

from phtrack.inbox.chain import chain_of
from tests.inbox import events as make


def nested(type: str, id: int, parent: int, source: str) -> dict[str, Any]:
    """A nested entry of the list."""
    return make.entry(type, "m", make.frame(), exception_id=id, parent_id=parent, source=source)


def told(*entries: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Depth, relation and type of each exception as shown."""
    chain, _ = chain_of(make.exception(*entries))
    return [(each.depth, each.relation, each.type) for each in chain]


def test_each_relation_has_its_own_words() -> None:
    """`from`, an exception during handling, and membership are told apart; `from None` has nothing below it."""
    root = make.entry("Outer")
    assert told(root, nested("Cause", 1, 0, "cause")) == [(0, "", "Outer"), (0, "caused by", "Cause")]
    assert told(root, nested("Inner", 1, 0, "context")) == [(0, "", "Outer"), (0, "raised while handling", "Inner")]
    assert told(root, nested("Leaf", 1, 0, "member")) == [(0, "", "Outer"), (1, "1 of 1 in Outer", "Leaf")]
    assert told(root) == [(0, "", "Outer")]


def test_a_group_is_a_tree() -> None:
    """Members are indented below their group, with their own causes beside them, and the group counts their types."""
    entries = [
        make.entry("Group"),
        nested("Cause", 1, 0, "cause"),
        nested("Inner group", 2, 0, "member"),
        nested("A", 3, 2, "member"),
        nested("A", 4, 2, "member"),
        nested("Why A", 5, 4, "cause"),
        nested("B", 6, 0, "member"),
    ]
    assert told(*entries) == [
        (0, "", "Group"),
        (0, "caused by", "Cause"),
        (1, "1 of 2 in Group", "Inner group"),
        (2, "1 of 2 in Inner group", "A"),
        (2, "2 of 2 in Inner group", "A"),
        (2, "caused by", "Why A"),
        (1, "2 of 2 in Group", "B"),
    ]
    chain, _ = chain_of(make.exception(*entries))
    assert chain[0].members == "2 exceptions: 1 × Inner group, 1 × B"
    assert chain[2].members == "2 exceptions: 2 × A"


def test_a_list_without_ids_is_told_in_its_order() -> None:
    """A sender that gives no parents still gets its exceptions shown, without a claim about how they relate."""
    entries = [{"type": "A"}, {"type": "B", "mechanism": None}, {"type": "C", "mechanism": {"parent_id": "x"}}]
    assert told(*entries) == [(0, "", "A"), (0, "related to", "B"), (0, "related to", "C")]


def test_cycles_and_strange_parents_end() -> None:
    """An entry that claims itself, a later one or nobody as its parent is shown once."""
    entries = [
        make.entry("A", exception_id=5, parent_id=7),
        nested("B", 6, 6, "cause"),
        nested("C", 7, 99, "cause"),
        nested("D", 5, 8, "magic"),
    ]
    assert [type for _, _, type in told(*entries)] == ["A", "B", "C", "D"]
    assert told(*entries)[3][1] == "related as “magic” to"


def test_long_lists_are_cut_and_say_so() -> None:
    """More than the format allows is counted, not shown."""
    chain, left_out = chain_of(make.exception(*({"type": str(n)} for n in range(300))))
    assert (len(chain), left_out) == (50, 250)


def test_in_a_long_chain_the_ends_are_open() -> None:
    """What was caught and where it began matter first; the root cause is flagged."""
    chain, _ = chain_of(make.exception(make.entry("A"), *(nested(str(n), n, n - 1, "cause") for n in range(1, 5))))
    assert [each.open for each in chain] == [True, False, False, False, True]
    assert [each.root_cause for each in chain] == [False, False, False, False, True]
