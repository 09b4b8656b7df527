"""The recipe on facts written by hand: what real programs seldom show."""

from __future__ import annotations

import ast
from dataclasses import replace
from time import thread_time

import pytest

from phtrack import _guard
from phtrack.fingerprint import ExceptionFacts, FrameFacts, explicit, fingerprint, frame_part, recipe

SOURCE = """
def pay(order):
    answer = gateway.charge(order.total)
    return answer
"""
FUNCTION = ast.parse(SOURCE).body[0]
STATEMENT = FUNCTION.body[0]  # type: ignore[attr-defined]

PAY = FrameFacts(
    in_app=True, file="shop/pay.py", function="pay", qualname="Shop.pay", statement=STATEMENT, scope=FUNCTION
)
LIBRARY = FrameFacts(in_app=False, file="requests/api.py", function="post", qualname="post")
BARE = replace(PAY, statement=None, scope=None)


def of(*frames: FrameFacts, type: str = "TimeoutError", message: str = "", **more: object) -> ExceptionFacts:
    return ExceptionFacts(type=type, message=message, frames=frames, **more)  # type: ignore[arg-type]


def test_parts_and_rule_explain_the_value() -> None:
    """A person can read why an event was grouped as it was."""
    found = fingerprint([of(PAY, LIBRARY)])
    assert found.parts == ["TimeoutError", "shop/pay.py Shop.pay: gateway.charge($0.total)"]
    assert found.rule == "site"
    assert found.value.startswith("v1:")
    assert len(found.value) == 35


def test_the_value_of_a_known_failure_never_changes() -> None:
    """Values of v1 are stored in users' projects; a better recipe is a v2."""
    assert fingerprint([of(PAY, LIBRARY)]).value == "v1:dabb4fa2fa3fb4e4137e8830b7a6dd06"


def test_library_frames_and_messages_have_no_say_where_the_application_has() -> None:
    """An upgrade of a library or other data in a message makes no new issue."""
    assert fingerprint([of(PAY)]) == fingerprint([of(LIBRARY, PAY, LIBRARY, LIBRARY, message="x 1")])


def test_without_source_the_function_counts() -> None:
    """Compiled or frozen applications are grouped by the function, and say so."""
    found = fingerprint([of(BARE, LIBRARY)])
    assert (found.parts, found.rule) == (["TimeoutError", "shop/pay.py Shop.pay"], "function")


def test_without_the_application_the_normalised_message_counts() -> None:
    """A failure that lies in a library alone is told apart by what it says."""
    one, same, other = (
        fingerprint([of(LIBRARY, message=text)])
        for text in ("host 10.0.0.1 is down", "host 10.9.9.2 is down", "no route")
    )
    assert one == same
    assert one.value != other.value
    assert (one.parts, one.rule) == (["TimeoutError", "host # is down"], "message")


def test_two_types_at_one_place_are_two() -> None:
    """The type always counts, by the name of the class alone."""
    assert fingerprint([of(PAY)]).value != fingerprint([of(PAY, type="KeyError")]).value
    assert fingerprint([of(PAY, type="make.<locals>.Late")]) == fingerprint([of(PAY, type="other.<locals>.Late")])


def test_a_machine_s_own_paths_do_not_count() -> None:
    """Should an absolute path, a Windows path or a notebook's cell name arrive, what differs per machine or session is left out."""

    def at(file: str) -> str:
        return fingerprint([of(replace(PAY, file=file))]).value

    assert at("/srv/a/pay.py") == at("/home/ann/pay.py") == at("C:\\code\\pay.py")
    assert at("shop\\pay.py") == at("shop/pay.py") != at("shop/other.py")
    assert at("<ipython-input-3-9a8b>") == at("<ipython-input-14-77cd>") == at("/tmp/ipykernel_812/33.py")
    assert at("<python-input-3>") != at("<string>")


def test_folded_recursion_is_that_of_the_whole_stack() -> None:
    """A cycle cut out of the middle leaves the value as it is, wherever the stack began and ended."""
    ping, pong = (replace(PAY, qualname=name, function=name, statement=None) for name in ("ping", "pong"))
    whole = fingerprint([of(PAY, *[ping, pong] * 300, ping, type="RecursionError")])
    folded = fingerprint([of(PAY, ping, pong, ping, pong, LIBRARY, type="RecursionError", folded=[(1, 2, 299)])])
    assert whole == folded
    assert (whole.parts, whole.rule) == (["RecursionError", "shop/pay.py ping", "shop/pay.py pong"], "recursion")


def test_a_recursion_error_without_a_recursion_has_a_place() -> None:
    """`json.dumps` of a list in itself recurses in the library: the call of the application counts."""
    assert fingerprint([of(PAY, *[LIBRARY] * 500, type="RecursionError")]).rule == "site"


def test_one_member_is_the_group() -> None:
    """A TaskGroup with one TimeoutError is that TimeoutError, and so is one with many that are alike."""
    alone = fingerprint([of(PAY, LIBRARY)])
    group = of(BARE, type="ExceptionGroup", is_group=True)
    member = of(PAY, LIBRARY, relation="member", parent=0)
    assert fingerprint([group, member]) == alone
    assert fingerprint([group, member, replace(member, message="again")]) == alone


def test_a_group_is_the_set_of_its_members() -> None:
    """Order and number of members don't count, nesting neither."""
    group = of(BARE, type="ExceptionGroup", is_group=True)
    one = of(PAY, relation="member", parent=0)
    two = of(PAY, type="KeyError", relation="member", parent=0)
    value = fingerprint([group, one, two]).value
    assert fingerprint([group, two, one, two]).value == value
    nested = of(BARE, type="ExceptionGroup", is_group=True, relation="member", parent=0)
    assert fingerprint([group, nested, replace(one, parent=1), two]).value == value
    assert fingerprint([group, one]).value != value


def test_a_member_that_was_never_raised_has_the_place_of_its_group() -> None:
    """`ExceptionGroup("bad form", [ValueError(...)])`: where the group was made is all there is."""
    group = of(PAY, type="ExceptionGroup", is_group=True)
    found = fingerprint([group, of(type="ValueError", message="a 1", relation="member", parent=0)])
    assert (found.parts[0], found.parts[-1]) == ("ValueError", "shop/pay.py Shop.pay: gateway.charge($0.total)")
    assert found.rule == "group"


def test_a_cause_outside_of_the_application_is_not_followed() -> None:
    """What a library does within itself is its own affair; the place that called it counts."""
    wrapper = of(PAY, LIBRARY, type="ConnectionError")
    cause = of(LIBRARY, type="OSError", relation="cause", parent=0)
    assert fingerprint([wrapper, cause]).value == fingerprint([wrapper]).value
    assert fingerprint([wrapper, cause, of(BARE, type="KeyError", relation="cause", parent=1)]).rule == "cause"


def test_a_cancelled_cause_is_not_followed() -> None:
    """A timeout made of a cancellation is a timeout."""
    wrapper = of(PAY, LIBRARY)
    cause = of(BARE, type="CancelledError", relation="cause", parent=0)
    assert fingerprint([wrapper, cause]).value == fingerprint([wrapper]).value


@pytest.mark.parametrize("parent", [0, 1, 2, 7, -1])
def test_trees_that_lie_end(parent: int) -> None:
    """Parents that don't exist, that follow, or that are the exception itself do no harm."""
    broken = [of(PAY), of(BARE, relation="cause", parent=parent), of(BARE, relation="member", parent=1)]
    assert fingerprint(broken).value.startswith("v1:")


def test_nothing_has_a_fingerprint_too() -> None:
    """An event without exceptions, and one whose exception has neither frames nor message."""
    assert fingerprint([]).rule == "message"
    assert fingerprint([of(type="")]).rule == "message"


def test_a_tree_that_can_not_be_read_costs_the_statement_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """An internal error is swallowed, and the function still counts."""
    monkeypatch.setattr(_guard, "STRICT", False)
    broken = ast.Expr(value=None)  # type: ignore[arg-type]
    found = fingerprint([of(replace(PAY, statement=broken))])
    assert (found.parts, found.rule) == (["TimeoutError", "shop/pay.py Shop.pay"], "function")


def test_a_failing_recipe_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Type and function, or type and message, are always to be had."""
    monkeypatch.setattr(_guard, "STRICT", False)
    monkeypatch.setattr(recipe, "_of_one", lambda exception: 1 / 0)
    assert fingerprint([of(PAY, LIBRARY)]).parts == ["TimeoutError", "shop/pay.py Shop.pay"]
    assert fingerprint([of(LIBRARY, message="no 1")]).parts == ["TimeoutError", "no #"]


def test_finished_parts_stand_in_for_facts() -> None:
    """A part is kept per site and gives the same value."""
    assert fingerprint([of(frame_part(PAY), frame_part(LIBRARY))]) == fingerprint([of(PAY, LIBRARY)])  # type: ignore[arg-type]


def test_a_warm_fingerprint_is_cheap() -> None:
    """With parts at hand, only joining and one hash are left: less than a tenth of making them."""
    parts = [frame_part(replace(PAY, qualname=f"f{n}")) for n in range(4)] + [frame_part(LIBRARY)]
    exception = of(*parts)  # type: ignore[arg-type]

    def cost(call: object, times: int) -> float:
        start = thread_time()
        for _ in range(times):
            call()  # type: ignore[operator]
        return (thread_time() - start) / times

    warm = min(cost(lambda: fingerprint([exception]), 200) for _ in range(5))
    cold = min(cost(lambda: [frame_part(PAY) for _ in range(5)], 50) for _ in range(5))
    assert warm < cold


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("checkout", "checkout"),
        (["checkout", "eu"], "checkout/eu"),
        (("a",), "a"),
        ("x" * 64, "x" * 64),
    ],
)
def test_the_users_choice_stands(value: object, wanted: str) -> None:
    """A text is the value itself, several are joined."""
    found = explicit(value)  # type: ignore[arg-type]
    assert (found.value, found.rule) == (wanted, "explicit")


def test_a_long_choice_is_hashed() -> None:
    """A server would hash it too, but so it is the same for every server."""
    one, other = explicit("x" * 65), explicit("x" * 66)
    assert len(one.value) <= 64
    assert one.value != other.value
    assert one.parts == ["x" * 65]


@pytest.mark.parametrize("value", ["", "  ", []])
def test_an_empty_choice_is_refused(value: object) -> None:
    """It would put everything into one issue; the caller of this decides what to do instead."""
    with pytest.raises(ValueError, match="at least one character, got"):
        explicit(value)  # type: ignore[arg-type]
