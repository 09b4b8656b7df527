"""
What delivery failures are called: the names that code written for the `posthog` package imports from `posthog.request`.

Only error classes and the host rule live here; nothing is sent.
"""

from __future__ import annotations

from phtrack.options import DEFAULT_HOST, normalize_host

__all__ = ["DEFAULT_HOST", "APIError", "QuotaLimitError", "normalize_host"]


class APIError(Exception):
    """
    The server answered, and the answer is no; or there was no answer after the last attempt.

    Attributes:
        status: The HTTP status, or None when no answer came.
        message: What the server or the network said, for people.
        retry_after: Seconds the server asked to wait, or None.
    """

    def __init__(self, status: int | str | None, message: str, retry_after: float | None = None) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        where = "no answer" if self.status is None else f"status {self.status}"
        return f"[PostHog] {self.message} ({where})"


class QuotaLimitError(APIError):
    """The project's quota for this product is used up; asking again will not help before it is raised."""
