"""
What the place that caught an exception knows about it: level, kind of mechanism, handled or not, source.

The table is the wire contract's (exceptions.md §6). A caller's typed overrides are checked here, one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

LEVELS = {
    "fatal": "fatal", "critical": "fatal", "alert": "fatal", "emergency": "fatal",
    "error": "error",
    "warning": "warning", "warn": "warning",
    "notice": "info", "info": "info",
    "trace": "debug", "debug": "debug",
    "log": "log",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Boundary:
    """Metadata of one place where exceptions are caught. None: not known, and left out of the event."""

    level: str | None = "error"
    mechanism: str | None = "generic"
    handled: bool | None = True
    source: str | None = None
    """`$exception_source`, e.g. `django.middleware`; None for manual captures."""
    automatic: bool = False
    """True for hooks, which the autocapture rate limit applies to."""


MANUAL = Boundary()
SYS_HOOK = Boundary("fatal", "onuncaughtexception", False, "python.sys_excepthook", True)
THREAD_HOOK = Boundary("error", "onuncaughtexception", False, "python.threading_excepthook", True)
UNRAISABLE_HOOK = Boundary("error", "onuncaughtexception", False, "python.sys_unraisablehook", True)
ASYNCIO_HOOK = Boundary("error", "onunhandledrejection", False, "python.asyncio_exception_handler", True)
CHILD_PROCESS = Boundary("fatal", "onuncaughtexception", False, "python.multiprocessing", True)
CRASH = Boundary("fatal", "onuncaughtexception", False, "python.faulthandler", True)
LOGGING = Boundary("error", "logger", True, "python.logging")


def level_word(level: Any) -> str | None:
    """The wire's word for *level*: a name in any case, or a number of `logging`; None if it is neither."""
    if type(level) is str:
        return LEVELS.get(level.strip().lower())
    if type(level) is int:
        for least, word in ((50, "fatal"), (40, "error"), (30, "warning"), (20, "info")):
            if level >= least:
                return word
        return "debug"
    return None


def overridden(boundary: Boundary, about: dict[str, Any]) -> Boundary:
    """*boundary* with the valid ones of a caller's overrides, which are taken out of *about*. An invalid one is ignored."""
    changes: dict[str, Any] = {}
    level = level_word(about.pop("level", None))
    if level is not None:
        changes["level"] = level
    handled = about.pop("handled", None)
    if isinstance(handled, bool):
        changes["handled"] = handled
    for name, key in (("source", "source"), ("mechanism_type", "mechanism")):
        text = about.pop(name, None)
        if type(text) is str and text.strip():
            changes[key] = text.strip()[:200]
    return replace(boundary, **changes) if changes else boundary
