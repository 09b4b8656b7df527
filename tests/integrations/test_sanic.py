"""Sanic in its own server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from phtrack.integrations import sanic as integration
from sanic import Request, Sanic, json, raw, text
from sanic.exceptions import NotFound, SanicException
from websockets.sync.client import connect

from .behaviours import (
    HANG,
    Bodies,
    Code,
    Degraded,
    Handled,
    Middlewares,
    Requests,
    Streams,
    Watched,
    described,
    fetch,
)

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _many_apps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sanic cuts from its own code, when the first application starts, what that has no use for; not in test mode."""
    monkeypatch.setattr(Sanic, "test_mode", True)
    levels = {name: logging.getLogger(name).level for name in ("sanic.root", "sanic.error", "sanic.server")}
    for name in levels:
        logging.getLogger(name).setLevel("CRITICAL")
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    Sanic._app_registry.clear()


def application(code: Code) -> Any:
    app: Any = Sanic(f"shop{next(_numbers)}", configure_logging=False)

    @app.on_request
    async def gate(request: Request) -> None:
        code.middleware(request.path)

    @app.get("/ok")
    async def ok(request: Request) -> Any:
        return text(code.ok())

    @app.head("/ok")
    async def head(request: Request) -> Any:
        return text(code.ok())

    @app.get("/boom")
    def boom(request: Request) -> Any:
        return code.boom()

    @app.get("/items/<number:int>")
    async def item(request: Request, number: int) -> Any:
        return code.boom(number)

    @app.get("/handled")
    async def handled(request: Request) -> Any:
        return code.handled()

    @app.get("/degraded")
    async def degraded(request: Request) -> Any:
        return code.degraded()

    @app.get("/missing")
    async def missing(request: Request) -> Any:
        raise NotFound("no such order")

    @app.get("/failing")
    async def failing(request: Request) -> Any:
        raise SanicException("the shop is down", status_code=502)

    @app.get("/whoami")
    async def whoami(request: Request) -> Any:
        return json(code.whoami())

    @app.get("/identify")
    async def identify(request: Request) -> Any:
        return code.identify()

    @app.get("/meet/<number:int>")
    async def meet(request: Request, number: int) -> Any:
        return json(await code.ameet(number))

    @app.post("/echo")
    async def echo(request: Request) -> Any:
        return raw(request.body)

    @app.post("/post-boom")
    async def post_boom(request: Request) -> Any:
        return code.boom()

    @app.get("/stream-boom")
    async def stream(request: Request) -> Any:
        response = await request.respond(content_type="text/plain")
        async for chunk in code.achunks():
            await response.send(chunk)

    @app.websocket("/rooms/<room>")
    async def talk(request: Request, ws: Any, room: str) -> None:
        word = await ws.recv()
        await ws.send(str(code.whoami()))
        if word == "boom":
            code.boom(room)
        await ws.recv()

    @app.exception(Handled)
    async def conflict(request: Request, error: Exception) -> Any:
        return text("conflict", 409)

    @app.exception(Degraded)
    async def unavailable(request: Request, error: Exception) -> Any:
        return text("later", 503)

    return app


@contextmanager
def serve(app: Any) -> Iterator[str]:
    """*app* in Sanic's own server, in a loop of its own thread."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        server = await app.create_server(sock=listener, return_asyncio_server=True, access_log=False)
        await server.startup()
        await server.before_start()
        await server.after_start()
        started.set()
        await stop.wait()
        await server.before_stop()
        server.close()
        for connection in list(server.connections):
            connection.close_if_idle() or connection.close(timeout=0)
        deadline = loop.time() + 5
        while server.connections and loop.time() < deadline:
            await asyncio.sleep(0.01)
        await server.after_stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    try:
        assert started.wait(HANG), "Sanic did not start"
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(HANG)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        listener.close()
        assert not thread.is_alive(), "Sanic did not stop"


class TestSanic(Requests, Bodies, Streams, Middlewares):
    """All behaviours."""

    source = "sanic.http_lifecycle_exception"
    reads_bodies_itself = True
    routes = {"/boom": "/boom", "/items/7": "/items/<number:int>", "/stream-boom": "/stream-boom"}

    def build(self, code: Code) -> Any:
        return application(code)

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        return integration.install(app, **options)

    def install_auto(self) -> Callable[[], None] | None:
        return integration.install_auto()

    def run(self, app: Any) -> AbstractContextManager[str]:
        return serve(app)

    def test_a_server_error_of_the_frameworks_own_kind(self, watched: Watched) -> None:
        """`raise SanicException(status_code=502)` is a server error as any other."""
        with self.serving(watched) as base:
            assert fetch(base, "/failing").status == 502
        about = described(watched.the_exception())
        assert (about["type"], about["status"], about["handled"]) == ("SanicException", 502, False)

    def test_requests_on_one_connection_never_mix(self, watched: Watched) -> None:
        """Requests that follow each other on a connection share nothing, although they run in one task."""
        import http.client

        with self.serving(watched) as base:
            connection = http.client.HTTPConnection(base.removeprefix("http://"), timeout=HANG)
            connection.request("GET", "/identify", headers={"X-POSTHOG-DISTINCT-ID": "user-1"})
            connection.getresponse().read()
            connection.request("GET", "/whoami")
            seen = connection.getresponse().read().decode()
            connection.close()
        assert "user-1" not in seen
        assert "found-in-handler" not in seen
        assert "pro" not in seen

    def test_websockets(self, watched: Watched) -> None:
        """A websocket's unhandled error is one event, in the request's context; a client that leaves is none."""
        for word in ("boom", "hello"):
            with (
                self.serving(watched) as base,
                connect(
                    base.replace("http", "ws") + "/rooms/42", additional_headers={"X-POSTHOG-DISTINCT-ID": "user-1"}
                ) as client,
            ):
                client.send(word)
                assert "'user-1'" in str(client.recv())
                if word == "boom":
                    with contextlib.suppress(Exception):
                        client.recv()
        event = watched.the_exception()
        expected = self.unhandled(
            "", source="sanic.websocket_handler_exception", route="/rooms/<room:str>", status=None
        )
        assert described(event) == expected
        assert event["distinct_id"] == "user-1"
