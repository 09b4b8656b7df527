"""
The inbox as an ASGI application: what SDKs talk to, what people look at, behind the guard.
"""

from __future__ import annotations

import sqlite3
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from phtrack.inbox import flag_routes, ingest, pages
from phtrack.inbox.security import Guard

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable

    from phtrack.inbox.store import Store


def create_app(
    store: Store,
    *,
    host: str = "127.0.0.1",
    flags: str | os.PathLike[str] | None = None,
    on_start: Callable[[], Any] | None = None,
) -> Starlette:
    """
    Put the inbox over *store*. The caller closes the store.

    Args:
        host: The address it listens on, which a `Host` header may name.
        flags: A file of feature flags; without one there are none.
        on_start: Called once, when the application is about to answer.

    Raises:
        OSError, ValueError: The file of flags can't be read, or says something impossible.
    """

    @asynccontextmanager
    async def starting(app: Starlette) -> AsyncIterator[None]:
        if on_start is not None:
            on_start()
        yield

    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]] = starting
    return Starlette(
        routes=[
            *ingest.routes(store),
            *flag_routes.routes(flags),
            *pages.routes(store),
            Mount("/static", StaticFiles(packages=[("phtrack.inbox", "static")]), name="static"),
        ],
        middleware=[Middleware(Guard, host=host)],
        exception_handlers={HTTPException: pages.not_found, sqlite3.Error: pages.unreadable},
        lifespan=lifespan,
    )
