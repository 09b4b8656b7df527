"""The floor: what the wire contract says of redaction, rule by rule."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from phtrack.scrub import CIRCULAR, MARKER, TOO_LONG, Rules, Scrubber, formats, key_marker, scrubber
from tests.scrub.corpus import LETTERS_DIGITS, VENDORS, made

S = scrubber()


def test_markers() -> None:
    """The server and PostHog's interface know these texts."""
    assert MARKER == "$$_posthog_redacted_based_on_masking_rules_$$"
    assert TOO_LONG == "$$_posthog_value_too_long_$$"
    assert key_marker(0) == "$$_posthog_redacted_key_0_$$"


def test_user_info_of_addresses() -> None:
    """The marker takes the place of the whole user-info; a user without a password stays."""
    assert S.text("postgresql://bob:x@host/db") == f"postgresql://{MARKER}@host/db"
    assert S.text("https://bob@host/") == "https://bob@host/"
    keep = Scrubber(Rules(mask_url_credentials=False))
    assert keep.text("amqp://bob:x1@host/") == "amqp://bob:x1@host/"


@pytest.mark.parametrize(
    ("given", "hidden"),
    [
        ("Bearer abcdefgh1", True),
        ("bearer: abcdefgh1", True),
        ("'Bearer' 'abcdefgh1'", True),
        ("Bearer abc", False),
        ("bearer authentication", False),
        ("bearer abcdefghijklmnop", True),
        ("Basic YTpi", True),  # a:b
        ("Basic abc", False),
    ],
)
def test_authentication_schemes(given: str, hidden: bool) -> None:
    """A credential of 8 characters or more that is no ordinary word; after Basic also a short one that decodes to a pair."""
    result = S.text(given)
    assert (MARKER in result) == hidden
    assert hidden or result == given


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_a_value_of_a_known_format_is_hidden_whole(vendor: str) -> None:
    """Alone under an ordinary name, nothing of it is left."""
    found: list[str] = []
    assert VENDORS[vendor] not in str(S.value({"note": VENDORS[vendor]}, found))
    assert len(found) == 1


def test_every_format_is_in_the_corpus_or_matches_its_hint() -> None:
    """A hint that a format does not contain would switch the format off."""
    covered = set()
    for secret in VENDORS.values():
        for hint, rule, pattern in formats._COMPILED:
            if pattern.search(secret):
                assert hint in secret or any(other in secret for other, same, _ in formats._COMPILED if same == rule), (
                    rule,
                    secret,
                )
                covered.add(rule)
    assert len(covered) >= 35
    assert all(
        formats.RUN.search(secret) for name, secret in VENDORS.items() if not name.startswith(("card", "random"))
    )


def test_detection_can_be_switched_off() -> None:
    """Names still count; looks don't."""
    keep = Scrubber(Rules(detect_secrets=False))
    token = VENDORS["github"]
    assert keep.text(f"got {token}") == f"got {token}"
    assert keep.value({"x": VENDORS["random"], "password": "y"}) == {"x": VENDORS["random"], "password": MARKER}


def test_randomness_needs_length_variety_and_no_other_explanation() -> None:
    """The contract's test of whole values, less identifiers, dates, ids with a prefix, and the like."""
    missed = [s for i in range(2_000) if not formats.is_random(s := made(LETTERS_DIGITS + "-_", 32, f"r{i}"))]
    assert len(missed) <= 2, missed
    for innocent in (
        "a" * 40,
        "abc def ghi JKL 123 ..",
        made("0123456789abcdef", 40, "h"),
        "aB3!",
        "A1-" * 200,
        "HelloWorldFromBerlin2",
    ):
        assert not formats.is_random(innocent)


def test_an_id_may_look_random() -> None:
    """Under the name of an identifier looks are not held against a value; a known format still is."""
    nanoid = "V1StGXR8_Z5jdHi6B-myT"
    assert S.value({"order_id": nanoid, "note": nanoid}) == {"order_id": nanoid, "note": MARKER}
    assert S.text(nanoid, name="requestId") == nanoid
    assert S.value({"order_id": VENDORS["stripe"]}) == {"order_id": MARKER}


def test_mapping_keys() -> None:
    """A key that matches stays if it is plain, and is replaced by a numbered marker otherwise."""
    token = VENDORS["github"]
    given = {"db.password": "x", "my password": "y", token: 1, "user": 2, key_marker(0): 3, (1, 2): 4, 7: 5}
    assert S.value(given) == {
        "db.password": MARKER, key_marker(1): MARKER, key_marker(2): 1, "user": 2, key_marker(0): 3, (1, 2): 4, 7: 5,
    }  # fmt: skip


def test_a_value_is_not_read_under_a_secret_name() -> None:
    """Not even its type is shown, except for None, True, False and nothing."""
    given = {
        "password": ["a"],
        "token": 7,
        "secret": 1.5,
        "api_key": {"a": "b"},
        "auth": None,
        "cookie": True,
        "dsn": "",
    }
    assert S.value(given) == {
        "password": MARKER, "token": MARKER, "secret": MARKER, "api_key": MARKER, "auth": None, "cookie": True, "dsn": "",
    }  # fmt: skip


def test_what_follows_an_option_goes_by_its_name() -> None:
    """A command line is a list as any other."""
    given = ["curl", "--retry", "3", "--password", "hunter2", "--token=abc", "--proxy-password", "x", "http://h/"]
    assert S.value({"argv": given})["argv"] == [
        "curl", "--retry", "3", "--password", MARKER, f"--token={MARKER}", "--proxy-password", MARKER, "http://h/",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [int, float, Decimal])
def test_card_numbers_of_every_type(kind: Any) -> None:
    """Hidden; other numbers stay what they are."""
    assert S.value({"n": kind(4111111111111111)}) == {"n": MARKER}
    for number in (kind(4111111111111112), kind(1), Decimal("sNaN"), Decimal("Infinity"), float("inf")):
        found = S.value({"n": number})["n"]
        assert found is number


def test_cycles_depth_and_size() -> None:
    """A container in itself is marked; what is too deep, too much or too long is not shown."""
    loop: list[object] = ["a"]
    loop.append(loop)
    assert S.value(loop) == ["a", CIRCULAR]
    deep: object = "x"
    for _ in range(100_000):
        deep = [deep]
    assert TOO_LONG in str(S.value(deep))
    wide = S.value(list(range(300_000)))
    assert wide[-1] == TOO_LONG and len(wide) < 300_000
    found: list[str] = []
    long = S.text("a " * 200_000, found)
    assert long.endswith(TOO_LONG) and len(long) < 300_000 and "too_long" in found


def test_unchanged_parts_are_shared() -> None:
    """New data is only made where something was hidden; the input is never touched."""
    given = {"a": [1, "x"], "b": {"password": "y"}}
    result = S.value(given)
    assert result["a"] is given["a"] and given["b"] == {"password": "y"}
    innocent = {"a": [1, "x", {"b": None}]}
    assert S.value(innocent) is innocent


def test_objects_are_not_touched() -> None:
    """What can't be read without running its code is not shown, and its code does not run."""

    class Counting:
        ran = 0

        def __getattribute__(self, name: str) -> object:
            type(self).ran += 1
            raise RuntimeError(name)

        __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __getattribute__  # type: ignore[assignment]

    class Text(str):
        ran = 0

        def __str__(self) -> str:
            type(self).ran += 1
            return "wrong"

        lower = strip = __repr__ = __str__  # type: ignore[assignment]

    found: list[str] = []
    assert S.value({"x": Counting(), "y": Text("password=abc")}, found) == {"x": MARKER, "y": f"password={MARKER}"}
    assert found == ["unreadable", "name:password"]
    assert Counting.ran == Text.ran == 0


def test_harmless_types_pass() -> None:
    """Dates, decimals and UUIDs come out as they went in."""
    import datetime
    import decimal
    import uuid

    given = [
        datetime.datetime(2026, 1, 2),
        datetime.date(2026, 1, 2),
        decimal.Decimal("1.5"),
        uuid.UUID(int=7),
        1.5,
        b"abc",
    ]
    assert S.value(given) is given


def test_rules_say_what_they_hid() -> None:
    """Each redaction is explained by the name of its rule, in order."""
    found: list[str] = []
    S.value(
        {
            "password": "x",
            "a": "postgres://u:p@h/d",
            "b": VENDORS["github"],
            "c": VENDORS["card_visa"],
            "d": "Bearer abcdefgh123",
            "e": VENDORS["random"],
            "f": "x?sig=abc&y=1",
            "g": "-----BEGIN PRIVATE KEY-----\nabc",
        },
        found,
    )
    assert found == [
        "name:password", "url_credentials", "format:github", "card_number", "auth_scheme", "random", "query:sig", "pem",
    ]  # fmt: skip


def test_what_a_length_limit_has_cut_off() -> None:
    """The beginning of a secret is hidden too, where a text ends in dots or is so long that it may have been cut."""
    github, address = VENDORS["github"][:20], "postgres://bob:hunter2"
    for rest in (github, address, "password='hunter2", "-----BEGIN PRIVATE KEY-----\nabcdef"):
        for text in ("x " * 500 + rest, f"got {rest}..."):
            assert rest[-6:] not in S.text(text), text
    assert S.text("see http://localhost:8000...") == "see http://localhost:8000..."
    assert S.text("x " * 600 + "http://localhost:8000/a") == "x " * 600 + "http://localhost:8000/a"
