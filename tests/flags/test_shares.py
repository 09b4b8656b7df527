"""Rollouts and variants over many users: fair, monotone, stable."""

from __future__ import annotations

import math

import pytest

from tests.flags.definitions import condition, flag, read, ruleset, variants

USERS = [f"user-{n}" for n in range(100_000)]
MANY = USERS[:5_000]


def within(rules: object, users: list[str]) -> set[str]:
    return {user for user in users if read(rules, "f", user)}  # type: ignore[arg-type]


@pytest.mark.parametrize("percentage", [33.3, 0.5])
def test_a_rollout_holds_its_share(percentage: float) -> None:
    """Of 100,000 users, the share that is in differs from the percentage by chance only (six standard deviations)."""
    share = percentage / 100
    rules = ruleset(flag("f", condition(rollout=percentage)))
    found = len(within(rules, USERS))
    assert abs(found - share * len(USERS)) < 6 * math.sqrt(len(USERS) * share * (1 - share))


def test_variants_hold_their_shares() -> None:
    """Of 100,000 users, each variant gets its share, and the gap gets the rest."""
    shares = {"a": 10.0, "b": 25.5, "c": 40.0}
    rules = ruleset(flag("f", filters={"multivariate": variants(**shares)}))
    counts: dict[object, int] = {}
    for user in USERS:
        value = read(rules, "f", user)
        counts[value] = counts.get(value, 0) + 1
    for key, percentage in [*shares.items(), (True, 24.5)]:
        share = percentage / 100
        assert abs(counts[key] - share * len(USERS)) < 6 * math.sqrt(len(USERS) * share * (1 - share)), key


def test_a_growing_rollout_throws_nobody_out() -> None:
    """Who is in at a percentage is in at every larger one."""
    before: set[str] = set()
    for percentage in (0, 0.1, 1, 5, 20, 33.3, 33.4, 50, 99.9, 100, None):
        now = within(ruleset(flag("f", condition(rollout=percentage))), MANY)
        assert before <= now
        before = now
    assert len(before) == len(MANY)


def test_variants_do_not_change_when_the_rollout_grows() -> None:
    """Widening a rollout adds users and leaves everybody's variant alone."""
    split = {"multivariate": variants(a=50, b=50)}
    narrow = ruleset(flag("f", condition(rollout=20), filters=split))
    wide = ruleset(flag("f", condition(rollout=80), filters=split))
    kept = {user: value for user in MANY if (value := read(narrow, "f", user))}
    assert len(kept) > 800
    assert all(read(wide, "f", user) == value for user, value in kept.items())


def test_a_growing_last_variant_takes_from_the_gap_only() -> None:
    """Users of the first variants keep them when a later one grows into the unassigned rest."""
    small = ruleset(flag("f", filters={"multivariate": variants(a=30, b=10)}))
    large = ruleset(flag("f", filters={"multivariate": variants(a=30, b=60)}))
    for user in MANY:
        value = read(small, "f", user)
        assert read(large, "f", user) == value or value is True


def test_two_flags_split_users_independently() -> None:
    """Being in one half says nothing about the other flag's half."""
    rules = ruleset(flag("f", condition(rollout=50)), flag("g", condition(rollout=50)))
    both = sum(bool(read(rules, "f", user) and read(rules, "g", user)) for user in USERS[:20_000])
    assert abs(both - 5_000) < 6 * math.sqrt(20_000 * 0.25 * 0.75)
