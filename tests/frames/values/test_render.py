"""The contract's `code_variables` and the richer list, from taken data; nothing here needs a frame."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from phtrack.frames.values import ValueRenderer
from phtrack.frames.values.node import EXPRESSION, MAPPING, MASKED, NOTE, OBJECT, SEQUENCE, TEXT, VARIABLE, Node
from phtrack.scrub.marks import CIRCULAR, MARKER, TOO_LONG
from tests.frames.values.taking import SCRUBBER, contract, entry, render, taken_of


def rendered(*taken: tuple[str, Any, str], budget: ValueRenderer | None = None) -> Any:
    """Render entries with the default scrubber."""
    return render(taken, budget)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12.5, 12.5),
        (3, 3),
        (True, "True"),
        (None, "None"),
        ("text as is", "text as is"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ({"id": 7}, '{"id":7}'),
        ([1, None, True], "[1,null,true]"),
        ("x" * 1_025, "x" * 1_021 + "..."),
        ("x" * 2_049, TOO_LONG),
        (list(range(51)), TOO_LONG),
        (list(range(50)), json.dumps(list(range(50)), separators=(",", ":"))),
        ({n: n for n in range(51)}, TOO_LONG),
    ],
)
def test_the_contracts_form(value: Any, expected: Any) -> None:
    """Finite numbers as JSON numbers, all else as text, containers as JSON text, and its limits."""
    found = contract(value)
    assert found == expected
    assert type(found) is type(expected)


def test_depth_and_cycles_in_the_contracts_form() -> None:
    """Twelve containers deep is the end, and what is in itself is marked."""
    deep: Any = "bottom"
    for _ in range(12):
        deep = [deep]
    assert "bottom" in contract(deep)
    assert contract([deep]).count("[") == 12
    assert TOO_LONG in contract([deep])
    cycle: list[Any] = []
    cycle.append(cycle)
    assert contract(cycle) == json.dumps([CIRCULAR])


def test_objects_carry_their_class() -> None:
    """The contract wants it inside; the richer form has it beside the outermost."""

    class Cart:
        def __init__(self) -> None:
            self.inner = {"cart": None}

    name = f"{__name__}.{Cart.__qualname__}"
    assert json.loads(contract(Cart())) == {"inner": {"cart": None}, "__class__": name}
    assert entry(Cart()) == {"name": "value", "value": {"inner": {"cart": None}}, "type": name}
    assert entry([Cart()])["value"][0]["__class__"] == name


def test_names_are_ordered_as_in_the_contract_and_chosen_by_nearness() -> None:
    """The budget is spent nearest first; what it bought is listed scalars first, by name."""
    taken = [
        ("z", 1, VARIABLE),
        ("b", [], VARIABLE),
        ("a", {}, VARIABLE),
        ("y", "x" * 100, VARIABLE),
        ("c", 2, VARIABLE),
    ]
    nodes = [(name, _sequence() if type(value) in (list, dict) else value, kind) for name, value, kind in taken]
    assert list(rendered(*nodes)[0]) == ["c", "y", "z", "a", "b"]
    assert list(rendered(*nodes, budget=ValueRenderer(SCRUBBER, code_variables=31))[0]) == ["c", "z", "a", "b"]
    assert [one["name"] for one in rendered(*nodes)[1]] == ["z", "b", "a", "y", "c"]


def _sequence() -> Node:
    node = Node(SEQUENCE, "list", length=0)
    node.items = []
    return node


def test_expressions_are_only_in_the_richer_form() -> None:
    """`code_variables` are variables."""
    variables, richer, _ = rendered(("a.b", 5, EXPRESSION), ("a", 1, VARIABLE))
    assert variables == {"a": 1}
    assert [one["name"] for one in richer] == ["a.b", "a"]


def test_budgets_are_shared_by_the_frames_of_an_event() -> None:
    """What the crash frame has spent, outer frames don't have; the reader is told."""
    budget = ValueRenderer(SCRUBBER, code_variables=1_500, variables=2_000)
    first = rendered(*[(f"v{n}", f"{n} " * 100, VARIABLE) for n in range(9)], budget=budget)
    second = rendered(("outer", "x " * 300, VARIABLE), budget=budget)
    assert 0 < len(first[0]) < 9
    assert second[0] == {}
    assert "left out" in " ".join(first[2] + second[2])


def test_secrets_in_texts_are_hidden_in_both_forms() -> None:
    """Keys by their format, addresses by their password; the entry says by which rule."""
    key = "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc"
    for value in (f"key {key}", [f"key {key}"], {f"key {key}": 1}, {"a": (key,)}, f"key {key}".encode()):
        found = entry(value)
        assert key not in str(found) + str(contract(value)), value
        assert found["redacted"]
    assert entry("postgres://u:hunter2@db/x")["value"] == f"postgres://{MARKER}@db/x"
    assert MARKER in str(contract(4111111111111111))


def test_a_key_that_could_be_a_secret_is_replaced() -> None:
    """By a numbered marker, as the contract has it."""
    found = json.loads(contract({"password: hunter2": 1, "token=abc": 2, "plain": 3}))
    assert "hunter2" not in str(found)
    assert found["plain"] == 3
    assert "$$_posthog_redacted_key_0_$$" in found
    key = "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc"
    assert list(json.loads(contract({key: "the name masks the value, not itself", "password": "x"}))) == [
        "$$_posthog_redacted_key_0_$$",
        "password",
    ]


def test_a_literal_in_an_expression_is_hidden_as_in_source() -> None:
    """An expression is called by its text, which may hold a key or a user's password."""
    key = "sk-ant-" + "api03-xK9fZ2mQ8vLp0Zr"
    shown = ValueRenderer(SCRUBBER).frame(((f'limits["{key}"].left', 0, EXPRESSION), ('rows["id"]', 1, EXPRESSION)))
    first, second = json.loads(f"[{shown.variables}]")
    assert first["name"] == f'limits["{MARKER}"].left'
    assert second["name"] == 'rows["id"]'
    assert shown.rules == ["format:anthropic"]


@pytest.mark.parametrize("number", [4111111111111111, 4111111111111111.0, Decimal("4111111111111111")])
def test_a_card_number_is_hidden_whatever_its_type(number: Any) -> None:
    """Alone and inside of others; a number that is none is shown."""
    assert entry(number)["redacted"] == "card_number"
    for value in (number, [number], {"n": number}):
        assert "4111111111111111" not in str(entry(value)) + str(contract(value))
    assert "4111111111111112" in str(entry([number + 1]))


def test_a_text_across_the_cut_does_not_leak_its_beginning() -> None:
    """A secret is looked for in more than is shown."""
    key = "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc"
    for padding in range(360, 400, 7):
        assert key[:12] not in str(entry("x " * (padding // 2) + key))


def test_a_failing_scrubber_hides() -> None:
    """Whatever it raises, no value leaves unscrubbed."""

    class Broken:
        def masks(self, name: str) -> str | None:
            return None

        def text(self, text: str, found: list[str], *, name: str) -> str:
            raise RuntimeError(text)

        def source(self, line: str, found: list[str]) -> str:
            raise RuntimeError(line)

        def clear(self, text: str) -> bool:
            raise RuntimeError(text)

    (one,) = render((('a["hunter2"]', 1, EXPRESSION),), ValueRenderer(Broken()))[1]
    assert one["name"] == MARKER
    variables, richer, _ = render((("a", "hunter2", VARIABLE), ("b", 1, VARIABLE)), ValueRenderer(Broken()))
    assert "hunter2" not in str(variables) + str(richer)
    assert variables == {"a": MARKER, "b": 1}


def test_notes_come_out_as_notes() -> None:
    """They are no variables."""
    assert rendered(("", "3 more", NOTE)) == ({}, [], ["3 more"])


def test_equal_keys_of_different_types_both_stay() -> None:
    """1 and "1" are two keys of a dict, and one of a JSON object."""
    assert len(entry({1: "a", "1": "b"})["value"]) == 2


def test_what_was_cut_is_described() -> None:
    """`length` and `truncated` stand beside values of which the reader sees a part."""
    assert entry([1, 2])["length"] == 2
    assert "truncated" not in entry([1, 2])
    assert entry("y " * 300)["truncated"] == "first 400 of 600 characters"
    assert entry("y " * 2_000)["length"] == 4_000
    assert entry(b"z" * 1_000)["truncated"] == "first 256 of 1,000 bytes"
    assert entry(list(range(60)))["truncated"] == "first 10 of 60"


def test_unread_values_are_named() -> None:
    """What no budget was left for is known by its type and the reason."""
    node = Node(OBJECT, "shop.Order", note="time budget")
    broken = Node(TEXT, "shop.Odd", None, note="could not be read")
    mapping = Node(MAPPING, "dict", length=1)
    mapping.items = [("a", Node(MASKED, "", "name:a"))]
    variables, richer, _ = rendered(("a", node, VARIABLE), ("b", broken, VARIABLE), ("c", mapping, VARIABLE))
    assert variables["a"] == "<shop.Order: not recorded: time budget>"
    assert variables["b"] == "<shop.Odd: not recorded: could not be read>"
    assert richer[2]["redacted"] == "name:a"


def test_rendering_does_not_change_what_was_taken() -> None:
    """An event that is too big is rendered again with less."""
    taken = taken_of({"a": [1, {"password": "x"}]}, "text")
    first = render(taken)
    assert render(taken) == first
