"""What holds for the tests of delivery: no process of theirs outlives its test, and no retry is waited for longer than it must."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from phtrack.delivery import policy
from tests.delivery import program


@pytest.fixture(autouse=True)
def _no_orphans() -> Iterator[None]:
    yield
    program.kill_all()


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries after some milliseconds, for tests with threads and servers that are about something else than the back-off."""
    monkeypatch.setattr(policy, "backoff", lambda attempt, retry_after=None: 0.01)
