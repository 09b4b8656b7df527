"""Who awaits whom (being written by its owner)."""

from __future__ import annotations

import sys


def task_name() -> str | None:
    """The current asyncio task's name, or None."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return None if task is None else task.get_name()
