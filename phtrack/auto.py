"""
Which integrations are on, and turning them on by themselves.

    enable("auto") -> for each integration: waits for its framework's import, then installs it

An integration lives in `phtrack.integrations.<name>` and is reached by name, so that nothing here imports one, and no
framework is ever imported for the application. It offers ``install_auto() -> undo``. `status` is what `phtrack doctor` prints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phtrack import _guard
from phtrack._imports import when_imported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TRIGGERS: dict[str, str] = {
    "aiohttp": "aiohttp.web",
    "aiohttp_client": "aiohttp",
    "bottle": "bottle",
    "channels": "channels.consumer",
    "django": "django.core.handlers.base",
    "django_commands": "django.core.management.base",
    "django_database": "django.db.backends.signals",
    "django_tasks": "django.tasks.signals",
    "drf": "rest_framework.views",
    "falcon": "falcon",
    "falcon_asgi": "falcon.asgi",
    "fastapi": "fastapi",
    "flask": "flask",
    "graphql": "graphql",
    "grpc": "grpc",
    "httpx": "httpx",
    "litestar": "litestar",
    "psycopg": "psycopg",
    "pyramid": "pyramid.router",
    "quart": "quart",
    "redis": "redis",
    "requests": "requests",
    "sanic": "sanic",
    "sqlalchemy": "sqlalchemy",
    "starlette": "starlette.applications",
    "tornado": "tornado.web",
    "urllib": "urllib.request",
}
"""Integration -> the module whose import turns it on."""

_state: dict[str, str] = {}
_undos: list[Callable[[], None]] = []


def enable(wanted: str | Sequence[str] = "auto") -> None:
    """
    Turn integrations on: now for frameworks that are loaded, later for the others.

    Args:
        wanted: ``"auto"`` for all there are, or their names.

    Raises:
        ValueError: a name that is no integration, with the names there are.
    """
    names = list(TRIGGERS) if wanted == "auto" else _checked(wanted)
    disable()
    for name in TRIGGERS:
        _state[name] = "waiting" if name in names else "off"
    for name in names:
        _undos.append(when_imported(TRIGGERS[name], _installer(name)))


def disable() -> None:
    """Turn all of them off again."""
    while _undos:
        with _guard.shield("turning an integration off"):
            _undos.pop()()
    _state.clear()


def status() -> Mapping[str, str]:
    """Integration -> ``off``, ``waiting`` (its framework is not imported), ``on``, or ``failed: <why>``."""
    return dict(_state)


def _checked(wanted: str | Sequence[str]) -> list[str]:
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        if name not in TRIGGERS:
            raise ValueError(f"integrations must be 'auto' or a list of {', '.join(sorted(TRIGGERS))}, got {name!r}")
    return names


def _installer(name: str) -> Callable[[Any], Callable[[], None] | None]:
    def install(_: Any) -> Callable[[], None] | None:
        from importlib import import_module

        try:
            undo: Callable[[], None] | None = import_module(f"phtrack.integrations.{name}").install_auto()
        except Exception as error:
            _state[name] = f"failed: {type(error).__name__}: {error}"
            raise
        _state[name] = "on"
        return undo

    return install
