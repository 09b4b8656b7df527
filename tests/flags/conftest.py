"""What the tests of flags share: a server, and clients that write their events down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from phtrack.client import Client
from phtrack.testing import FakeClock, RecordingTransport
from tests.flags.server import FlagServer


@pytest.fixture
def server() -> Iterator[FlagServer]:
    """A flag server on loopback."""
    server = FlagServer()
    yield server
    server.close()


class Watched(Client):
    """A client, and the events it sent."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.outbox = RecordingTransport()
        super().__init__(*args, transport=self.outbox, clock=FakeClock(), **options)

    def events(self, name: str = "$feature_flag_called") -> list[dict[str, Any]]:
        """Events of that name, in the order of their capture."""
        self.flush()
        return self.outbox.named(name)

    def called(self) -> list[dict[str, Any]]:
        """Properties of the `$feature_flag_called` events."""
        return [event["properties"] for event in self.events()]


MakeClient = Callable[..., Watched]


@pytest.fixture
def client(server: FlagServer) -> Iterator[MakeClient]:
    """Makes clients of the server; `local=True` gives them a secret key."""
    made: list[Watched] = []

    def make(*, local: bool = False, **options: Any) -> Watched:
        if local:
            options.setdefault("secret_key", "phs_secret")
            options.setdefault("poll_interval", 3600)
        options.setdefault("host", server.url)
        # On a machine that is busy, a test must not mistake slowness for a fault.
        options.setdefault("feature_flags_request_timeout_seconds", 30)
        made.append(Watched("phc_key", **options))
        return made[-1]

    yield make
    for one in made:
        one.shutdown()
