"""Quart under uvicorn."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from phtrack.integrations import quart as integration
from quart import Quart, Response, abort, jsonify, request, websocket
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


def application(code: Code) -> Quart:
    app = Quart("shop")
    logging.getLogger("shop").setLevel("CRITICAL")

    @app.before_request
    async def gate() -> None:
        code.middleware(request.path)

    @app.teardown_request
    async def closing(error: BaseException | None) -> None:
        code.teardown(request.path)

    @app.get("/ok")
    async def ok() -> Any:
        return Response(code.ok(), content_type="text/plain")

    @app.get("/boom")
    def boom() -> None:  # in a worker thread
        code.boom()

    @app.get("/items/<int:number>")
    async def item(number: int) -> None:
        code.boom(number)

    app.add_url_rule("/handled", "handled", code.handled)
    app.add_url_rule("/degraded", "degraded", code.degraded)
    app.add_url_rule("/identify", "identify", code.identify)
    app.add_url_rule("/teardown-boom", "teardown", code.ok)

    @app.get("/missing")
    async def missing() -> None:
        abort(404)

    @app.get("/whoami")
    def whoami() -> Any:
        return code.whoami()

    @app.get("/meet/<int:number>")
    async def meet(number: int) -> Any:
        return jsonify(await code.ameet(number))

    @app.post("/echo")
    async def echo() -> Any:
        return Response(await request.get_data(), content_type="application/octet-stream")

    @app.post("/post-boom")
    async def post_boom() -> None:
        await request.get_data()
        code.boom()

    @app.get("/stream-boom")
    async def stream() -> Any:
        return code.achunks()

    @app.get("/endless")
    async def endless() -> Any:
        return code.aendless()

    @app.get("/background")
    async def background() -> Any:
        app.add_background_task(code.background)
        return "started"

    @app.websocket("/rooms/<room>")
    async def talk(room: str) -> None:
        word = await websocket.receive()
        await websocket.send_json(code.whoami())
        if word == "boom":
            code.boom(room)
        await websocket.receive()

    @app.errorhandler(Handled)
    async def conflict(error: Exception) -> Any:
        return "conflict", 409

    @app.errorhandler(Degraded)
    async def unavailable(error: Exception) -> Any:
        return "later", 503

    return app


class TestQuart(Requests, Bodies, Streams, Backgrounds, Middlewares, Teardowns, Departures):
    """All behaviours."""

    source = "quart.got_request_exception"
    streamed_source = "asgi.middleware"
    reads_bodies_itself = True
    routes = {"/boom": "/boom", "/items/7": "/items/<int:number>"}

    def build(self, code: Code) -> Any:
        return application(code)

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        return integration.install(app, **options)

    def install_auto(self) -> Callable[[], None] | None:
        return integration.install_auto()

    def run(self, app: Any) -> AbstractContextManager[str]:
        return serve_asgi(app)

    def test_the_status_is_the_one_that_goes_out(self, watched: Watched) -> None:
        """A handler of last resort may answer with another server error; the event says which."""
        app = application(Code(watched.client))

        @app.errorhandler(500)
        async def sorry(error: Exception) -> Any:
            return "sorry", 502

        undo = integration.install(app, client=watched.client)
        with self.run(app) as base:
            assert fetch(base, "/boom").status == 502
        undo()
        assert described(watched.the_exception()) == self.unhandled("/boom", status=502)

    def test_background_tasks_have_their_own_source(self, watched: Watched) -> None:
        """A failed task is told apart from a failed request."""
        with self.serving(watched) as base:
            fetch(base, "/background")
        about = described(watched.the_exception())
        assert (about["source"], about["mechanism"]) == ("quart.got_background_exception", "task")

    def test_an_app_that_fails_to_start(self, watched: Watched) -> None:
        """An error before serving is a fatal one."""
        code = Code(watched.client)
        app = application(code)
        app.before_serving(code.boom)
        undo = integration.install(app, client=watched.client)
        with pytest.raises(AssertionError), self.run(app):
            pass
        undo()
        about = described(watched.the_exception())
        assert (about["level"], about["source"]) == ("fatal", "quart.got_serving_exception")

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
        expected = self.unhandled("", source="quart.got_websocket_exception", route="/rooms/<room>", status=None)
        assert described(event) == expected
        assert event["distinct_id"] == "user-1"
