"""
An exception's event between its capture and its bytes.

    event (encoded) + snapshot + boundary -> PendingException in the queue -> seal() -> the event's JSON

While it waits it can be enriched by a later sighting of the same failure. `seal` renders it, on whatever thread needs the
bytes, scrubs it, fingerprints it and shrinks it to fit; then nothing of the snapshot is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phtrack import _guard, encode
from phtrack._locks import new_lock
from phtrack.seams import Envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack.errors.report import Report


PATIENCE = 0.02
"""Seconds an enrichment waits for another one; for a rendering it needn't."""


@dataclass(slots=True)
class Draft:
    """All that an exception's event will be made of; plain data."""

    event: bytes
    """The event without what `report` adds; its JSON ends with the `properties` object."""
    report: Report


class PendingException(Envelope):
    """The envelope of an exception, rendered when its bytes are asked for."""

    __slots__ = ("__weakref__", "_draft", "_finish", "_lock")

    def __init__(self, uuid: str, draft: Draft, finish: Callable[[Draft], bytes | None]) -> None:
        """
        Args:
            finish: Turns a draft into the event's bytes; None if it was given up, which it has counted.
        """
        self.uuid = uuid
        self.name = "$exception"
        self.body = None
        self._draft: Draft | None = draft
        self._finish = finish
        self._lock = new_lock()

    def seal(self) -> bytes | None:
        """The event's bytes. Rendered once; an internal failure gives up the event, not its neighbours."""
        with self._lock:
            draft = self._draft
            if draft is not None:
                self._draft = None
                try:
                    with _guard.quiet():
                        self.body = self._finish(draft)
                except Exception as error:
                    _guard.swallowed("rendering an exception", error)
            return self.body

    def enrich(self, change: Callable[[Draft], None]) -> bool:
        """Let *change* edit the draft; False if it is gone, sealed or being sealed just now."""
        # A sending thread seals for as long as rendering takes, which is too long for the application to stand still.
        if not self._lock.acquire(True, PATIENCE):
            return False
        try:
            if self._draft is None:
                return False
            change(self._draft)
            return True
        finally:
            self._lock.release()


def splice(event: bytes, extra: bytes) -> bytes:
    """*event* with the members of the JSON object *extra* added to its `properties`, which end it."""
    if extra == b"{}":
        return event
    head = event[:-2]
    return b"".join((head, b"" if head.endswith(b"{") else b",", memoryview(extra)[1:-1], b"}}"))


def without_large_properties(event: bytes) -> bytes:
    """*event* with a marker in place of each property of more than 10 KB."""
    decoded = encode.loads(event)
    properties = decoded.pop("properties")
    kept = {}
    for key, value in properties.items():
        size = len(encode.dumps(value))
        kept[key] = value if size <= 10_000 else f"<{size} bytes left out>"
    return encode.dumps({**decoded, "properties": kept})
