"""Sanic in its own server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from json import loads as json_of
from typing import Any

import pytest
from phtrack.integrations import sanic as integration
from sanic import Request, Sanic, json, raw, text
from sanic.application.constants import ServerStage
from sanic.application.state import ApplicationServerInfo
from sanic.exceptions import NotFound, SanicException
from sanic.log import error_logger
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
    logged_to,
    serve_asgi,
)

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _many_apps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sanic cuts from its own code, when the first application starts, what that has no use for; not in test mode."""
    monkeypatch.setattr(Sanic, "test_mode", True)
    levels = {name: logging.getLogger(name).level for name in ("sanic.root", "sanic.server")}
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

    @app.on_response
    async def closing(request: Request, response: Any) -> None:
        code.teardown(request.path)

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

    @app.get("/endless")
    async def endless(request: Request) -> Any:
        response = await request.respond(content_type="text/plain")
        async with contextlib.aclosing(code.aendless()) as chunks:
            async for chunk in chunks:
                await response.send(chunk)

    @app.get("/background")
    async def background(request: Request) -> Any:
        app.add_task(code.abackground())
        return text("started")

    @app.get("/teardown-boom")
    async def teardown(request: Request) -> Any:
        return text(code.ok())

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
        # As Sanic's runner says; tasks can't be added before.
        app.state.server_info.append(ApplicationServerInfo(settings={}, stage=ServerStage.SERVING))
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
        app.state.server_info.clear()

    def work() -> None:
        try:
            with contextlib.suppress(Boom):  # of a listener
                loop.run_until_complete(main())
        finally:
            started.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        assert started.wait(HANG) and thread.is_alive(), "Sanic did not start"
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(HANG)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        listener.close()
        assert not thread.is_alive(), "Sanic did not stop"


class TestSanic(Requests, Bodies, Streams, Backgrounds, Middlewares, Teardowns, Departures):
    """All behaviours; "teardown" is a response middleware."""

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

    @pytest.mark.parametrize("asynchronous", [True, False], ids=["coroutine", "function"])
    def test_an_exception_handler_that_fails(self, watched: Watched, asynchronous: bool) -> None:
        """Sanic answers 500 and, of a coroutine, tells nobody: one event, also if it raises what it was given again."""
        app = self.build(Code(watched.client))

        class Returned(Exception):
            pass

        @app.get("/returned")
        async def returned(request: Request) -> Any:
            raise Returned("parcel")

        def fails(request: Request, error: Exception) -> Any:
            raise error

        async def afails(request: Request, error: Exception) -> Any:
            raise error

        app.exception(Returned)(afails if asynchronous else fails)
        undo = self.install(app, client=watched.client)
        with self.run(app) as base, logged_to(watched):
            assert fetch(base, "/returned").status == 500
        about = described(watched.the_exception())
        assert about["type"].endswith("Returned")
        assert (about["source"], about["handled"], about["status"], about["route"]) == (
            "sanic.exception_handler",
            False,
            500,
            "/returned",
        )
        undo()
        assert "response" not in vars(app.error_handler)

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

    def test_background_tasks_have_their_own_source(self, watched: Watched) -> None:
        """A failed task is told apart from a failed request; a cancelled one, and one that handles its error, are no events."""
        app = self.build(code := Code(watched.client))

        async def waits() -> None:
            await asyncio.sleep(HANG)

        async def handles() -> None:
            with contextlib.suppress(Boom):
                code.boom()

        @app.get("/tasks")
        async def tasks(request: Request) -> Any:
            task = app.add_task(waits())
            await asyncio.sleep(0)
            task.cancel()
            await app.add_task(handles())
            return text("done")

        self.install(app, client=watched.client)
        with self.run(app) as base:
            assert fetch(base, "/tasks").status == 200
            fetch(base, "/background")
        about = described(watched.the_exception())
        assert (about["source"], about["mechanism"]) == ("sanic.server_exception_report", "task")

    def test_a_task_from_before_the_start(self, watched: Watched) -> None:
        """`app.add_task` may be called while there is no loop yet: one event, of no user."""
        app = self.build(code := Code(watched.client))
        failed = threading.Event()

        async def task() -> None:
            try:
                await code.abackground()
            finally:
                failed.set()

        app.add_task(task())
        self.install(app, client=watched.client)
        with self.run(app) as base:
            assert failed.wait(HANG)
            fetch(base, "/ok")
        event = watched.the_exception()
        assert described(event)["source"] == "sanic.server_exception_report"
        assert "$request_path" not in event["properties"]

    def test_a_listener_that_fails(self, watched: Watched) -> None:
        """An error when the server stops belongs to no request, and is one event."""
        app = self.build(code := Code(watched.client))

        @app.before_server_stop
        async def stopping(app: Any) -> None:
            code.boom("listener")

        self.install(app, client=watched.client)
        with self.run(app) as base:
            fetch(base, "/ok")
        assert described(watched.the_exception())["source"] == "sanic.server_exception_report"

    def test_a_response_middleware_that_fails(self, watched: Watched) -> None:
        """Sanic answers as if nothing had been; the event says with which status, and for which route."""
        with self.serving(watched) as base:
            assert fetch(base, "/teardown-boom").body == b"fine"
        expected = self.unhandled(
            "/teardown-boom", source="sanic.response_middleware", route="/teardown-boom", status=200
        )
        assert described(watched.the_exception()) == expected

    def test_an_undo_leaves_nothing_behind(self, watched: Watched) -> None:
        """Neither middleware nor what looks on Sanic's log."""
        app = self.build(Code(watched.client))

        def state() -> Any:
            return list(error_logger.filters), list(app.request_middleware), vars(app.ctx)

        before = state()
        undo = self.install(app, client=watched.client)
        assert state() != before
        undo()
        assert state() == before

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


PROGRAM = """
import json, sys, threading, urllib.error, urllib.request
from sanic import Sanic
from sanic.response import text
import phtrack
from phtrack.testing import RecordingTransport

transport = RecordingTransport()
phtrack.init("phc_test", transport=transport, integrations=["sanic"])
app = Sanic("shop", configure_logging=False)

def fail(what):
    raise KeyError(what)

@app.get("/boom")
async def boom(request):
    fail("handler")

@app.get("/task")
async def task(request):
    async def work():
        fail("task")
    app.add_task(work())
    return text("started")

@app.get("/closing")
async def closing(request):
    return text("fine")

@app.on_response
async def on_response(request, response):
    if request.path == "/closing":
        fail("response middleware")

@app.get("/handled")
async def handled(request):
    raise ZeroDivisionError("mine")

@app.exception(ZeroDivisionError)
async def mine(request, error):
    return text("later", 503)

@app.after_server_start
async def ask(app, loop):
    def work():
        for path in ("/boom", "/task", "/closing", "/handled"):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=30).close()
            except urllib.error.HTTPError as error:
                error.close()
        loop.call_soon_threadsafe(app.stop)
    threading.Thread(target=work).start()

PORT = int(sys.argv[1])
app.run("127.0.0.1", PORT, single_process=True, motd=False, access_log=False)
phtrack.flush()
events = transport.named("$exception")
print(json.dumps([[e["properties"]["$exception_source"], e["properties"]["$exception_message"]] for e in events]))
"""


def test_in_a_process_of_its_own() -> None:
    """Where Sanic's runner has cut from its code what nobody listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(port)], capture_output=True, text=True, timeout=2 * HANG)
    told = json_of(done.stdout.splitlines()[-1]) if done.stdout else done.stderr
    assert sorted(told) == [
        ["sanic.http_lifecycle_exception", "'handler'"],
        ["sanic.response_middleware", "'response middleware'"],
        ["sanic.server_exception_report", "'task'"],
    ]


class TestUnderUvicorn(TestSanic):
    """All behaviours, where Sanic is an ASGI application."""

    test_a_client_that_leaves_a_stream = None  # Sanic goes on with the stream there, with phtrack and without

    def run(self, app: Any) -> AbstractContextManager[str]:
        return serve_asgi(app)
