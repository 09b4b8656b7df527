"""
The seams: what one room calls of another, as protocols and plain values. No behaviour lives here.

    client -> Envelope -> delivery -> Transport -> Outcome
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

Lane = Literal["events", "errors", "ai"]
"""The queues of a client. Errors have their own, so that a flood of ordinary events never pushes an exception out."""

BeforeSend = "Callable[[dict[str, Any]], dict[str, Any] | None]"


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
