"""Exceptions in tasks: the task's name, and who was waiting for it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from tests.errors.conftest import Recorder


async def fetch(recorder: Recorder) -> None:
    await asyncio.sleep(0)
    try:
        raise TimeoutError("slow")
    except TimeoutError as error:
        recorder.client.capture_exception(error)


def waiting(properties: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [
        (one["task"], [frame["function"] for frame in one["frames"]]) for one in properties["phtrack"]["awaited_by"]
    ]


def test_gather_tells_who_waits(recorder: Recorder) -> None:
    """The exception happened in a task of its own; the event says which call started it."""

    async def page() -> None:
        await asyncio.gather(fetch(recorder), asyncio.sleep(0.01))

    async def main() -> None:
        await asyncio.create_task(page(), name="page-1")

    asyncio.run(main())
    properties = recorder.one()
    assert properties["phtrack"]["task"].startswith("Task-")
    (first, *_) = waiting(properties)
    assert first == ("page-1", ["test_gather_tells_who_waits.<locals>.page"])
    line = properties["phtrack"]["awaited_by"][0]["frames"][0]["context_line"]
    assert line.strip() == "await asyncio.gather(fetch(recorder), asyncio.sleep(0.01))"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs Python 3.11")
def test_a_task_group_tells_who_waits(recorder: Recorder) -> None:
    """The same for a TaskGroup."""

    async def page() -> None:
        async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined]
            group.create_task(fetch(recorder), name="fetch-1")

    async def main() -> None:
        await asyncio.create_task(page(), name="page-2")

    asyncio.run(main())
    properties = recorder.one()
    assert properties["phtrack"]["task"] == "fetch-1"
    assert waiting(properties)[0][0] == "page-2"


def test_outside_of_tasks_nothing_is_said(recorder: Recorder) -> None:
    """No loop, no task."""
    try:
        raise ValueError
    except ValueError as error:
        about = recorder.capture(error)["phtrack"]
    assert "task" not in about and "awaited_by" not in about


def test_a_secret_in_a_tasks_name_is_hidden(recorder: Recorder) -> None:
    """Tasks are named after what they work on."""

    async def main() -> None:
        page = asyncio.create_task(fetch(recorder), name="get https://h/?token=hunter2-fetch")
        await asyncio.gather(page, asyncio.sleep(0.01))

    async def named() -> None:
        await asyncio.create_task(main(), name="sync redis://:hunter2-main@h:6379/0")

    asyncio.run(named())
    properties = recorder.one()
    assert "hunter2" not in str([properties["phtrack"]["task"], waiting(properties)])
    assert properties["phtrack"]["task"].startswith("get https://h/?token=")
    assert {"name:token", "url_credentials"} <= set(properties["phtrack"]["scrubbed"])
