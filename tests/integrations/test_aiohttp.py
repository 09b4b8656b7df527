"""aiohttp's own server."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from aiohttp import web
from phtrack.integrations import aiohttp as integration
from websockets.sync.client import connect

import phtrack

from .behaviours import (
    HANG,
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
)
from .behaviours import described as described


def application(code: Code) -> web.Application:
    @web.middleware
    async def answers(request: web.Request, handler: Any) -> Any:
        """The application's own error handling."""
        try:
            return await handler(request)
        except Handled:
            return web.Response(text="conflict", status=409)
        except Degraded:
            return web.Response(text="later", status=503)

    @web.middleware
    async def gate(request: web.Request, handler: Any) -> Any:
        code.middleware(request.path)
        response = await handler(request)
        code.teardown(request.path)
        return response

    async def ok(request: web.Request) -> Any:
        return web.Response(text=code.ok())

    async def boom(request: web.Request) -> Any:
        return code.boom(request.match_info.get("number", 0))

    async def handled(request: web.Request) -> Any:
        return code.handled()

    async def degraded(request: web.Request) -> Any:
        return code.degraded()

    async def missing(request: web.Request) -> Any:
        raise web.HTTPNotFound(text="no such order")

    async def later(request: web.Request) -> Any:
        raise web.HTTPServiceUnavailable(text="come back")

    async def slow(request: web.Request) -> Any:
        raise asyncio.TimeoutError("the database did not answer")

    async def whoami(request: web.Request) -> Any:
        return web.json_response(code.whoami())

    async def identify(request: web.Request) -> Any:
        return await asyncio.to_thread(code.identify)

    async def meet(request: web.Request) -> Any:
        return web.json_response(await code.ameet(request.match_info["number"]))

    async def echo(request: web.Request) -> Any:
        return web.Response(body=await request.read())

    async def post_boom(request: web.Request) -> Any:
        return code.boom(len(await request.json() if "json" in request.content_type else await request.post()))

    async def stream(request: web.Request) -> Any:
        response = web.StreamResponse()
        await response.prepare(request)
        async for chunk in code.achunks():
            await response.write(chunk)

    async def generated(request: web.Request) -> Any:
        return web.Response(body=code.achunks())

    async def talk(request: web.Request) -> Any:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.data == "boom":
                code.boom(request.match_info["room"])
        return socket

    app = web.Application(middlewares=[answers, gate])
    for path, handler in {
        "/ok": ok,
        "/teardown-boom": ok,
        "/boom": boom,
        "/items/{number}": boom,
        "/handled": handled,
        "/degraded": degraded,
        "/missing": missing,
        "/later": later,
        "/slow": slow,
        "/whoami": whoami,
        "/identify": identify,
        "/meet/{number}": meet,
        "/stream-boom": stream,
        "/generated-boom": generated,
        "/rooms/{room}": talk,
    }.items():
        app.router.add_get(path, handler)
    app.router.add_post("/echo", echo)
    app.router.add_post("/post-boom", post_boom)
    shop = web.Application()
    shop.router.add_get("/items/{number}", boom)
    shop.router.add_get("/whoami", whoami)
    app.add_subapp("/shop", shop)
    return app


@contextmanager
def serve(app: web.Application) -> Iterator[str]:
    """The application in a thread with a loop of its own: an aiohttp application stays with the loop it ran in first."""
    loop = asyncio.new_event_loop()
    for one in (app, *app._subapps):
        one._loop = None  # a test may run it twice
    port: list[int] = []
    started, stop = threading.Event(), asyncio.Event()

    async def run() -> None:
        one = web.AppRunner(app, access_log=None, handle_signals=False)
        await one.setup()
        site = web.TCPSite(one, "127.0.0.1", 0)
        await site.start()
        port.append(one.addresses[0][1])
        started.set()
        await stop.wait()
        await one.cleanup()

    def work() -> None:
        try:
            loop.run_until_complete(run())
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            started.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert started.wait(HANG) and port, "aiohttp did not start"
    try:
        yield f"http://127.0.0.1:{port[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(HANG)


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """aiohttp logs the errors that the tests make."""
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("aiohttp").setLevel(logging.NOTSET)


class TestAiohttp(Requests, Streams, Middlewares, Teardowns, Bodies):
    """All behaviours."""

    source = "aiohttp.middleware"
    routes = {"/boom": "/boom", "/items/7": "/items/{number}", "/stream-boom": "/stream-boom"}

    def build(self, code: Code) -> Any:
        return application(code)

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        return integration.install(app, **options)

    def install_auto(self) -> Callable[[], None] | None:
        return integration.install_auto()

    def run(self, app: Any) -> AbstractContextManager[str]:
        return serve(app)

    def test_a_server_error_that_is_raised_is_an_answer(self, watched: Watched) -> None:
        """`HTTPServiceUnavailable` is the application's decision."""
        with self.serving(watched) as base:
            assert fetch(base, "/later").status == 503
        assert watched.exceptions() == []

    def test_a_handler_that_timed_out(self, watched: Watched) -> None:
        """aiohttp answers with 504, and so says the event."""
        with self.serving(watched) as base:
            status = fetch(base, "/slow").status
        assert described(watched.the_exception())["status"] == status == 504

    def test_a_body_that_is_made_after_the_handler(self, watched: Watched) -> None:
        """An async generator given as the body fails in the request's context, with the status that went out."""
        with self.serving(watched) as base:
            fetch(base, "/generated-boom", {"X-POSTHOG-DISTINCT-ID": "user-1"})
        event = watched.the_exception()
        assert (event["distinct_id"], event["properties"]["chunk"]) == ("user-1", 2)
        assert described(event)["status"] == 200

    def test_a_sub_application(self, watched: Watched) -> None:
        """The route has the prefix; installed on every application, a request still has one context."""
        phtrack.default_client = watched.client
        undo = integration.install_auto()
        try:
            with self.run(self.build(Code(watched.client))) as base:
                fetch(base, "/shop/items/7")
                seen = fetch(base, "/shop/whoami").json()
        finally:
            undo()
        assert described(watched.the_exception())["route"] == "/shop/items/{number}"
        assert seen["tags"]["$request_route"] == "/shop/whoami"

    def test_a_websocket(self, watched: Watched) -> None:
        """An error is one event with the route; a client that leaves is none."""
        with self.serving(watched) as base:
            for word in ("leave", "boom"):
                with connect(f"{base.replace('http', 'ws')}/rooms/blue") as socket:
                    socket.send(word)
                    if word == "boom":
                        with pytest.raises(Exception):
                            socket.recv(timeout=10)
        assert described(watched.the_exception()) == self.unhandled("/rooms", status=101, route="/rooms/{room}")

    def test_a_client_that_left_is_no_error(self, watched: Watched) -> None:
        """Writing to a connection that is closed raises in the handler; that is no error of the application's."""
        import socket

        done = threading.Event()

        async def endless(request: web.Request) -> Any:
            response = web.StreamResponse()
            await response.prepare(request)
            try:
                while True:
                    await response.write(b"x" * 10_000)
                    await asyncio.sleep(0)
            finally:
                done.set()

        app = self.build(Code(watched.client))
        app.router.add_get("/endless", endless)
        undo = self.install(app, client=watched.client)
        with self.run(app) as base:
            with socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2]))) as connection:
                connection.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
                connection.recv(1_000)
            assert done.wait(HANG)
        undo()
        assert watched.exceptions() == []

    def test_an_application_that_runs(self, watched: Watched) -> None:
        """It is too late then, and the message says so."""
        app = self.build(Code(watched.client))
        with self.run(app), pytest.raises(RuntimeError, match="runs already"):
            self.install(app, client=watched.client)
