"""SQLAlchemy: a step for each statement of every engine, through its own events; patches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._sql import start

if TYPE_CHECKING:
    from collections.abc import Callable

_undo: Callable[[], None] | None = None


def install() -> Callable[[], None]:
    """Note every statement of every engine, those made earlier included. Returns the undo."""
    global _undo
    if _undo is not None:
        return _undo
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    listeners: dict[str, Any] = {
        "before_cursor_execute": _before,
        "after_cursor_execute": _after,
        "handle_error": _failed,
    }
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)

    def undo() -> None:
        global _undo
        if _undo is None:
            return
        _undo = None
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)

    _undo = undo
    return undo


install_auto = install


def _before(conn: Any, cursor: Any, statement: Any, parameters: Any, context: Any, executemany: bool) -> None:
    if context is not None:
        context._phtrack_query = start(conn.dialect.name, statement, above_driver=True)


def _after(conn: Any, cursor: Any, statement: Any, parameters: Any, context: Any, executemany: bool) -> None:
    _end(context, None)


def _failed(about: Any) -> None:
    _end(about.execution_context, about.original_exception)


def _end(context: Any, error: BaseException | None) -> None:
    query = getattr(context, "_phtrack_query", None)
    if query is not None:
        context._phtrack_query = None
        query.end(error)
