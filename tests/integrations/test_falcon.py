"""Falcon's WSGI applications under wsgiref, and its ASGI applications under uvicorn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import falcon
import falcon.asgi
import pytest
from phtrack.integrations import falcon as integration
from phtrack.integrations import falcon_asgi
from websockets.sync.client import connect

from .behaviours import (
    Backgrounds,
    Bodies,
    Code,
    Degraded,
    Handled,
    Middlewares,
    Requests,
    Streams,
    Teardowns,
    Watched,
    fetch,
    serve_asgi,
    serve_wsgi,
)
from .behaviours import described as described


class Resource:
    """A resource whose GET answers as *answer* says."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.answer = answer

    def on_get(self, req: Any, resp: Any, **params: Any) -> None:
        self.answer(req, resp, **params)

    def on_post(self, req: Any, resp: Any) -> None:
        self.answer(req, resp)


class Gate:
    """A middleware of the application's."""

    def __init__(self, code: Code) -> None:
        self.code = code

    def process_request(self, req: Any, resp: Any) -> None:
        self.code.middleware(req.path)

    def process_response(self, req: Any, resp: Any, resource: Any, req_succeeded: bool) -> None:
        self.code.teardown(req.path)


def wsgi_application(code: Code) -> falcon.App:
    def say(req: Any, resp: Any) -> None:
        resp.text = code.ok()

    def missing(req: Any, resp: Any) -> None:
        raise falcon.HTTPNotFound(description="no such order")

    def later(req: Any, resp: Any) -> None:
        raise falcon.HTTPServiceUnavailable(description="come back")

    def echo(req: Any, resp: Any) -> None:
        resp.data = req.bounded_stream.read()

    def stream(req: Any, resp: Any) -> None:
        resp.stream = code.chunks()

    def show(it: Callable[..., Any]) -> Callable[..., None]:
        def answer(req: Any, resp: Any, **params: Any) -> None:
            resp.media = it(**params)

        return answer

    app = falcon.App(middleware=[Gate(code)])
    app.add_error_handler(Handled, lambda req, resp, error, params: setattr(resp, "status", 409))
    app.add_error_handler(Degraded, lambda req, resp, error, params: setattr(resp, "status", 503))
    for path, answer in {
        "/ok": say,
        "/teardown-boom": say,
        "/boom": show(code.boom),
        "/items/{number:int}": show(code.boom),
        "/handled": show(code.handled),
        "/degraded": show(code.degraded),
        "/missing": missing,
        "/later": later,
        "/whoami": show(code.whoami),
        "/identify": show(code.identify),
        "/meet/{number}": show(code.meet),
        "/echo": echo,
        "/post-boom": lambda req, resp: code.boom(len(req.get_media())),
        "/stream-boom": stream,
    }.items():
        app.add_route(path, Resource(answer))
    return app


class AsyncResource(Resource):
    async def on_get(self, req: Any, resp: Any, **params: Any) -> None:  # type: ignore[override]
        await self.answer(req, resp, **params)

    async def on_post(self, req: Any, resp: Any) -> None:  # type: ignore[override]
        await self.answer(req, resp)


class Room:
    def __init__(self, code: Code) -> None:
        self.code = code

    async def on_websocket(self, req: Any, ws: Any, room: str) -> None:
        await ws.accept()
        if await ws.receive_text() == "boom":
            self.code.boom(room)
        await ws.receive_text()  # raises when the client leaves


class AsyncGate:
    def __init__(self, code: Code) -> None:
        self.code = code

    async def process_request(self, req: Any, resp: Any) -> None:
        self.code.middleware(req.path)

    async def process_response(self, req: Any, resp: Any, resource: Any, req_succeeded: bool) -> None:
        self.code.teardown(req.path)


def asgi_application(code: Code) -> falcon.asgi.App:
    async def say(req: Any, resp: Any) -> None:
        resp.text = code.ok()

    async def missing(req: Any, resp: Any) -> None:
        raise falcon.HTTPNotFound(description="no such order")

    async def later(req: Any, resp: Any) -> None:
        raise falcon.HTTPServiceUnavailable(description="come back")

    async def echo(req: Any, resp: Any) -> None:
        resp.data = await req.stream.read()

    async def post(req: Any, resp: Any) -> None:
        code.boom(len(await req.get_media()))

    async def stream(req: Any, resp: Any) -> None:
        resp.stream = code.achunks()

    async def background(req: Any, resp: Any) -> None:
        resp.schedule(code.abackground)
        resp.text = "started"

    async def sync_background(req: Any, resp: Any) -> None:
        resp.schedule_sync(code.background)
        resp.text = "started"

    async def conflict(req: Any, resp: Any, error: Any, params: Any) -> None:
        resp.status = 409

    async def unavailable(req: Any, resp: Any, error: Any, params: Any) -> None:
        resp.status = 503

    def show(it: Callable[..., Any]) -> Callable[..., Any]:
        async def answer(req: Any, resp: Any, **params: Any) -> None:
            found = it(**params)
            resp.media = await found if asyncio.iscoroutine(found) else found

        return answer

    app = falcon.asgi.App(middleware=[AsyncGate(code)])
    app.add_error_handler(Handled, conflict)
    app.add_error_handler(Degraded, unavailable)
    for path, answer in {
        "/ok": say,
        "/teardown-boom": say,
        "/boom": show(code.boom),
        "/items/{number:int}": show(code.boom),
        "/handled": show(code.handled),
        "/degraded": show(code.degraded),
        "/missing": missing,
        "/later": later,
        "/whoami": show(code.whoami),
        "/identify": show(code.identify),
        "/meet/{number}": show(code.ameet),
        "/echo": echo,
        "/post-boom": post,
        "/stream-boom": stream,
        "/background": background,
        "/background-in-thread": sync_background,
    }.items():
        app.add_route(path, AsyncResource(answer))
    app.add_route("/rooms/{room}", Room(code))
    return app


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """Falcon logs the errors that the tests make."""
    logging.getLogger("falcon").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("falcon").setLevel(logging.NOTSET)


class Falcon(Requests, Streams, Middlewares, Teardowns, Bodies):
    """What both kinds of applications share."""

    source = "falcon.error_handler"
    handled_source = "falcon.error_handler"
    routes = {"/boom": "/boom", "/items/7": "/items/{number:int}", "/stream-boom": "/stream-boom"}

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        return integration.install(app, **options)

    def test_a_server_error_that_is_raised_is_an_answer(self, watched: Watched) -> None:
        """`HTTPServiceUnavailable` is the application's decision."""
        with self.serving(watched) as base:
            assert fetch(base, "/later").status == 503
        assert watched.exceptions() == []

    def test_the_route_is_in_the_context(self, watched: Watched) -> None:
        """Events that a resource captures have its route."""
        with self.serving(watched) as base:
            assert fetch(base, "/whoami").json()["tags"]["$request_route"] == "/whoami"

    def test_an_undo_leaves_nothing_behind(self, watched: Watched) -> None:
        """Neither on the application nor on Falcon's classes."""
        app = self.build(Code(watched.client))

        def state() -> Any:
            return (
                dict(app._error_handlers),
                list(app._unprepared_middleware),
                app._middleware,
                app._report_error,
                falcon.App.__call__,
                falcon.asgi.App.__call__,
            )

        before = state()
        undo = self.install(app, client=watched.client)
        assert state() != before
        undo()
        assert state() == before
        auto = self.install_auto()
        assert auto is not None
        with self.run(app) as base:
            fetch(base, "/ok")
        auto()
        assert state() == before

    def test_an_error_reporter_of_the_applications_is_called(self, watched: Watched) -> None:
        """There is room for one: ours calls the one that was there."""
        app = self.build(Code(watched.client))
        told: list[Any] = []
        app.set_error_reporter(lambda req, error, params, handled: told.append((type(error).__name__, handled)))
        self.install(app, client=watched.client)
        with self.run(app) as base:
            fetch(base, "/boom")
        assert told == [("Boom", True)]
        assert described(watched.the_exception()) == self.unhandled("/boom")

    def test_before_falcon_4_4(self, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without an error reporter Falcon's handler of last resort tells us."""
        monkeypatch.delattr(falcon.App, "set_error_reporter")
        app = self.build(Code(watched.client))
        handlers = dict(app._error_handlers)
        undo = self.install(app, client=watched.client)
        with self.run(app) as base:
            fetch(base, "/boom")
        assert described(watched.the_exception()) == self.unhandled("/boom")
        undo()
        assert app._error_handlers == handlers


class TestWSGI(Falcon):
    """All behaviours."""

    streamed_source = "wsgi.middleware"

    def build(self, code: Code) -> Any:
        return wsgi_application(code)

    def install_auto(self) -> Callable[[], None] | None:
        return integration.install_auto()

    def run(self, app: Any) -> AbstractContextManager[str]:
        return serve_wsgi(app)


class TestASGI(Falcon, Backgrounds):
    """All behaviours, and what only ASGI has."""

    streamed_source = "asgi.middleware"
    reads_bodies_itself = True  # the first part of it

    def build(self, code: Code) -> Any:
        return asgi_application(code)

    def install_auto(self) -> Callable[[], None] | None:
        return falcon_asgi.install_auto()

    def run(self, app: Any) -> AbstractContextManager[str]:
        return serve_asgi(app)

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_a_scheduled_function_that_is_not_async(self, watched: Watched) -> None:
        """Falcon runs it in a thread; the request's context is there."""
        with self.serving(watched) as base:
            fetch(base, "/background-in-thread", {"X-POSTHOG-DISTINCT-ID": "user-1"})
        event = watched.the_exception()
        assert event["distinct_id"] == "user-1"
        assert described(event)["source"] == "falcon.scheduled_callback"

    def test_a_websocket(self, watched: Watched) -> None:
        """An error is one event with the route; a client that leaves is none."""
        with self.serving(watched) as base:
            for word in ("leave", "boom"):
                with connect(f"{base.replace('http', 'ws')}/rooms/blue") as socket:
                    socket.send(word)
                    if word == "boom":
                        with pytest.raises(Exception, match=r"101[13]|3011"):
                            socket.recv(timeout=10)
        assert described(watched.the_exception()) == self.unhandled("/rooms", status=None, route="/rooms/{room}")
