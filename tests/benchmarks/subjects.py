"""
The SDKs behind one small face. Each has its defaults; what a scenario changes, it names.

Only the chosen one is imported, in the process that measures it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Subject(Protocol):
    """An SDK that is set up to send to the sink."""

    chunk: int
    """How many events may wait before they are flushed, so that none is lost to a full queue."""

    def capture(self, properties: Mapping[str, Any]) -> None:
        """Record an ordinary event."""
        ...

    def exception(self, error: BaseException) -> None:
        """Report *error*, on the calling thread."""
        ...

    def flush(self) -> None:
        """Return when everything has been delivered."""
        ...


class Phtrack:
    """phtrack, values on unless told otherwise."""

    chunk = 5_000

    def __init__(
        self, sink: str, *, values: bool = True, throttle: bool = False, root: str | None = None, **more: Any
    ) -> None:
        import phtrack

        self._client = phtrack.Posthog(
            "k",
            host=sink,
            capture_exception_code_variables=values,
            exception_throttle=throttle,
            project_root=root,
            **more,
        )

    def capture(self, properties: Mapping[str, Any]) -> None:
        """An event with an explicit id."""
        self._client.capture("benchmark", distinct_id="u1", properties=properties)

    def exception(self, error: BaseException) -> None:
        """By the public call."""
        self._client.capture_exception(error, distinct_id="u1")

    def flush(self) -> None:
        """Up to a minute."""
        self._client.flush(timeout_seconds=60)


class Posthog:
    """The `posthog` package."""

    chunk = 5_000

    def __init__(
        self, sink: str, *, values: bool = True, throttle: bool = False, root: str | None = None, **more: Any
    ) -> None:
        import posthog

        # It has no throttle. `project_root` decides which frames are the application's, as in phtrack.
        if root is not None:
            more["project_root"] = root
        self._client = posthog.Posthog("k", host=sink, capture_exception_code_variables=values, **more)

    def capture(self, properties: Mapping[str, Any]) -> None:
        """An event with an explicit id."""
        self._client.capture("benchmark", distinct_id="u1", properties=dict(properties))

    def exception(self, error: BaseException) -> None:
        """By the public call."""
        self._client.capture_exception(error, distinct_id="u1")

    def flush(self) -> None:
        """Up to a minute."""
        self._client.flush(timeout_seconds=60)


class Sentry:
    """sentry-sdk; its ordinary event is a message with the properties as extra data."""

    chunk = 50  # its queue holds 100 and drops what doesn't fit

    def __init__(
        self, sink: str, *, values: bool = True, throttle: bool = False, root: str | None = None, **more: Any
    ) -> None:
        import sentry_sdk

        self._sdk = sentry_sdk
        if root is not None:
            more["project_root"] = root
        address = sink.replace("http://", "http://k@")
        sentry_sdk.init(dsn=f"{address}/1", include_local_variables=values, **more)

    def capture(self, properties: Mapping[str, Any]) -> None:
        """A message."""
        with self._sdk.new_scope() as scope:
            scope.set_context("benchmark", dict(properties))
            self._sdk.capture_message("benchmark")

    def exception(self, error: BaseException) -> None:
        """By the public call."""
        self._sdk.capture_exception(error)

    def flush(self) -> None:
        """Up to a minute."""
        self._sdk.flush(timeout=60)


SUBJECTS: dict[str, type[Any]] = {"phtrack": Phtrack, "posthog": Posthog, "sentry": Sentry}


def make(name: str, sink: str, **options: Any) -> Subject:
    """The subject of that name, set up."""
    subject: Subject = SUBJECTS[name](sink, **options)
    return subject
