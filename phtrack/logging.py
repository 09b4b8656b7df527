"""
The logging handler: records become `$exception` events.

    logging.getLogger().addHandler(phtrack.PosthogLoggingHandler(level="ERROR"))

A record with `exc_info` is that exception, caught by a logger; one without is an event made from its message, with the
stack of the call. One record is one event however many loggers pass it on; phtrack's own records are never events.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from phtrack import _guard, context
from phtrack.errors.boundary import LOGGING, level_word
from phtrack.errors.steps import is_own_logger

if TYPE_CHECKING:
    from types import FrameType

    from phtrack.client import Client

_SEEN = "_phtrack_captured"
_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName", _SEEN}


class PosthogLoggingHandler(logging.Handler):
    """
    Captures records at or above its level.

    Args:
        level: As for any handler; default ERROR.
        client: Captures them; default the default client at the time of the record. Without one nothing happens.

    Extra attributes of a record (`extra={...}`) become properties; so do its logger, level and place.
    """

    def __init__(self, level: int | str = logging.ERROR, client: Client | None = None) -> None:
        super().__init__(level)
        self._client = client

    @staticmethod
    def ignore(record: logging.LogRecord) -> None:
        """Say of *record*, in a filter, that it tells what is captured otherwise, or no error: no event is made of it."""
        setattr(record, _SEEN, True)

    def emit(self, record: logging.LogRecord) -> None:
        """Capture *record*. Never raises."""
        if _guard.is_quiet() or is_own_logger(record.name) or getattr(record, _SEEN, False):
            return
        with _guard.shield("the logging handler"):
            client = self._client or context.default_client()
            if client is None or client.disabled or client.is_opted_out():
                return
            self.ignore(record)
            properties = _properties(record)
            about = {"properties": properties, "level": level_word(record.levelno)}
            error = record.exc_info[1] if type(record.exc_info) is tuple and len(record.exc_info) == 3 else None
            if error is not None:
                client.errors.capture(record.exc_info, about, boundary=LOGGING)
            else:
                kind = f"Logged{record.levelname.title()}"
                stack = _call_of(record)
                if stack is None:
                    properties["$log_call"] = f"{record.pathname}:{record.lineno}"
                client.errors.capture_message(_message(record), kind, about, boundary=LOGGING, stack=stack)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (
        Exception
    ):  # a format that doesn't fit its arguments is the application's mistake; what was meant still counts
        return str(record.msg)


def _call_of(record: logging.LogRecord) -> FrameType | None:
    """The frame that made *record*; None when it is handled elsewhere (a queue listener's thread)."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_lineno == record.lineno and frame.f_code.co_filename == record.pathname:
            return frame
        frame = frame.f_back
    return None


def _properties(record: logging.LogRecord) -> dict[str, Any]:
    about: dict[str, Any] = {
        "$logger": record.name,
        "$log_level": record.levelname,
    }
    if record.exc_info:
        about["$log_message"] = _message(record)
    for name, value in vars(record).items():
        if name not in _STANDARD and not name.startswith("_"):
            about.setdefault(name, value)
    return about
