"""Which issue an event belongs to, and what the list says about it."""

from __future__ import annotations

from typing import Any

import pytest

from phtrack.inbox.grouping import facts_of
from tests.inbox import events as make


def test_the_senders_fingerprint_decides() -> None:
    """Different errors with one fingerprint are one issue, one error with two fingerprints is two."""
    one = make.exception(make.entry("ValueError"), **{"$exception_fingerprint": "f1"})
    other = make.exception(make.entry("KeyError"), **{"$exception_fingerprint": "f1"})
    third = make.exception(make.entry("ValueError"), **{"$exception_fingerprint": "f2"})
    assert facts_of(one).key == facts_of(other).key != facts_of(third).key
    assert facts_of(one).fingerprint == "f1"


def test_without_a_fingerprint_type_and_frame_decide() -> None:
    """A moved line and another message are the same issue; another type or function is not."""
    key = facts_of(make.exception(make.entry("ValueError", "order 1", make.frame("pay", 88)))).key
    assert key == facts_of(make.exception(make.entry("ValueError", "order 2", make.frame("pay", 91)))).key
    assert key != facts_of(make.exception(make.entry("KeyError", "order 1", make.frame("pay", 88)))).key
    assert key != facts_of(make.exception(make.entry("ValueError", "order 1", make.frame("refund", 88)))).key


def test_library_frames_below_the_application_do_not_decide() -> None:
    """A library that fails in another of its functions is the same issue of the application."""
    one = make.entry("OSError", "x", make.frame(), make.library_frame(function="send"))
    other = make.entry("OSError", "x", make.frame(), make.library_frame(function="receive"))
    assert facts_of(make.exception(one)).key == facts_of(make.exception(other)).key


def test_without_frames_the_message_decides_without_its_numbers() -> None:
    """Messages that differ in numbers and addresses are one issue, other words are another."""
    keys = [
        facts_of(make.exception(make.entry("ValueError", message))).key
        for message in ("order 17 at 0x7f00a1", "order 4 at 0x7f00b2", "no such customer")
    ]
    assert keys[0] == keys[1] != keys[2]


def test_the_culprit_is_the_applications_innermost_frame() -> None:
    """The list names module, qualified function and line of the frame the developer can change."""
    entry = make.entry("OSError", "x", make.frame(phtrack={"qualname": "Cart.pay"}), make.library_frame())
    assert facts_of(make.exception(entry)).culprit == "shop.checkout.Cart.pay:88"


def test_a_script_is_named_after_its_file() -> None:
    """`__main__` would say nothing."""
    entry = make.entry("OSError", "x", make.frame(module="__main__", filename="nightly.py"))
    assert facts_of(make.exception(entry)).culprit == "nightly.pay:88"


def test_a_cause_names_the_culprit_when_the_exception_has_no_frames() -> None:
    """An exception without a stack borrows the place from what it was caused by."""
    cause = make.entry("KeyError", "k", make.frame(), source="cause", parent_id=0, exception_id=1)
    assert facts_of(make.exception(make.entry("OSError", "x"), cause)).culprit == "shop.checkout.pay:88"


def test_level_handled_and_tags_are_read() -> None:
    """What the dot and the hints of the list are made of."""
    properties = {"$exception_level": "fatal", "$context_tags": ["plan", "gone"], "plan": "pro", "other": 1}
    facts = facts_of(make.exception(make.entry(handled=False), **properties))
    assert (facts.level, facts.handled, facts.tags) == ("fatal", False, {"plan": "pro"})


@pytest.mark.parametrize("value", [None, 7, "text", [], {}, [None], {"a": []}, [[]], True, ["x" * 50_000]])
def test_any_json_is_some_issue(value: Any) -> None:
    """Whatever stands where something else belongs, the event has a type and a key."""
    event = make.exception(make.entry("ValueError", "bad", make.frame()))
    properties = event["properties"]
    entry = properties["$exception_list"][0]
    spoilt = [
        {"event": "$exception", "properties": value},
        *(
            {**event, "properties": {**properties, name: value}}
            for name in (*properties, "$exception_fingerprint", "$context_tags")
        ),
        *(_with_entry({**entry, name: value}) for name in entry),
        *(
            _with_entry(make.entry("E", "v", {**make.frame(), name: value}))
            for name in (*make.frame(), "phtrack", "code_variables")
        ),
    ]
    for each in spoilt:
        facts = facts_of(each)
        assert facts.type and facts.key and facts.level


def _with_entry(entry: dict[str, Any]) -> dict[str, Any]:
    return make.exception(entry)
