"""psycopg 3: a step for each statement. Wraps `execute` and `executemany` of both cursors; psycopg has no hook for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._outbound import replace
from ._sql import start

if TYPE_CHECKING:
    from collections.abc import Callable


def install() -> Callable[[], None]:
    """Note every statement of every connection. Returns the undo."""
    import psycopg

    undos = [
        replace(cursor, name, make)
        for cursor, make in ((psycopg.Cursor, _wrap), (psycopg.AsyncCursor, _wrap_async))
        for name in ("execute", "executemany")
    ]

    def undo() -> None:
        for one in undos:
            one()

    return undo


install_auto = install


def _text(statement: Any) -> Any:
    """The statement's text; a composed one (`psycopg.sql`) is told by its parts' kind, since rendering it needs a connection."""
    if isinstance(statement, bytes):
        return statement.decode("utf-8", "replace")
    return statement if isinstance(statement, str) else f"<{type(statement).__name__}>"


def _wrap(execute: Any) -> Any:
    def wrapper(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        noted = start("postgresql", _text(query))
        if noted is None:
            return execute(self, query, *args, **kwargs)
        try:
            result = execute(self, query, *args, **kwargs)
        except BaseException as error:
            noted.end(error)
            raise
        noted.end()
        return result

    return wrapper


def _wrap_async(execute: Any) -> Any:
    async def wrapper(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        noted = start("postgresql", _text(query))
        if noted is None:
            return await execute(self, query, *args, **kwargs)
        try:
            result = await execute(self, query, *args, **kwargs)
        except BaseException as error:
            noted.end(error)
            raise
        noted.end()
        return result

    return wrapper
