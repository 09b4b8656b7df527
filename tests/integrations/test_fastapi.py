"""FastAPI under uvicorn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from phtrack.integrations import fastapi as integration
from phtrack.integrations.asgi import PosthogASGIMiddleware
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from .behaviours import (
    HANG,
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


def application(code: Code) -> FastAPI:
    app = FastAPI(openapi_url=None)

    def closing(request: Request) -> Iterator[None]:
        yield
        code.teardown(request.url.path)

    @app.middleware("http")
    async def gate(request: Request, go_on: Any) -> Any:
        code.middleware(request.url.path)
        return await go_on(request)

    @app.get("/ok", response_class=PlainTextResponse)
    async def ok() -> str:
        return code.ok()

    @app.get("/boom")
    def boom() -> None:
        code.boom()

    @app.get("/items/{number}")
    async def item(number: int) -> None:
        code.boom(number)

    @app.get("/handled")
    async def handled() -> None:
        code.handled()

    @app.get("/degraded")
    async def degraded() -> None:
        code.degraded()

    @app.get("/missing")
    async def missing() -> None:
        raise HTTPException(404, "no such order")

    @app.get("/whoami")
    def whoami() -> Any:
        return JSONResponse(code.whoami())

    @app.get("/identify")
    def identify() -> None:
        code.identify()

    @app.get("/meet/{number}")
    async def meet(number: int) -> Any:
        return JSONResponse(await code.ameet(number))

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        return Response(await request.body())

    @app.post("/post-boom")
    async def post_boom(request: Request) -> None:
        await request.body()
        code.boom()

    @app.get("/stream-boom")
    def stream() -> Any:
        return StreamingResponse(code.achunks())

    @app.get("/endless")
    def endless() -> Any:
        return StreamingResponse(code.aendless())

    @app.websocket("/rooms/{room}")
    async def talk(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        code.boom(await websocket.receive_text())

    @app.get("/background", response_class=PlainTextResponse)
    def background(tasks: BackgroundTasks) -> str:
        tasks.add_task(code.abackground)
        return "started"

    @app.get("/teardown-boom", dependencies=[Depends(closing)])
    def teardown() -> str:
        return "done"

    @app.get("/wrapped")
    def wrapped() -> None:
        try:
            code.boom("inside")
        except Boom as error:
            raise HTTPException(502, "the shop is down") from error

    orders = APIRouter(prefix="/orders")

    @orders.get("/{number}")
    def order(number: int) -> None:
        code.boom(number)

    app.include_router(orders, prefix="/shops/{shop}")
    inner = FastAPI(openapi_url=None)
    inner.include_router(orders)
    app.mount("/tenants/{tenant}", inner)

    @app.exception_handler(Handled)
    async def conflict(request: Request, error: Exception) -> Response:
        return PlainTextResponse("conflict", 409)

    @app.exception_handler(Degraded)
    def unavailable(request: Request, error: Exception) -> Response:
        return PlainTextResponse("later", 503)

    return app


class TestFastAPI(Requests, Bodies, Streams, Backgrounds, Middlewares, Teardowns, Departures):
    """All behaviours."""

    source = "asgi.middleware"
    handled_source = "fastapi.exception_handler"
    routes = {"/boom": "/boom", "/items/7": "/items/{number}", "/stream-boom": "/stream-boom"}

    def build(self, code: Code) -> Any:
        return application(code)

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        return integration.install(app, **options)

    def install_auto(self) -> Callable[[], None] | None:
        return integration.install_auto()

    def run(self, app: Any) -> AbstractContextManager[str]:
        return serve_asgi(app)

    def test_the_route_has_its_routers_prefix(self, watched: Watched) -> None:
        """Included routers and mounted applications put their prefix, with parameters, in front of the route."""
        with self.serving(watched) as base:
            fetch(base, "/shops/berlin/orders/7")
        assert described(watched.the_exception())["route"] == "/shops/{shop}/orders/{number}"

    @pytest.mark.parametrize(
        ("options", "seen", "events"),
        [
            ({"request_filter": lambda scope: False}, None, 0),
            ({"capture_exceptions": False}, "user-1", 0),
            ({"capture_tracing_headers": False}, None, 1),
        ],
        ids=["filter", "no captures", "no headers"],
    )
    def test_middleware_that_is_put_in_by_hand(self, watched: Watched, options: Any, seen: Any, events: int) -> None:
        """What it says holds, although `install_auto` puts another around it."""
        app = self.build(Code(watched.client))
        app.add_middleware(PosthogASGIMiddleware, client=watched.client, **options)
        self.install(app, client=watched.client)
        sent: dict[str, str | bytes] = {"X-POSTHOG-DISTINCT-ID": "user-1"}
        with self.run(app) as base:
            assert fetch(base, "/whoami", sent).json()["distinct_id"] == seen
            assert fetch(base, "/boom", sent).status == 500
            assert fetch(base, "/degraded", sent).status == 503
        found = watched.exceptions()
        assert len(found) == 2 * events
        assert all(event["distinct_id"] != "user-1" for event in found)

    def test_installed_while_the_application_starts(self, watched: Watched) -> None:
        """`phtrack.init` in the lifespan: the middleware is built by then, and errors that handlers answer are seen as ever."""
        app = self.build(Code(watched.client))
        undos: list[Callable[[], None]] = []

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            undos.append(self.install(app, client=watched.client))
            yield

        app.router.lifespan_context = lifespan
        with self.run(app) as base:
            fetch(base, "/degraded")
            assert described(watched.the_exception())["source"] == self.handled_source
            undos[0]()
            fetch(base, "/degraded")
            fetch(base, "/boom")
        assert len(watched.exceptions()) == 1

    def test_a_mounted_application(self, watched: Watched) -> None:
        """An error in an application that is mounted in another is one event of the outer one."""
        with self.serving(watched) as base:
            assert fetch(base, "/tenants/acme/orders/7").status == 500
        assert described(watched.the_exception()) == self.unhandled("", route="/tenants/{tenant}/orders/{number}")

    def test_a_server_error_that_is_raised_as_an_answer(self, watched: Watched) -> None:
        """`raise HTTPException(502) from error` is one event that says `handled`, with the error behind it."""
        with self.serving(watched) as base:
            assert fetch(base, "/wrapped").status == 502
        event = watched.the_exception()
        about = described(event)
        assert (about["handled"], about["source"], about["status"]) == (True, self.handled_source, 502)
        assert [one["type"] for one in event["properties"]["$exception_list"]] == ["HTTPException", "Boom"]

    def test_websockets(self, watched: Watched) -> None:
        """An error in one is one event with its route; a client that leaves is none."""
        with self.serving(watched) as base:
            for word in ("", "boom"):
                with connect(f"{base.replace('http', 'ws')}/rooms/42") as socket:
                    if word:
                        socket.send(word)
                        with pytest.raises(ConnectionClosed):
                            socket.recv(timeout=HANG)
        assert described(watched.the_exception()) == self.unhandled("", route="/rooms/{room}", status=None)

    def test_a_refused_parameter_is_no_error(self, watched: Watched) -> None:
        """A request that doesn't validate is answered with 422 and not captured."""
        with self.serving(watched) as base:
            assert fetch(base, "/items/seven").status == 422
        assert watched.exceptions() == []
