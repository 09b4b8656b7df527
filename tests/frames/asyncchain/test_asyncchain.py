"""A failing child task must tell who waits for it: the traceback alone ends where the child began."""

from __future__ import annotations

import asyncio
import functools
import gc
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from phtrack.frames.asyncchain import MAX_TASKS, awaiting_chain, task_name
from phtrack.frames.statement import statement_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Seen = list[tuple[str, list[str]]]


def chain() -> Seen:
    """(task, functions it is suspended in) of the chain above the running task."""
    return [(waiting.task, [site.code.co_name for site in waiting.sites]) for waiting in awaiting_chain()]


async def child(seen: Seen) -> None:
    await asyncio.sleep(0)
    seen.extend(chain())


async def by_await(seen: Seen) -> None:
    await asyncio.create_task(child(seen))


async def by_gather(seen: Seen) -> None:
    await asyncio.gather(asyncio.sleep(0.001), child(seen))


async def by_wait(seen: Seen) -> None:
    await asyncio.wait([asyncio.create_task(child(seen))])


async def by_wait_for(seen: Seen) -> None:
    await asyncio.wait_for(asyncio.create_task(child(seen)), 60)


async def by_shield(seen: Seen) -> None:
    await asyncio.shield(child(seen))


async def by_as_completed(seen: Seen) -> None:
    for one in asyncio.as_completed([child(seen)]):
        await one


async def by_task_group(seen: Seen) -> None:
    async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined]
        group.create_task(child(seen))


WAYS: list[Callable[[Seen], Coroutine[Any, Any, None]]] = [
    by_await, by_gather, by_wait, by_wait_for, by_shield, by_as_completed,
    *([by_task_group] if sys.version_info >= (3, 11) else []),
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_parent_is_known(way: Callable[[Seen], Coroutine[Any, Any, None]]) -> None:
    """However the child is awaited, the task that waits and its own functions are found, outermost first."""

    async def outer(seen: Seen) -> None:
        await way(seen)

    async def main() -> Seen:
        seen: Seen = []
        await asyncio.create_task(outer(seen), name="parent")
        return seen

    (parent, functions), (_, last) = asyncio.run(main())
    assert parent == "parent"
    assert functions[:2] == ["outer", way.__name__]
    assert last == ["main"]


def test_the_site_of_a_waiting_task_is_its_await() -> None:
    """A suspended coroutine rests at the await, and its statement can be shown as any other."""
    texts: list[str | None] = []

    async def leaf() -> None:
        (waiting,) = awaiting_chain()
        found = statement_of(waiting.sites[0])
        texts.append(found and found.text)

    async def main() -> None:
        await asyncio.gather(
            leaf(),
        )

    asyncio.run(main())
    assert texts == ["await asyncio.gather(\n    leaf(),\n)"]


def test_generations_of_tasks_and_the_bound() -> None:
    """Nearest first, `MAX_TASKS` at most."""

    async def nested(depth: int) -> Seen:
        if depth == 0:
            return chain()
        (result,) = await asyncio.gather(asyncio.create_task(nested(depth - 1), name=f"level {depth - 1}"))
        return result

    found = asyncio.run(nested(MAX_TASKS + 5))
    assert [name for name, _ in found] == [f"level {depth}" for depth in range(1, MAX_TASKS + 1)]


def test_task_names() -> None:
    """Inside of a task its name, outside of tasks and loops None."""
    names = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: names.append(task_name()))
        names.append(await asyncio.create_task(named(), name="checkout 7"))
        await asyncio.sleep(0)

    async def named() -> str | None:
        return task_name()

    asyncio.run(main())
    assert names == [None, "checkout 7"]
    assert task_name() is None
    assert awaiting_chain() == []


def test_foreign_callbacks_and_odd_arguments_end_the_chain() -> None:
    """Callbacks of the application are not looked into, whatever their closures hold."""

    class Trap:
        def __getattr__(self, name: str) -> Any:
            raise SystemExit(name)

        def __call__(self, future: Any) -> None: ...

    async def main() -> Seen:
        task = asyncio.current_task()
        assert task is not None
        other = asyncio.get_running_loop().create_future()

        def own(_: Any) -> Any:
            return other

        callbacks = [own, functools.partial(own, other), Trap().__call__]
        for callback in callbacks:
            task.add_done_callback(callback)
        found = chain()
        for callback in callbacks:
            task.remove_done_callback(callback)
        return found

    assert asyncio.run(main()) == []
    for odd in (7, "task", object(), Trap):
        assert awaiting_chain(odd) == []


def test_nothing_is_kept_alive() -> None:
    """After the call no frame, coroutine or task is held."""

    class Local:
        pass

    references = []

    async def leaf() -> None:
        awaiting_chain()

    async def main() -> None:
        local = Local()
        references.append(weakref.ref(local))
        await asyncio.gather(leaf())

    asyncio.run(main())
    gc.collect()
    assert [reference() for reference in references] == [None]


def test_asyncio_is_never_imported_by_looking() -> None:
    """A program without asyncio stays one."""
    program = "import sys; from phtrack.frames.asyncchain import *; task_name(), awaiting_chain(); print('asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
