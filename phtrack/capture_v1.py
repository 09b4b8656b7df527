"""The error that protocol v1 hands to `on_error`: an `APIError` that also knows which events it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phtrack.request import APIError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CaptureV1Error"]


class CaptureV1Error(APIError):
    """
    A request of protocol v1 failed, or the server gave up some of its events.

    Attributes:
        status, message, retry_after: As in `APIError`.
        request_id: The `PostHog-Request-Id` that all attempts shared.
        attempts: How many requests were made.
        retry_exhausted: Uuids of events the server asked to send again, once too often.
        drops: ``(uuid, details)`` of events the server accepted and gave up.
    """

    def __init__(
        self,
        status: int | str | None,
        message: str,
        retry_after: float | None = None,
        *,
        request_id: str | None = None,
        attempts: int = 1,
        retry_exhausted: Sequence[str] = (),
        drops: Sequence[tuple[str, str | None]] = (),
    ) -> None:
        super().__init__(status, message, retry_after)
        self.request_id = request_id
        self.attempts = attempts
        self.retry_exhausted = list(retry_exhausted)
        self.drops = list(drops)
