"""
Django's database connections: each statement is a step, its text without literals, and how long it took.

    install() -> undo, install_auto() -> undo

A connection gets its wrapper from Django's own signal when it is made (`execute_wrappers`, the list behind
`connection.execute_wrapper`). Parameters are never looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connections
from django.db.backends.signals import connection_created

from phtrack import _guard

from . import _sql

if TYPE_CHECKING:
    from collections.abc import Callable

_UID = "phtrack"
_installed: list[Callable[[], None]] = []


def install() -> Callable[[], None]:
    """Note statements of all connections, and return a function that stops it. Installing again returns the same function."""
    if _installed:
        return _installed[0]

    def undo() -> None:
        connection_created.disconnect(dispatch_uid=_UID)
        for connection in _open():
            if _noted in connection.execute_wrappers:
                connection.execute_wrappers.remove(_noted)
        _installed.clear()

    _installed.append(undo)
    connection_created.connect(_made, dispatch_uid=_UID, weak=False)
    for connection in _open():
        _wrap(connection)
    return undo


def install_auto() -> Callable[[], None]:
    """The same."""
    return install()


def _open() -> list[Any]:
    """This thread's connections that are in use; looking makes none."""
    if not settings.configured or "settings" not in vars(connections):
        return []  # nobody has asked for one yet
    with _guard.shield("looking at Django's connections"):
        return list(connections.all(initialized_only=True))
    return []


def _made(connection: Any = None, **_: Any) -> None:
    with _guard.shield("wrapping a Django connection"):
        _wrap(connection)


def _wrap(connection: Any) -> None:
    if _noted not in connection.execute_wrappers:
        connection.execute_wrappers.append(_noted)


def _noted(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    """Execute the statement, and note it."""
    __tracebackhide__ = True
    query = _sql.start(context["connection"].vendor, sql) if _installed else None
    if query is None:
        return execute(sql, params, many, context)
    try:
        # What the driver does below is the same statement; an integration of its own need not tell it again.
        with _guard.quiet():
            result = execute(sql, params, many, context)
    except BaseException as error:
        query.end(error)
        raise
    query.end()
    return result
