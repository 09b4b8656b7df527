"""
Who awaits whom: the asyncio task an exception happened in, and the tasks that wait for it.

    a task -> its name; the tasks waiting for it, nearest first, each with the stack of coroutines it is suspended in

A traceback ends where its task began. Which call started the `gather` or the `TaskGroup` is known only to the loop's
bookkeeping: a waiting task stands in the callbacks of what it waits for. Python tells this about `await task`,
`gather`, `wait`, `wait_for` (before 3.12, where it awaits in place anyway), `shield`, `as_completed` and `TaskGroup`;
where somebody else's callbacks are in between, the chain ends there. Other frameworks (trio, curio) aren't looked at.

asyncio is never imported here, no code of the application runs, and no frame is kept.
"""

from __future__ import annotations

import sys
from types import AsyncGeneratorType, CoroutineType, FunctionType, GeneratorType, MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

from phtrack.frames.site import Site, site_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TASKS = 10
MAX_FRAMES = 50
"""Coroutines looked at per task."""
MAX_STEPS = 100
"""Futures and callbacks looked at in all; a task that thousands wait for costs no more."""

_INNER = {CoroutineType: "cr", GeneratorType: "gi", AsyncGeneratorType: "ag"}
_AWAITED = {CoroutineType: "cr_await", GeneratorType: "gi_yieldfrom", AsyncGeneratorType: "ag_await"}


class Waiting(NamedTuple):
    """A task that waits. Plain data."""

    task: str
    """Its name."""
    sites: list[Site]
    """Where it is suspended, the outermost coroutine first."""


def task_name() -> str | None:
    """The name of the asyncio task that runs now; None outside of one. Never raises."""
    try:
        task = _current_task()
        return None if task is None else _name_of(task)
    except Exception:  # a loop of somebody else's that isn't what it claims to be
        return None


def awaiting_chain(task: Any = None) -> list[Waiting]:
    """
    The tasks that wait for *task* (by default the current one), the nearest first.

    Empty outside of asyncio and where nothing is known. Where several wait for one, the first is followed. Costs some
    microseconds per task on the thread of the loop; call it there, since other threads see a loop in motion.
    Never raises.
    """
    found: list[Waiting] = []
    try:
        current = _current_task() if task is None else task
        if current is None or not issubclass(type(current), _asyncio("Future")):
            return found
        seen = {id(current)}
        while len(found) < MAX_TASKS:
            current = next((one for one in _waiting_for(current) if id(one) not in seen), None)
            if current is None:
                break
            seen.add(id(current))
            found.append(Waiting(_name_of(current), _suspended_in(_coroutine_of(current))))
    except Exception:  # bookkeeping of another asyncio than those we know
        return found
    return found


def _asyncio(name: str) -> Any:
    return getattr(sys.modules.get("asyncio"), name)


def _current_task() -> Any:
    asyncio = sys.modules.get("asyncio")
    running = getattr(asyncio, "_get_running_loop", None)
    if running is None or running() is None:
        return None
    return asyncio.current_task()  # type: ignore[union-attr]


def _name_of(task: Any) -> str:
    name = _asyncio("Task").get_name(task) if issubclass(type(task), _asyncio("Task")) else task.get_name()
    return name if type(name) is str else "<unknown>"


def _coroutine_of(task: Any) -> Any:
    return _asyncio("Task").get_coro(task) if issubclass(type(task), _asyncio("Task")) else task.get_coro()


def _waiting_for(task: Any) -> Iterator[Any]:
    """Tasks that continue when *task* is done, through the futures that `gather` and its like put in between."""
    task_type = _asyncio("Task")
    queue, seen = [task], {id(task)}
    for _ in range(MAX_STEPS):
        if not queue:
            return
        for callback, _context in (queue.pop(0)._callbacks or ())[:MAX_STEPS]:
            for target in _targets_of(callback):
                if id(target) in seen:
                    continue
                seen.add(id(target))
                if issubclass(type(target), task_type):
                    yield target
                else:
                    queue.append(target)


def _targets_of(callback: Any) -> Iterator[Any]:
    """Tasks and futures that *callback*, one of asyncio's own, wakes up."""
    future = _asyncio("Future")
    held: tuple[Any, ...] = ()
    kind = type(callback)
    if kind is FunctionType:
        if _is_asyncios(callback):
            held = tuple(_contents(callback))
    elif kind is MethodType:
        if _is_asyncios(callback.__func__):
            owner = callback.__self__
            held = (owner, getattr(owner, "_parent_task", None), getattr(owner, "_done", None))
    elif kind.__module__ == "functools" and kind.__name__ == "partial":
        if _is_asyncios(callback.func):
            held = callback.args
    else:
        held = (getattr(callback, "__self__", None),)  # the C task's own method that wakes it up
    for one in held:
        if issubclass(type(one), future):
            yield one
        elif type(one).__module__ == "asyncio.queues":
            yield from (getter for getter in list(one._getters)[:MAX_STEPS] if issubclass(type(getter), future))


def _is_asyncios(function: Any) -> bool:
    if type(function) is not FunctionType:
        return False
    module = function.__module__
    return type(module) is str and (module == "asyncio" or module.startswith("asyncio."))


def _contents(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # still empty
            continue


def _suspended_in(coroutine: Any) -> list[Site]:
    """The frames from *coroutine* down to the await it rests at; foreign awaitables end the walk."""
    sites = []
    for _ in range(MAX_FRAMES):
        kind = type(coroutine)
        prefix = _INNER.get(kind)
        if prefix is None:
            break
        frame = getattr(coroutine, f"{prefix}_frame")
        if frame is None:
            break
        sites.append(site_of(frame, frame.f_lasti, frame.f_lineno))
        coroutine = getattr(coroutine, _AWAITED[kind])
    return sites
