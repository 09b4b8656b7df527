"""
Fakes for tests of programs that use phtrack: a transport that records instead of sending, and a clock that stands still.

    from phtrack.testing import FakeClock, RecordingTransport

    transport = RecordingTransport(503)                 # one refusal, then success
    client = phtrack.Posthog("phc_test", transport=transport, clock=FakeClock())
    client.capture("order placed", distinct_id="u1")
    client.flush()                                      # waits by moving the clock
    assert transport.events[0]["event"] == "order placed"

With pytest, ``from phtrack.testing import recording_transport`` in a `conftest.py` makes a fixture of that name.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any

from phtrack.capture_v1 import CaptureV1Error
from phtrack.delivery import policy
from phtrack.request import APIError
from phtrack.seams import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phtrack.seams import Batch

Answer = int | Outcome | Exception


class RecordingTransport:
    """
    Keeps every batch; answers from a script, then says yes.

    Args:
        answers: One per request: an HTTP status, an `Outcome`, or an exception for a request that got no answer.
    """

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        """The events of every request, in order; a retried batch stands here once per attempt."""
        self.batches: list[Batch] = []
        """The batches as they were handed over, one per request."""
        self.events: list[dict[str, Any]] = []
        """The events of every request that was answered with success, in order."""
        self.closed = False
        self._answers: deque[Answer] = deque(answers)

    def answer(self, *answers: Answer) -> None:
        """Append to the script."""
        self._answers.extend(answers)

    def clear(self) -> None:
        """Forget what was recorded; the script stays."""
        self.requests.clear()
        self.batches.clear()
        self.events.clear()

    def named(self, name: str) -> list[dict[str, Any]]:
        """The delivered events called *name*."""
        return [event for event in self.events if event.get("event") == name]

    # --- the seam: `phtrack.seams.Transport` ---

    def prepare(self) -> None:
        """Nothing to load."""

    def send(self, batch: Batch, timeout: float) -> Outcome:
        """Record the batch and answer."""
        events = [json.loads(envelope.body or b"null") for envelope in batch.envelopes]
        self.batches.append(batch)
        self.requests.append(events)
        outcome = _outcome(self._answers.popleft() if self._answers else 200, batch)
        if outcome.verdict == "delivered":
            results = outcome.results or {}
            self.events.extend(
                event for event in events if results.get(event["uuid"], ("ok",))[0] not in ("retry", "drop")
            )
        return outcome

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def reset_after_fork(self) -> None:
        """A child starts with an empty record."""
        self.clear()


def _outcome(answer: Answer, batch: Batch) -> Outcome:
    if isinstance(answer, Outcome):
        return answer
    kind: Any = CaptureV1Error if batch.protocol == "v1" else APIError
    if isinstance(answer, Exception):
        error = kind(None, f"{type(answer).__name__}: {answer}")
        error.__cause__ = answer
        return Outcome("retry", error=error)
    verdict = policy.judge(answer, protocol=batch.protocol)
    return Outcome(verdict, status=answer, error=None if verdict == "delivered" else kind(answer, "scripted answer"))


class FakeClock:
    """
    A clock that moves when told to. A client with it starts no sending thread: `flush` and `shutdown` take the turns, and what
    would be waited for passes at once.
    """

    manual = True

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = 1000.0
        self._epoch = start - self._now

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._now

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._epoch + self._now

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds!r}")
        self._now += seconds

    sleep = advance


def recording_transport() -> Iterator[RecordingTransport]:
    """A pytest fixture: a fresh `RecordingTransport`. Import it into a `conftest.py`."""
    yield RecordingTransport()


try:
    import pytest
except ImportError:
    pass
else:
    recording_transport = pytest.fixture(recording_transport)
