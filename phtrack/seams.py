"""
The seams: what one room calls of another, as protocols and plain values. No behaviour lives here.

    client -> Envelope -> delivery -> Batch -> Transport -> Outcome
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

Lane = Literal["events", "errors", "ai"]
"""The queues of a client. Errors have their own, so that a flood of ordinary events never pushes an exception out."""


class Envelope:
    """
    One admitted event on its way out: its JSON, encoded once.

    The queue, the batch, every retry and the spool hold these same bytes. An event whose making was put off (an
    exception rendered behind the door) is a subclass that makes `body` in `seal`.
    """

    __slots__ = ("body", "name", "uuid")

    def __init__(self, uuid: str, name: str, body: bytes | None) -> None:
        self.uuid = uuid
        """The event's uuid as it stands in `body`."""
        self.name = name
        """The event's name, for log lines that may not show content."""
        self.body = body
        """UTF-8 JSON of one event object, or None while it has not been made."""

    def seal(self) -> bytes | None:
        """
        The event's bytes, made now if they were put off. Idempotent, never raises.

        Called by delivery behind the door (or by the caller, where it must be). None means that the event was given up
        while it was being made; whoever gave it up has counted it.
        """
        return self.body

    @property
    def size(self) -> int:
        """Bytes this event takes in a queue; an estimate while `body` is not made."""
        return len(self.body) if self.body is not None else 4096


class Clock(Protocol):
    """**Seam.** Time, so that tests need not wait. `phtrack.testing.FakeClock` is one."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def time(self) -> float:
        """Seconds since the epoch."""
        ...


# --- delivery ------------------------------------------------------------------------------------------------------

Route = Literal["events", "ai"]
"""Where a batch goes: the lanes `events` and `errors` share an endpoint, the lane `ai` has its own."""

Verdict = Literal["delivered", "retry", "split", "refused"]
"""What an answer means for the batch: done; again later; again in halves; never again."""


class Batch:
    """
    Events that travel in one request, and what stays the same over its attempts.

    `envelopes` are sealed. A batch that is split or pruned becomes a new one; this one never changes but for `attempt`
    and `due`, which its courier sets, and `payload`, which belongs to the transport.
    """

    __slots__ = (
        "attempt",
        "created",
        "due",
        "envelopes",
        "error",
        "lanes",
        "payload",
        "protocol",
        "recovered",
        "request_id",
        "retry_after",
        "route",
        "settled",
    )  # fmt: skip

    def __init__(
        self,
        route: Route,
        protocol: str,
        envelopes: list[Envelope],
        lanes: list[Lane],
        created: float,
        *,
        request_id: str | None = None,
    ) -> None:
        self.route: Route = route
        self.protocol = protocol
        """Shape of the bodies: `v0` or `v1`."""
        self.envelopes = envelopes
        self.lanes = lanes
        """The lane each envelope waited in, in the same order."""
        self.created = created
        """Seconds since the epoch at which the batch was built."""
        self.attempt = 0
        """Requests made so far; the transport sees the number of the one it makes."""
        self.request_id = request_id
        """Protocol v1's id of the request, made at the first attempt."""
        self.due = 0.0
        """Monotonic seconds before which it may not be sent."""
        self.retry_after = False
        """True when `due` is what the server asked for."""
        self.settled = False
        """True once its end is counted. Guarded by the sender's lock."""
        self.error: Exception | None = None
        """Why the last attempt failed."""
        self.payload: Any = None
        """What the transport made of it and wants back at the next attempt."""
        self.recovered = False
        """True when its events come from the spool and never waited in a queue of this process."""

    def __len__(self) -> int:
        return len(self.envelopes)


class Outcome:
    """
    What became of one attempt to send a batch. A refusal is a value, not an exception.

    `results` is protocol v1's word per event: uuid -> (result, details).
    """

    __slots__ = ("error", "results", "retry_after", "size", "status", "verdict")

    def __init__(
        self,
        verdict: Verdict,
        *,
        status: int | None = None,
        error: Exception | None = None,
        retry_after: float | None = None,
        results: Mapping[str, tuple[str, str | None]] | None = None,
        size: int = 0,
    ) -> None:
        self.verdict: Verdict = verdict
        self.status = status
        """HTTP status; None when no answer came."""
        self.error = error
        """What `on_error` will get if this was the last attempt. Set unless delivered."""
        self.retry_after = retry_after
        """Seconds the server asked to wait."""
        self.results = results
        self.size = size
        """Bytes of the request's body."""


class Transport(Protocol):
    """**Seam.** Moves one batch. Called by sending threads, several at once when `thread` is above 1; never raises."""

    def prepare(self) -> None:
        """Load what the first `send` needs. Called once per sending thread, before it is urgent."""
        ...

    def send(self, batch: Batch, timeout: float) -> Outcome:
        """Make one attempt that takes at most about *timeout* seconds."""
        ...

    def close(self) -> None:
        """Let go of connections. `send` may be called again and opens new ones."""
        ...

    def reset_after_fork(self) -> None:
        """In a child: forget the parent's connections without touching them."""
        ...
