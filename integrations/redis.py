"""redis: a step for each command, with the shape of its key and no value. Wraps `execute_command` and pipelines' `execute`."""

from __future__ import annotations

import re
from time import perf_counter
from typing import TYPE_CHECKING, Any

from phtrack import _guard
from phtrack.contexts import step

from ._outbound import replace

if TYPE_CHECKING:
    from collections.abc import Callable

_VARIABLE = re.compile(
    r"(?<![^\W\d_])(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{16,}|\d+)(?![^\W\d_])|[^\s:/|]+@[^\s:/|]+"
    r"|eyJ[\w-]+(?:\.[\w-]+)*"  # a JSON web token
    r"|(?=[a-zA-Z]*\d)(?=\d*[a-zA-Z])[a-zA-Z\d]{8,}"  # letters and digits mixed: random ids, Django's session keys
)
_SECRET = re.compile(r"(?i)(\b|_)(sessions?|sess|tokens?|jwt|otp|passwords?|secrets?|csrf)[:/|].+")
"""What stands behind such a word opens a door."""
_KEYLESS = frozenset(
    ("PING", "INFO", "AUTH", "HELLO", "EVAL", "EVALSHA", "SCRIPT", "CLIENT", "CONFIG", "ACL", "MULTI", "EXEC")
)
"""Commands whose first argument is no key; some of them carry a secret."""


def install() -> Callable[[], None]:
    """Note every command of every client, sync and async. Returns the undo."""
    import redis
    import redis.asyncio
    from redis.asyncio.client import Pipeline as AsyncPipeline
    from redis.client import Pipeline

    undos = [
        replace(redis.Redis, "execute_command", _wrap),
        replace(redis.asyncio.Redis, "execute_command", _wrap_async),
        replace(Pipeline, "execute", _wrap_pipeline),
        replace(AsyncPipeline, "execute", _wrap_async_pipeline),
    ]

    def undo() -> None:
        for one in undos:
            one()

    return undo


install_auto = install


def shape_of(args: tuple[Any, ...]) -> str:
    """The command's name and its key with what varies as `?`: `GET user:?:cart`."""
    if not args:
        return ""
    command = str(args[0]).upper()[:40]
    if len(args) < 2 or command.split()[0] in _KEYLESS:
        return command
    key = args[1].decode("utf-8", "replace") if isinstance(args[1], bytes) else args[1]
    if not isinstance(key, str):
        return command
    key = _SECRET.sub(lambda match: f"{match[1]}{match[2]}:?", key[:200])
    return f"{command} {_VARIABLE.sub('?', key)}"


class _Command:
    """What runs now; a context manager that notes it."""

    __slots__ = ("_shape", "_started")

    def __init__(self, shape: Callable[[], str]) -> None:
        self._shape = shape
        self._started = perf_counter()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, tb: Any) -> None:
        if _guard.is_quiet():
            return
        with _guard.shield("noting a Redis command"):
            about: dict[str, Any] = {"kind": "redis"}
            if error is not None:
                about["error"] = type(error).__name__
            step(self._shape(), ms=round((perf_counter() - self._started) * 1000, 1), **about)


def _wrap(execute: Any) -> Any:
    def wrapper(self: Any, *args: Any, **options: Any) -> Any:
        with _Command(lambda: shape_of(args)):
            return execute(self, *args, **options)

    return wrapper


def _wrap_async(execute: Any) -> Any:
    async def wrapper(self: Any, *args: Any, **options: Any) -> Any:
        with _Command(lambda: shape_of(args)):
            return await execute(self, *args, **options)

    return wrapper


def _pipeline_shape(pipeline: Any) -> str:
    shapes = [shape_of(tuple(command[0])) for command in list(pipeline.command_stack)[:20]]
    return f"pipeline of {len(pipeline.command_stack)}: " + ", ".join(dict.fromkeys(shapes))


def _wrap_pipeline(execute: Any) -> Any:
    def wrapper(self: Any, *args: Any, **options: Any) -> Any:
        shape = _safe(_pipeline_shape, self)
        with _Command(lambda: shape):
            return execute(self, *args, **options)

    return wrapper


def _wrap_async_pipeline(execute: Any) -> Any:
    async def wrapper(self: Any, *args: Any, **options: Any) -> Any:
        shape = _safe(_pipeline_shape, self)
        with _Command(lambda: shape):
            return await execute(self, *args, **options)

    return wrapper


def _safe(tell: Callable[[Any], str], pipeline: Any) -> str:
    try:
        return tell(pipeline)
    except Exception:
        return "pipeline"
