"""Django's requests: what holds for every framework, with WSGI and ASGI, with the middleware in the settings and without."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished
from phtrack.integrations import django as integration

from ..behaviours import (
    Code,
    Departures,
    Middlewares,
    Requests,
    Streams,
    Teardowns,
    Watched,
    fetch,
    serve_asgi,
    serve_wsgi,
)
from .project import MIDDLEWARE, AppMiddleware, ProjectApp, async_urls, urls

_path: ContextVar[str] = ContextVar("path")


@contextmanager
def teardown() -> Iterator[None]:
    """Django's own "the request is over", which doesn't say which one: whoever calls the handler sets `_path`."""

    def finished(sender: Any, **_: Any) -> None:
        AppMiddleware.code.teardown(_path.get())

    request_finished.connect(finished)
    try:
        yield
    finally:
        request_finished.disconnect(finished)


class _Django(Requests, Streams, Middlewares, Teardowns, Departures):
    source = "django.middleware"
    routes = {"/boom": "boom", "/items/7": "items/<int:number>", "/stream-boom": "stream-boom"}
    middleware = (*MIDDLEWARE, f"{AppMiddleware.__module__}.AppMiddleware")

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        return integration.install(**options)

    def install_auto(self) -> Callable[[], None] | None:
        return integration.install_auto()


class TestWsgi(_Django):
    """`WSGIHandler` in a server with a thread per request."""

    def build(self, code: Code) -> Any:
        AppMiddleware.code = code
        return ProjectApp(urls(code), WSGIHandler, MIDDLEWARE=self.middleware)

    @contextmanager
    def _run(self, app: ProjectApp) -> Iterator[str]:
        with app.made() as handler, teardown():

            def called(environ: Any, start_response: Any) -> Any:
                _path.set(environ["PATH_INFO"])
                return handler(environ, start_response)

            with serve_wsgi(called) as base:
                yield base

    def run(self, app: Any) -> AbstractContextManager[str]:
        return self._run(app)


class TestAsgi(_Django):
    """`ASGIHandler` in uvicorn, with asynchronous views."""

    middleware = (*MIDDLEWARE, f"{__name__}.AsyncMiddleware")

    def build(self, code: Code) -> Any:
        AppMiddleware.code = code
        return ProjectApp(async_urls(code), ASGIHandler, MIDDLEWARE=self.middleware)

    @contextmanager
    def _run(self, app: ProjectApp) -> Iterator[str]:
        # Before 6.1 Django leaves the file of a request's body open when the response fails while it is sent.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=ResourceWarning, message=".*SpooledTemporaryFile")
            with app.made() as handler, teardown():

                async def called(scope: Any, receive: Any, send: Any) -> None:
                    _path.set(scope["path"])
                    await handler(scope, receive, send)

                with serve_asgi(called, lifespan="off") as base:
                    yield base
            gc.collect()

    def run(self, app: Any) -> AbstractContextManager[str]:
        return self._run(app)

    def test_a_cancelled_view_is_no_error(self, watched: Watched) -> None:
        """Whoever cancels it knows why."""
        with self.serving(watched) as base:
            assert fetch(base, "/cancelled").status in (0, 500)
        assert watched.exceptions() == []


class AsyncMiddleware(AppMiddleware):
    """The application's middleware for asynchronous handlers."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        from asgiref.sync import markcoroutinefunction

        super().__init__(get_response)
        markcoroutinefunction(self)

    async def __call__(self, request: Any) -> Any:
        self.code.middleware(request.path)
        return await self.get_response(request)
