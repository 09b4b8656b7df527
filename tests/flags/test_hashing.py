"""The hash, its vectors, and bounds as bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phtrack.flags import hashing
from tests.flags.definitions import condition, flag, read, ruleset, variants

VECTORS = [
    ("simple-flag", "user-1", "", "bcb4b30a13e1f13", 0.7371322536090543),
    ("simple-flag", "user-2", "", "323f559d7b9fed8", 0.1962789067725905),
    ("simple-flag", "distinct_id_0", "", "c8a05362b9f414f", 0.7836963764220432),
    ("simple-flag", "distinct_id_1", "", "56f70997ddf6067", 0.3397069926995401),
    ("beta-ui", "user-123", "", "032795c5da70091", 0.012322769931813707),
    ("beta-ui", "alice@example.com", "", "60ff79fa8d36435", 0.3788982617090478),
    ("beta-ui", "", "", "64d2f50f882623f", 0.3938439524573814),
    ("beta-ui", "用户-7", "", "07b80c4e98c6469", 0.03015210074297512),
    ("drapeau-é", "user-1", "", "d401ce59445daaa", 0.8281525581299919),
    ("emoji-🚀", "ünï", "", "5b0bc319fc856de", 0.35564822563585147),
    ("company-beta", "company-123", "", "bc24167488d4ba4", 0.7349256548412367),
    ("company-beta", "acme", "", "69d71cc59efa2fa", 0.413438604590717),
    ("holdout-flag", "12345", "", "672b1f7857add09", 0.4030017536930963),
    ("checkout", "0", "", "f0e8774326ad1e5", 0.9410471476500573),
    ("checkout", "00000000-0000-7000-8000-000000000000", "", "d44944d029d1405", 0.8292429931842138),
    ("a", "b", "", "69f6642c9d71b46", 0.4139158829615955),
    ("a.b", "c", "", "62322b00c8c084c", 0.38357800263543324),
    ("a", "b.c", "", "62322b00c8c084c", 0.38357800263543324),
    ("UPPER", "Case", "", "d71e34c2425a700", 0.8403046583428961),
    ("upper", "case", "", "9b332e3866eb17f", 0.6062497031879669),
    ("spaces in key", "id with space", "", "d8b18c153ac5d77", 0.8464591552572281),
    ("new-nav", "device-abc", "", "ff21f63cfda5e46", 0.9966119669822074),
    ("checkout", "user-123", "variant", "d55abbf80dbc0ee", 0.8334157448386892),
    ("checkout", "user-1", "variant", "92f2e8896fce791", 0.5740189872301985),
    ("checkout", "alice@example.com", "variant", "49919ea532ccffa", 0.28737823041119626),
    ("checkout", "用户-7", "variant", "d53c8382a75aa6c", 0.8329546159724069),
    ("multi", "company-123", "variant", "39ae9a5b7b41879", 0.22532047971185964),
    ("beta-ui", "user-123", "variant", "327332fca10f3c4", 0.19707029979423124),
]
HOLDOUTS = [
    ("user-1", "2d9513d6c7762a4", 0.17805599206573022),
    ("user-2", "edaacac7c3bb1d8", 0.928387330790184),
    ("user-123", "187ee2ff822b4c9", 0.09568613756179652),
    ("alice@example.com", "baf1c8b8271bb55", 0.7302518319694248),
    ("company-123", "f1ef58b068a0442", 0.9450583868680279),
    ("用户-7", "656a029e910dedc", 0.39614883776908244),
]


@pytest.mark.parametrize(("key", "value", "salt", "digits", "expected"), VECTORS)
def test_bucket_vectors(key: str, value: str, salt: str, digits: str, expected: float) -> None:
    """A user falls into the same bucket here as on the server."""
    assert hashing.digest(f"{key}.{value}{salt}".encode()).hex()[:15] == digits
    assert abs(hashing.fraction(key, value, salt) - expected) < 1e-15


@pytest.mark.parametrize(("value", "digits", "expected"), HOLDOUTS)
def test_holdout_vectors(value: str, digits: str, expected: float) -> None:
    """Holdouts hash with a dash, and without the flag's key."""
    assert hashing.digest(f"holdout-{value}".encode()).hex()[:15] == digits
    assert abs(hashing.holdout_fraction(value) - expected) < 1e-15


@given(
    st.one_of(
        st.floats(-0.5, 1.5),
        st.sampled_from([0.0, 1.0, 0.333, 1 / 3, 0.001, 1 - 2**-53, 2**-60, 1 / hashing.SCALE]),
    ),
    st.integers(0, hashing.SCALE),
    st.booleans(),
)
def test_a_bound_in_bytes_equals_the_comparison_of_fractions(limit: float, top: int, strict: bool) -> None:
    """Comparing digests gives the very answer that comparing floats gives, at every limit."""
    bound = hashing.bound(limit, strictly_below=strict)
    for number in {top, max(int(limit * hashing.SCALE), 0) % (hashing.SCALE + 1), 0, hashing.SCALE}:
        digest = (number << 4 | top & 0xF).to_bytes(8, "big") + bytes(range(12))
        part = number / hashing.SCALE
        within = part < limit if strict else part <= limit
        assert (bound is None or digest <= bound) is within


CHECKOUT = ["green", "blue", "blue", "control", "blue", "control", "control", "blue"]
GAPPED: list[Any] = [True, True, True, "b", True, "b", True, True]


def test_variant_vectors() -> None:
    """Eight users get the variants that the server gives them; a gap in the shares is plain True."""
    full = ruleset(flag("checkout", filters={"multivariate": variants(control=33.33, blue=33.33, green=33.34)}))
    gapped = ruleset(flag("checkout", filters={"multivariate": variants(a=10, b=20)}))
    assert [read(full, "checkout", f"user-{n}") for n in range(8)] == CHECKOUT
    assert [read(gapped, "checkout", f"user-{n}") for n in range(8)] == GAPPED


@pytest.mark.parametrize(
    ("percentage", "inside"),
    [(10, {7, 9}), (33.3, {7, 8, 9}), (50, {3, 7, 8, 9}), (90, set(range(10))), (0.1, set()), (None, set(range(10)))],
)
def test_rollout_vectors(percentage: float | None, inside: set[int]) -> None:
    """The users within a rollout are the ones the server lets in; fractions of a percent count."""
    rules = ruleset(flag("rollout-test", condition(rollout=percentage)))
    assert {n for n in range(10) if read(rules, "rollout-test", f"user-{n}")} == inside


@pytest.mark.parametrize(
    ("percentage", "held"),
    [(0, set()), (10, {"user-123"}), (20, {"user-1", "user-123"}), (100, {"user-1", "user-2", "user-123"}), (250, {"user-1", "user-2", "user-123"}), (-5, set())],
)  # fmt: skip
def test_holdout_shares(percentage: float, held: set[str]) -> None:
    """Who is held out gets the holdout's name as value; the share is clamped to 0..100."""
    rules = ruleset(flag("f", filters={"holdout": {"id": 77, "exclusion_percentage": percentage}}))
    got = {user: read(rules, "f", user) for user in ("user-1", "user-2", "user-123")}
    assert got == {user: "holdout-77" if user in held else True for user in got}
