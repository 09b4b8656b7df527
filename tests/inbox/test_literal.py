"""Recorded values as Python would write them."""

from __future__ import annotations

from typing import Any

import pytest

from phtrack.inbox.literal import MASKED, literal
from phtrack.inbox.stack import Value, values_of


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "NoneType", "None"),
        (True, "bool", "True"),
        (12.5, "float", "12.5"),
        ("", "str", "''"),
        ("it's\n", "str", '"it\'s\\n"'),
        ("<module json>", "module", "<module json>"),
        ("0x" + "f" * 5, "int", "0xfffff"),
        ([1, "a", None], "list", "[1, 'a', None]"),
        ([1], "tuple", "(1,)"),
        ([1, 2], "set", "{1, 2}"),
        ([1, "… 1,998 more"], "list", "[1, … 1,998 more]"),
        ({"a b": 1, "…": "3 more"}, "dict", "{a b: 1, … 3 more}"),
        ({"name": "Ann", "pin": MASKED}, "shop.Customer", "Customer(name='Ann', pin=‹masked›)"),
        (["<function f>", {"x": None, "__class__": "shop.Point"}], "list", "[<function f>, Point(x=None)]"),
    ],
)
def test_values_read_as_python(value: Any, kind: str, text: str) -> None:
    """What a Python developer reads without translating from JSON."""
    assert literal(value, kind) == text


def test_remarks_say_what_is_missing_and_why() -> None:
    """A cut, a length, a mask over all or over a part are told apart; a partly masked value is still shown."""
    variables = [
        {"name": "a", "value": [1], "type": "list", "length": 9, "truncated": "first 1 of 9"},
        {"name": "b", "value": MASKED, "type": "str", "redacted": "name:b"},
        {"name": "c", "value": {"pin": MASKED, "n": 1}, "type": "dict", "redacted": "name:pin"},
        {"name": "d", "value": "<D: not recorded: time budget>", "type": "D", "truncated": "time budget"},
    ]
    assert values_of({"phtrack": {"variables": variables}}) == [
        Value("a", "[1]", "list", "length 9, cut: first 1 of 9", False),
        Value("b", "", "str", "masked (name:b)", True),
        Value("c", "{pin: ‹masked›, n: 1}", "dict", "partly masked (name:pin)", False),
        Value("d", "<D: not recorded: time budget>", "D", "cut: time budget", False),
    ]
