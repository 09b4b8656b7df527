"""Starlette under uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import pytest
from phtrack.integrations import starlette as integration
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.sync.client import connect

from .behaviours import (
    Backgrounds,
    Bodies,
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


class Gate:
    """A middleware of the application that fails for some paths, before or after the view."""

    def __init__(self, app: Any, code: Code) -> None:
        self.app = app
        self.code = code

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.code.middleware(scope["path"])
        await self.app(scope, receive, send)
        if scope["type"] == "http":
            self.code.teardown(scope["path"])


def application(code: Code, **more: Any) -> Starlette:
    async def ok(request: Request) -> Response:
        return PlainTextResponse(code.ok())

    async def boom(request: Request) -> Response:
        return code.boom(request.path_params.get("number", 0))

    def identify(request: Request) -> Response:  # in a worker thread
        return code.identify()

    async def handled(request: Request) -> Response:
        return code.handled()

    async def degraded(request: Request) -> Response:
        return code.degraded()

    async def missing(request: Request) -> Response:
        raise HTTPException(404, "no such order")

    def whoami(request: Request) -> Response:
        return JSONResponse(code.whoami())

    async def meet(request: Request) -> Response:
        return JSONResponse(await code.ameet(request.path_params["number"]))

    async def echo(request: Request) -> Response:
        return Response(await request.body())

    async def post_boom(request: Request) -> Response:
        await request.body()
        return code.boom()

    async def stream(request: Request) -> Response:
        return StreamingResponse(code.achunks())

    async def endless(request: Request) -> Response:
        return StreamingResponse(code.aendless())

    async def cancelled(request: Request) -> Response:
        raise asyncio.CancelledError

    async def background(request: Request) -> Response:
        return PlainTextResponse("started", background=BackgroundTask(code.background))

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        word = await websocket.receive_text()
        await websocket.send_json(code.whoami())
        if word == "boom":
            code.boom(websocket.path_params["room"])
        await websocket.receive_text()  # raises when the client leaves

    async def conflict(request: Request, error: Exception) -> Response:
        return PlainTextResponse("conflict", 409)

    def unavailable(request: Request, error: Exception) -> Response:
        return PlainTextResponse("later", 503)

    return Starlette(
        routes=[
            Route("/ok", ok),
            Route("/boom", boom),
            Route("/items/{number:int}", boom),
            Route("/handled", handled),
            Route("/degraded", degraded),
            Route("/missing", missing),
            Route("/whoami", whoami),
            Route("/identify", identify),
            Route("/meet/{number}", meet),
            Route("/echo", echo, methods=["POST"]),
            Route("/post-boom", post_boom, methods=["POST"]),
            Route("/stream-boom", stream),
            Route("/endless", endless),
            Route("/cancelled", cancelled),
            Route("/background", background),
            Route("/teardown-boom", ok),
            WebSocketRoute("/rooms/{room}", talk),
            Mount("/shops/{shop}", routes=[Route("/items/{number:int}", boom), Route("/files/{name:path}", boom)]),
        ],
        middleware=[Middleware(Gate, code=code)],
        exception_handlers={Handled: conflict, Degraded: unavailable},
        **more,
    )


class TestStarlette(Requests, Bodies, Streams, Backgrounds, Middlewares, Teardowns, Departures):
    """All behaviours."""

    source = "asgi.middleware"
    handled_source = "starlette.exception_handler"
    routes = {"/boom": "/boom", "/items/7": "/items/{number}", "/stream-boom": "/stream-boom"}

    def build(self, code: Code) -> Any:
        return application(code)

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        return integration.install(app, **options)

    def install_auto(self) -> Callable[[], None] | None:
        return integration.install_auto()

    def run(self, app: Any) -> AbstractContextManager[str]:
        return serve_asgi(app)

    @pytest.mark.parametrize(
        ("path", "route"),
        [
            ("/shops/berlin/items/7", "/shops/{shop}/items/{number}"),
            ("/shops/7/items/7", "/shops/{shop}/items/{number}"),
            ("/shops/berlin/files/shops", "/shops/{shop}/files/{name}"),
            ("/shops/berlin/files/files/shops/berlin", "/shops/{shop}/files/{name}"),
        ],
    )
    def test_the_route_has_what_it_is_mounted_under(self, watched: Watched, path: str, route: str) -> None:
        """Mount prefix and parameters are part of the route, whatever the values of parameters are."""
        with self.serving(watched) as base:
            fetch(base, path)
        assert described(watched.the_exception())["route"] == route

    def test_a_route_that_takes_all_of_its_mount(self, watched: Watched) -> None:
        """`/{path:path}` matches what it is mounted under, too, but is not told without it."""
        app = self.build(code := Code(watched.client))
        app.mount("/pages", Starlette(routes=[Route("/{path:path}", lambda request: code.boom())]))
        self.install(app, client=watched.client)
        with self.run(app) as base:
            fetch(base, "/pages/a/b")
        assert described(watched.the_exception())["route"] == "/pages/{path}"

    def test_websockets(self, watched: Watched) -> None:
        """A websocket has the request's context, and its unhandled error is one event without method and status."""
        with (
            self.serving(watched) as base,
            connect(
                base.replace("http", "ws") + "/rooms/42", additional_headers={"X-POSTHOG-DISTINCT-ID": "user-1"}
            ) as socket,
        ):
            socket.send("boom")
            assert '"user-1"' in str(socket.recv())
            with contextlib.suppress(Exception):
                socket.recv()
        event = watched.the_exception()
        assert described(event) == self.unhandled("/rooms/42", route="/rooms/{room}", status=None)
        assert event["distinct_id"] == "user-1"
        assert "$request_method" not in event["properties"]

    def test_a_client_that_leaves_a_websocket_is_no_error(self, watched: Watched) -> None:
        """`WebSocketDisconnect` only says that the other side has gone."""
        with self.serving(watched) as base, connect(base.replace("http", "ws") + "/rooms/42") as socket:
            socket.send("hello")
            socket.recv()
        assert watched.exceptions() == []

    def test_a_cancelled_handler_is_no_error(self, watched: Watched) -> None:
        """Whoever cancels it knows why."""
        with self.serving(watched) as base:
            assert fetch(base, "/cancelled").status == 500
        assert watched.exceptions() == []

    def test_an_app_that_fails_to_start(self, watched: Watched) -> None:
        """An error in the lifespan is a fatal one."""
        code = Code(watched.client)

        @asynccontextmanager
        async def lifespan(app: Any) -> AsyncIterator[None]:
            code.boom("at start")
            yield

        app = application(code, lifespan=lifespan)
        undo = integration.install(app, client=watched.client)
        with pytest.raises(BaseException), self.run(app):
            pass
        undo()
        about = described(watched.the_exception())
        assert (about["level"], about["source"], about["handled"]) == ("fatal", "starlette.lifespan", False)

    def test_our_own_frames_stay_out(self, watched: Watched) -> None:
        """The frames of an event are the framework's and the application's."""
        undo = integration.install_auto()
        import phtrack

        phtrack.default_client = watched.client
        with self.run(self.build(Code(watched.client))) as base:
            fetch(base, "/boom")
        undo()
        frames = watched.the_exception()["properties"]["$exception_list"][0]["stacktrace"]["frames"]
        assert [
            one["filename"]
            for one in frames
            if "phtrack/integrations" in one["filename"] or "asgi.py" in one["filename"]
        ] == []

    def test_an_undo_puts_starlette_back(self, watched: Watched) -> None:
        """The method that `install_auto` changes, and the application that it found, are as they were."""
        before = Starlette.__call__
        undo = integration.install_auto()
        assert integration.install_auto() is undo
        assert Starlette.__call__ is not before
        app = self.build(Code(watched.client))
        with self.run(app) as base:
            fetch(base, "/ok")
        assert isinstance(app.middleware_stack, integration.Around)
        undo()
        assert Starlette.__call__ is before
        assert not isinstance(app.middleware_stack, integration.Around)
        assert "build_middleware_stack" not in vars(app)
        assert not hasattr(app.state, "phtrack")

    def test_an_unknown_option_is_refused_at_once(self) -> None:
        """A misspelt option raises when it is given, not at the first request."""
        with pytest.raises(TypeError, match="captrue"):
            integration.install(application(Code(None)), captrue_exceptions=False)

    def test_installed_after_the_start(self, watched: Watched) -> None:
        """An application that already runs can still be watched."""
        app = self.build(Code(watched.client))
        with self.run(app) as base:
            fetch(base, "/ok")
            undo = integration.install(app, client=watched.client)
            fetch(base, "/boom")
            undo()
            fetch(base, "/items/7")
        assert described(watched.the_exception()) == self.unhandled("/boom")
