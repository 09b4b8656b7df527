"""Litestar under uvicorn."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from litestar import Litestar, Request, Response, Router, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.connection import WebSocket
from litestar.exceptions import HTTPException, NotFoundException
from litestar.response import Stream
from phtrack.integrations import litestar as integration
from websockets.sync.client import connect

from .behaviours import (
    Backgrounds,
    Bodies,
    Boom,
    Code,
    Degraded,
    Departures,
    Handled,
    Middlewares,
    Requests,
    Streams,
    Teardowns,
    Watched,
    described,
    fetch,
    serve_asgi,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated inferred style")
"""Of ways to declare a path parameter, the one that all versions know is deprecated in the newest."""


def application(code: Code) -> Litestar:
    @get("/ok", media_type="text/plain")
    async def ok() -> str:
        return code.ok()

    @get("/boom", sync_to_thread=True)
    def boom() -> None:
        code.boom()

    @get("/items/{number:int}")
    async def item(number: int) -> None:
        code.boom(number)

    @get("/handled")
    async def handled() -> None:
        code.handled()

    @get("/degraded")
    async def degraded() -> None:
        code.degraded()

    @get("/missing")
    async def missing() -> None:
        raise NotFoundException("no such order")

    @get("/whoami", sync_to_thread=True)
    def whoami() -> dict[str, Any]:
        return code.whoami()

    @get("/identify", sync_to_thread=True)
    def identify() -> None:
        code.identify()

    @get("/meet/{number:int}")
    async def meet(number: int) -> dict[str, Any]:
        return await code.ameet(number)

    @post("/echo", status_code=200)
    async def echo(request: Request[Any, Any, Any]) -> Response[bytes]:
        return Response(await request.body(), media_type="application/octet-stream")

    @post("/post-boom")
    async def post_boom(request: Request[Any, Any, Any]) -> None:
        await request.body()
        code.boom()

    @get("/stream-boom")
    async def stream() -> Stream:
        return Stream(code.achunks())

    @get("/endless")
    async def endless() -> Stream:
        return Stream(code.aendless())

    @get("/background")
    async def background() -> Response[str]:
        return Response("started", background=BackgroundTask(code.abackground))

    @get("/teardown-boom")
    async def teardown() -> str:
        return "done"

    @get("/wrapped", sync_to_thread=True)
    def wrapped() -> None:
        try:
            code.boom("inside")
        except Boom as error:
            raise HTTPException("the shop is down", status_code=502) from error

    @websocket("/rooms/{room:str}")
    async def talk(socket: WebSocket[Any, Any, Any], room: str) -> None:
        await socket.accept()
        word = await socket.receive_text()
        await socket.send_json(code.whoami())
        if word == "boom":
            code.boom(room)
        await socket.receive_text()

    def gate(app: Any) -> Any:
        async def around(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                code.middleware(scope["path"])
            await app(scope, receive, send)
            if scope["type"] == "http":
                code.teardown(scope["path"])

        return around

    @get("/middleware-boom")
    async def behind_gate() -> None: ...

    def conflict(request: Any, error: Exception) -> Response[str]:
        return Response("conflict", status_code=409)

    def unavailable(request: Any, error: Exception) -> Response[str]:
        return Response("later", status_code=503)

    views = [
        ok,
        boom,
        item,
        handled,
        degraded,
        missing,
        whoami,
        identify,
        meet,
        echo,
        post_boom,
        stream,
        endless,
        background,
        teardown,
    ]
    return Litestar(
        [
            *views,
            wrapped,
            talk,
            behind_gate,
            Router("/shops/{shop:str}", route_handlers=[get("/{number:int}")(item.fn)]),
        ],
        middleware=[gate],
        exception_handlers={Handled: conflict, Degraded: unavailable},
        logging_config=None,
        openapi_config=None,
    )


class TestLitestar(Requests, Bodies, Streams, Backgrounds, Middlewares, Teardowns, Departures):
    """All behaviours."""

    source = "litestar.after_exception"
    streamed_source = "asgi.middleware"
    handled_source = "litestar.exception_handler"
    routes = {"/boom": "/boom", "/items/7": "/items/{number}", "/stream-boom": "/stream-boom"}

    def build(self, code: Code) -> Any:
        return application(code)

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        return integration.install(app, **options)

    def install_auto(self) -> Callable[[], None] | None:
        return integration.install_auto()

    def run(self, app: Any) -> AbstractContextManager[str]:
        return serve_asgi(app)

    def test_a_server_error_that_is_raised_as_an_answer(self, watched: Watched) -> None:
        """`raise HTTPException(status_code=502) from error` is one event that says `handled`, with the error behind it."""
        with self.serving(watched) as base:
            assert fetch(base, "/wrapped").status == 502
        event = watched.the_exception()
        about = described(event)
        assert (about["handled"], about["source"], about["status"]) == (True, self.handled_source, 502)
        assert [one["type"] for one in event["properties"]["$exception_list"]] == ["HTTPException", "Boom"]

    def test_websockets(self, watched: Watched) -> None:
        """A websocket's unhandled error is one event, in the request's context; a client that leaves is none."""
        for word in ("boom", "hello"):
            with (
                self.serving(watched) as base,
                connect(
                    base.replace("http", "ws") + "/rooms/42", additional_headers={"X-POSTHOG-DISTINCT-ID": "user-1"}
                ) as socket,
            ):
                socket.send(word)
                assert '"user-1"' in str(socket.recv())
                if word == "boom":
                    with contextlib.suppress(Exception):
                        socket.recv()
        event = watched.the_exception()
        assert described(event) == self.unhandled("", route="/rooms/{room}", status=None)
        assert event["distinct_id"] == "user-1"
