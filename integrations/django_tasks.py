"""
Django's own background tasks (6.0 and later): one event for a task that failed.

    install() -> undo, install_auto() -> undo

Django says so itself, by its `task_finished` signal, while the error is at hand; with `ImmediateBackend` and the backends that
follow it. A backend that sends the signal later has no error to show, only text, and is left to its own integration.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.tasks.signals import task_finished

import phtrack
from phtrack import _guard

from . import _http
from ._http import HttpOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack import Client

SOURCE = "django.tasks"
_UID = "phtrack"
_installed: list[Callable[[], None]] = []


def install(*, client: Client | None = None) -> Callable[[], None]:
    """
    Report failed tasks to *client*, default the default client, and return a function that stops it.

    Installing again changes nothing and returns the same function.
    """
    if _installed:
        return _installed[0]
    options = HttpOptions(client=client)

    def finished(sender: Any, task_result: Any = None, **_: Any) -> None:
        with _guard.shield("capturing a failed Django task"):
            error = sys.exc_info()[1]
            if not isinstance(error, Exception) or getattr(task_result.status, "name", None) != "FAILED":
                return
            with phtrack.new_context(capture_exceptions=False):
                task = task_result.task
                _http.tell({"task": task.module_path, "task_id": task_result.id, "queue": task.queue_name})
                _http.capture(error, options, source=SOURCE, mechanism="task")

    def undo() -> None:
        task_finished.disconnect(dispatch_uid=_UID)
        _installed.clear()

    task_finished.connect(finished, dispatch_uid=_UID, weak=False)
    _installed.append(undo)
    return undo


def install_auto() -> Callable[[], None]:
    """The same for the default client."""
    return install()
