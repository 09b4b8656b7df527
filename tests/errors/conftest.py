"""A client that records, for the tests of exceptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import phtrack
from phtrack.testing import FakeClock, RecordingTransport

Make = Callable[..., "Recorder"]


class Recorder:
    """A client and what it sent."""

    def __init__(self, **options: Any) -> None:
        # A busy machine must not decide what a test sees.
        options.setdefault("code_variables_time_ms", 2_000)
        self.transport = RecordingTransport()
        self.client = phtrack.Posthog("phc_test", transport=self.transport, clock=FakeClock(), **options)

    def events(self) -> list[dict[str, Any]]:
        self.client.flush()
        return self.transport.events

    def one(self) -> dict[str, Any]:
        """The properties of the only event."""
        (event,) = self.events()
        assert event["event"] == "$exception"
        properties: dict[str, Any] = event["properties"]
        return properties

    def capture(self, exception: Any = None, **about: Any) -> dict[str, Any]:
        """Capture, and answer with the properties of the event."""
        self.transport.clear()
        assert self.client.capture_exception(exception, **about) is not None
        return self.one()


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Recorder] = []

    def make(**options: Any) -> Recorder:
        recorder = Recorder(**options)
        made.append(recorder)
        return recorder

    yield make
    for recorder in made:
        recorder.client.shutdown()


@pytest.fixture
def recorder(make: Make) -> Recorder:
    return make()
