"""The rules of delivery, as the wire contract has them."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phtrack.delivery import policy

RETRIED = [408, 429, 500, 502, 503, 504]
FINAL = [400, 401, 402, 403, 415, 422, 301, 302, 307, 308]


@pytest.mark.parametrize("protocol", ["v0", "v1"])
def test_what_a_status_means(protocol: str) -> None:
    """2xx is done, 413 splits, the rest is retried or final."""
    judge = lambda status: policy.judge(status, protocol=protocol)  # noqa: E731
    assert {judge(status) for status in (200, 201, 202, 204)} == {"delivered"}
    assert {judge(status) for status in (*RETRIED, None)} == {"retry"}
    assert {judge(status) for status in FINAL} == {"refused"}
    assert judge(413) == "split"
    assert judge(404) == ("retry" if protocol == "v1" else "refused")


def test_back_off_grows_to_a_limit_and_obeys_the_server() -> None:
    """1, 2, 4 ... 30 seconds, or longer when asked, up to 30."""
    assert [policy.backoff(n) for n in range(2, 10)] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert policy.backoff(2, 3.0) == 3.0
    assert policy.backoff(4, 3.0) == 4.0
    assert policy.backoff(2, 500.0) == 30.0


@given(st.integers(2, 5000), st.none() | st.floats(0, 1e9), st.floats(0, 1))
def test_a_wait_is_never_shorter_than_asked_nor_endless(attempt: int, asked: float | None, chance: float) -> None:
    """Jitter only lengthens, by a quarter at most."""
    wait = policy.jittered(policy.backoff(attempt, asked), chance)
    assert max(policy.SHORTEST_WAIT, min(asked or 0, 30)) <= wait <= 37.5


def test_retry_after_in_both_forms() -> None:
    """Seconds or an HTTP date; what can't be read or is over is as none."""
    now = 1_700_000_000.0
    assert policy.retry_after("3", now) == 3.0
    assert policy.retry_after(" 2.5 ", now) == 2.5
    assert policy.retry_after(formatdate(now + 7, usegmt=True), now) == 7.0
    for text in (None, "", "soon", "-1", "0", "inf", "nan", "Fri, 99 Foo 2020", formatdate(now - 7, usegmt=True)):
        assert policy.retry_after(text, now) is None


def test_the_circuit_lets_one_probe_through_and_closes_with_an_answer() -> None:
    """Opened by an exhausted batch; ever longer pauses; while one request is on its way, others wait."""
    circuit = policy.Circuit()
    circuit.failed(100.0, 0.0, exhausted=False)
    assert not circuit.is_open and circuit.wait(100.0) == 0
    pauses = []
    now = 100.0
    for _ in range(7):
        circuit.failed(now, 0.0, exhausted=True)
        pauses.append(circuit.wait(now))
        now += circuit.wait(now)
        assert circuit.wait(now) == 0
        circuit.leaving(now, 15.0)
        assert circuit.wait(now) == 15.0
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert circuit.succeeded() and not circuit.succeeded()
    assert circuit.wait(now) == 0
