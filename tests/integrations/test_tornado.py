"""Tornado's own server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from phtrack.integrations import tornado as integration
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application, Finish, HTTPError, RequestHandler, stream_request_body, url
from tornado.websocket import WebSocketHandler
from websockets.sync.client import connect

from .behaviours import (
    HANG,
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
    fetch,
)
from .behaviours import described as described


def application(code: Code) -> Application:
    class Base(RequestHandler):
        """`prepare` and `on_finish` are Tornado's middleware and teardown."""

        def prepare(self) -> None:
            code.middleware(self.request.path)

        def on_finish(self) -> None:
            code.teardown(self.request.path)

    def answering(get: Any) -> Any:
        """The application's own error handling."""

        @functools.wraps(get)
        async def answered(self: Any, *args: Any) -> None:
            try:
                await get(self, *args)
            except Handled:
                self.set_status(409)
            except Degraded:
                self.set_status(503)

        return answered

    def on_get(answer: Callable[..., Any]) -> type[RequestHandler]:
        class Handler(Base):
            @answering
            async def get(self, *args: Any) -> None:
                found = answer(self, *args)
                found = await found if asyncio.iscoroutine(found) else found
                if found is not None:
                    self.write(found)

            head = get

        return Handler

    def on_post(answer: Callable[..., Any]) -> type[RequestHandler]:
        class Handler(Base):
            async def post(self) -> None:
                self.write(answer(self))

        return Handler

    def missing(handler: Any) -> None:
        raise HTTPError(404)

    def later(handler: Any) -> None:
        raise HTTPError(503)

    def finished(handler: Any) -> None:
        raise Finish("enough")

    async def identify(handler: Any) -> Any:
        return await asyncio.to_thread(code.identify)

    async def stream(handler: Any) -> None:
        async for chunk in code.achunks():
            handler.write(chunk)
            await handler.flush()

    async def endless(handler: Any) -> None:
        async with contextlib.aclosing(code.aendless()) as chunks:
            async for chunk in chunks:
                handler.write(chunk)
                await handler.flush()

    def background(handler: Any) -> str:
        IOLoop.current().spawn_callback(code.abackground)
        return "started"

    def plain_background(handler: Any) -> str:
        IOLoop.current().add_callback(code.background)
        return "started"

    def logged_in(handler: Any) -> None:
        handler.current_user = "anna"
        code.boom()

    class Room(WebSocketHandler):
        async def on_message(self, message: Any) -> None:
            try:
                code.boom(message)
            finally:
                self.ws_connection.stream.close()  # Tornado before 6.6 leaves the connection open

    class Hall(WebSocketHandler):
        def on_message(self, message: Any) -> None:
            code.boom(message)

    class Quiet(Hall):
        def log_exception(self, *what: Any) -> None:
            """The application's own way, which leaves out Tornado's."""

    @stream_request_body
    class Upload(Base):
        def data_received(self, chunk: bytes) -> Any:
            return self.later() if self.request.path == "/slow-upload" else code.boom(len(chunk))

        async def later(self) -> None:
            await asyncio.sleep(0)
            code.boom("later")

        def post(self) -> None:
            self.write("never")

    class Desk(WebSocketHandler):
        def on_message(self, message: Any) -> None:
            IOLoop.current().add_callback(code.background)
            self.close()

    boom = on_get(lambda handler, number=0: code.boom(number))
    return Application(
        [
            ("/ok", on_get(lambda handler: code.ok())),
            ("/teardown-boom", on_get(lambda handler: code.ok())),
            ("/middleware-boom", on_get(lambda handler: code.ok())),
            ("/boom", boom),
            url("/items/([0-9]+)", boom),
            ("/handled", on_get(lambda handler: code.handled())),
            ("/degraded", on_get(lambda handler: code.degraded())),
            ("/missing", on_get(missing)),
            ("/later", on_get(later)),
            ("/finished", on_get(finished)),
            ("/whoami", on_get(lambda handler: code.whoami())),
            ("/identify", on_get(identify)),
            ("/logged-in", on_get(logged_in)),
            ("/meet/([0-9]+)", on_get(lambda handler, number: code.ameet(number))),
            ("/echo", on_post(lambda handler: handler.request.body)),
            ("/post-boom", on_post(lambda handler: code.boom())),
            ("/stream-boom", on_get(stream)),
            ("/endless", on_get(endless)),
            ("/background", on_get(background)),
            ("/plain-background", on_get(plain_background)),
            ("/rooms/(?:.*)", Room),
            ("/halls/(?:.*)", Hall),
            ("/quiet/(?:.*)", Quiet),
            ("/desks/(?:.*)", Desk),
            ("/upload", Upload),
            ("/slow-upload", Upload),
        ]
    )


@contextmanager
def serve(app: Application) -> Iterator[str]:
    """The application in a thread with a loop of its own; at the end what was left on the loop has run."""
    (listener,) = bind_sockets(0, "127.0.0.1")
    started, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        server = HTTPServer(app)
        server.add_sockets([listener])
        started.set()
        await stop.wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    assert started.wait(HANG), "tornado did not start"
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(HANG)
        listener.close()


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """Tornado logs the errors that the tests make."""
    logging.getLogger("tornado").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("tornado").setLevel(logging.NOTSET)


class TestTornado(Requests, Streams, Backgrounds, Middlewares, Teardowns, Bodies, Departures):
    """All behaviours."""

    source = "tornado.request_handler"
    routes = {"/boom": "/boom", "/items/7": "/items/([0-9]+)", "/stream-boom": "/stream-boom"}
    reads_bodies_itself = True

    def build(self, code: Code) -> Any:
        return application(code)

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        return integration.install(app, **options)

    def install_auto(self) -> Callable[[], None] | None:
        return integration.install_auto()

    def run(self, app: Any) -> AbstractContextManager[str]:
        return serve(app)

    def test_answers_that_are_raised(self, watched: Watched) -> None:
        """`HTTPError` of any status, and `Finish`, are the application's decision."""
        with self.serving(watched) as base:
            assert fetch(base, "/later").status == 503
            assert fetch(base, "/finished").body == b"enough"
        assert watched.exceptions() == []

    def test_a_plain_callback_on_the_loop(self, watched: Watched) -> None:
        """Its error is one event with the ids of the request that left it there."""
        with self.serving(watched) as base:
            fetch(base, "/plain-background", {"X-POSTHOG-DISTINCT-ID": "user-1"})
        event = watched.the_exception()
        assert event["distinct_id"] == "user-1"
        assert described(event)["source"] == "tornado.ioloop_callback"

    def test_who_is_logged_in(self, watched: Watched) -> None:
        """The handler's `current_user` is the user of its error, where no header says another."""
        with self.serving(watched) as base:
            fetch(base, "/logged-in")
            fetch(base, "/logged-in", {"X-POSTHOG-DISTINCT-ID": "ben"})
        assert [event["distinct_id"] for event in watched.exceptions()] == ["anna", "ben"]

    @pytest.mark.parametrize("path", ["/upload", "/slow-upload"])
    def test_a_body_that_is_read_in_pieces(self, watched: Watched, path: str) -> None:
        """What its `data_received` fails with is one event; Tornado gives no answer then."""
        with self.serving(watched) as base:
            response = fetch(base, path, {"X-POSTHOG-DISTINCT-ID": "user-1"}, method="POST", body=b"piece")
        assert response.raw == b""
        event = watched.the_exception()
        assert described(event) == self.unhandled("", route=path, status=None)
        assert event["distinct_id"] == "user-1"

    @pytest.mark.parametrize("path", ["rooms", "halls", "quiet"])
    def test_a_websocket(self, watched: Watched, path: str) -> None:
        """An error in an async or plain callback is one event with the route; a client that leaves is none."""
        with self.serving(watched) as base:
            for word in ("", "boom"):
                with connect(f"{base.replace('http', 'ws')}/{path}/blue") as socket:
                    if word:
                        socket.send(word)
                        with pytest.raises(Exception):
                            socket.recv(timeout=10)
        route = f"/{path}/(?:.*)"
        event = watched.the_exception()
        assert described(event) == self.unhandled("/rooms", status=101, route=route)
        frames = event["properties"]["$exception_list"][0]["stacktrace"]["frames"]
        assert [one["function"] for one in frames][-2:] == ["on_message", "boom"]

    def test_what_a_websocket_leaves_on_the_loop(self, watched: Watched) -> None:
        """Its error is one event with the ids of the websocket's request."""
        with self.serving(watched) as base:
            headers = {"X-POSTHOG-DISTINCT-ID": "user-1"}
            with connect(f"{base.replace('http', 'ws')}/desks/1", additional_headers=headers) as socket:
                socket.send("boom")
                with pytest.raises(Exception):
                    socket.recv(timeout=10)
        event = watched.the_exception()
        assert event["distinct_id"] == "user-1"
        assert described(event)["source"] == "tornado.ioloop_callback"

    def test_an_undo_leaves_nothing_behind(self, watched: Watched) -> None:
        """Two applications have it; Tornado's methods are back when neither has."""

        def state() -> Any:
            return [vars(RequestHandler)[name] for name in ("_execute", "_handle_request_exception")] + [
                vars(IOLoop)["_run_callback"]
            ]

        before = state()
        first, second = (self.build(Code(watched.client)) for _ in range(2))
        undo_first = self.install(first, client=watched.client)
        undo_second = self.install(second, client=watched.client)
        undo_first()
        undo_first()
        assert state() != before
        with self.run(second) as base:
            fetch(base, "/boom")
        undo_second()
        assert state() == before
        assert described(watched.the_exception()) == self.unhandled("/boom")
