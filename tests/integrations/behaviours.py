"""
What every web integration does, written once and run against each framework over a real socket.

A framework's test module subclasses `Requests`, which every framework must pass, with the mixins for what the framework also
has (`Streams`, `Backgrounds`, `Middlewares`, `Teardowns`, `Departures`), and answers three questions:

    class TestFlask(Requests, Streams, Teardowns):
        source = "flask.got_request_exception"

        def build(self, code: Code) -> Any:           # a new application with the routes below; handlers call *code*
        def install(self, app: Any, **options: Any):  # the integration on *app*; returns its undo
        def run(self, app: Any):                      # a context manager: a real server in a thread -> base URL

Routes of `build` (GET unless said; `async` handlers use the `a…` twin of a method where there is one):

    /ok                 code.ok()                           200, text
    /boom               code.boom()                         raises: unhandled
    /items/<number>     code.boom(number)                   raises: unhandled, on a route with a parameter
    /handled            code.handled()                      raises Handled, which the app's error handler answers with 409
    /degraded           code.degraded()                     raises Degraded, which the app's error handler answers with 503
    /missing            the framework's own "404 not found" raised by the handler
    /whoami             code.whoami()                       JSON of the context
    /identify           code.identify()                     the handler says who the user is, then raises
    /meet/<number>      code.meet(number) | await code.ameet(number)   JSON of the context after others came in between
    /echo (POST)        the request's body, read by the application
    /post-boom (POST)   the body is read, then code.boom()
    Streams:     /stream-boom   a stream of code.chunks() | code.achunks(), which raises after the first chunk
    Backgrounds: /background    answers 200; then code.background() raises in the framework's background task
    Middlewares: a middleware of the application, outside of its views, that calls code.middleware(path) for each request
    Teardowns:   a teardown of the framework's, that calls code.teardown(path) for each request
    Departures:  /endless       a stream of code.endless() | code.aendless(), which goes on until the client is gone

After a test's server has stopped, all that it started is over; only then events are counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

import phtrack
from phtrack import Client
from phtrack.testing import FakeClock, RecordingTransport

HANG = 30.0
"""Seconds after which a test that waits has failed."""


class Boom(Exception):
    """What the applications fail with."""


class Handled(Exception):
    """What the applications have an error handler for."""


class Degraded(Exception):
    """What the applications have an error handler for that answers with a server error."""


# --- the application's own code --------------------------------------------------------------------------------------


class Code:
    """What the handlers of every framework's test application call."""

    def __init__(self, client: Client | None, together: int = 50) -> None:
        self._client = client
        self._barrier = threading.Barrier(together)
        self._together = together
        self._inside = 0
        self._met: asyncio.Event | None = None
        self.left = threading.Event()
        """Set when nobody wants more of `endless`."""

    def ok(self) -> str:
        return "fine"

    def boom(self, number: Any = 0) -> Any:
        raise Boom(f"order {number} is broken")

    def handled(self) -> Any:
        raise Handled("no stock")

    def degraded(self) -> Any:
        raise Degraded("no warehouse")

    def whoami(self) -> dict[str, Any]:
        return {
            "distinct_id": phtrack.get_context_distinct_id(),
            "session_id": phtrack.get_context_session_id(),
            "tags": phtrack.get_tags(),
        }

    def identify(self) -> Any:
        phtrack.identify_context("found-in-handler")
        phtrack.tag("plan", "pro")
        return self.boom()

    def meet(self, number: Any) -> dict[str, Any]:
        """Tag the context, wait until others are in the same place, and look at the context again."""
        phtrack.tag("number", str(number))
        self._barrier.wait(HANG)
        return self._after(number)

    async def ameet(self, number: Any) -> dict[str, Any]:
        phtrack.tag("number", str(number))
        if self._met is None:
            self._met = asyncio.Event()
        met = self._met
        self._inside += 1
        if self._inside % self._together == 0:
            self._met = None
            met.set()
        await asyncio.wait_for(met.wait(), HANG)
        return self._after(number)

    def _after(self, number: Any) -> dict[str, Any]:
        if self._client is not None:
            self._client.capture("met", properties={"asked": str(number)})
        return self.whoami()

    def chunks(self) -> Iterator[bytes]:
        yield b"first;"
        phtrack.tag("chunk", 2)
        self.boom("stream")

    async def achunks(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks():
            yield chunk

    def endless(self) -> Iterator[bytes]:
        try:
            for _ in range(int(HANG * 100)):
                yield b"more;" * 1_000
                time.sleep(0.01)
        finally:
            self.left.set()

    async def aendless(self) -> AsyncIterator[bytes]:
        try:
            for _ in range(int(HANG * 100)):
                yield b"more;" * 1_000
                await asyncio.sleep(0.01)
        finally:
            self.left.set()

    def background(self) -> None:
        self.boom("background")

    async def abackground(self) -> None:
        self.boom("background")

    def middleware(self, path: str) -> None:
        if path == "/middleware-boom":
            self.boom("middleware")

    def teardown(self, path: str) -> None:
        if path == "/teardown-boom":
            self.boom("teardown")


# --- servers ---------------------------------------------------------------------------------------------------------


@contextmanager
def serve_asgi(app: Any, *, lifespan: str = "auto") -> Iterator[str]:
    """*app* in a uvicorn of its own thread; at the end everything that it started is over."""
    import uvicorn

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan=lifespan, timeout_graceful_shutdown=10)
    server = uvicorn.Server(config)
    started = threading.Event()
    startup = server.startup
    loops: list[asyncio.AbstractEventLoop] = []
    stop = asyncio.Event()

    async def tell(*args: Any, **kwargs: Any) -> None:
        await startup(*args, **kwargs)
        if server.started:
            loops.append(asyncio.get_running_loop())
            started.set()

    async def until_told() -> None:
        await server.on_tick(0)
        await stop.wait()

    server.startup = tell  # type: ignore[method-assign]
    server.main_loop = until_told  # type: ignore[method-assign] # its own looks ten times a second whether to stop

    def serve() -> None:
        # An application that fails to start ends its server.
        with contextlib.suppress(SystemExit):
            asyncio.run(server.serve(sockets=[listener]))
        started.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        assert started.wait(HANG) and server.started, "uvicorn did not start"
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for loop in loops:
            loop.call_soon_threadsafe(stop.set)
        thread.join(HANG)
        listener.close()
        assert not thread.is_alive(), "uvicorn did not stop"


@contextmanager
def serve_wsgi(app: Any) -> Iterator[str]:
    """*app* in wsgiref's server, a thread per request; at the end everything that it started is over."""
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

    class Handler(ServerHandler):
        def log_exception(self, exc_info: Any) -> None:
            """The test knows."""

    class RequestHandler(WSGIRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def handle(self) -> None:
            self.raw_requestline = self.rfile.readline(65_537)
            if not self.parse_request():
                return
            handler = Handler(self.rfile, self.wfile, self.get_stderr(), self.get_environ(), multithread=True)
            handler.request_handler = self  # type: ignore[attr-defined]
            handler.run(self.server.get_app())  # type: ignore[attr-defined]

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = False
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away."""

    server = Server(("127.0.0.1", 0), RequestHandler)
    server.set_app(app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(HANG)
        server.server_close()  # waits for the requests


# --- the client's side -----------------------------------------------------------------------------------------------


@dataclass
class Response:
    """An answer as it came over the wire."""

    raw: bytes
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def comparable(self) -> bytes:
        """All of it but the time of day."""
        return re.sub(rb"(?im)^date: [^\r\n]*\r\n", b"", self.raw)


def fetch(
    base: str,
    path: str,
    headers: dict[str, str | bytes] | None = None,
    *,
    method: str = "GET",
    body: bytes = b"",
    content_type: str = "text/plain",
) -> Response:
    """One request on a connection of its own; header values go out as they are, whatever they hold."""
    host = urlsplit(base).netloc
    lines = [f"{method} {path} HTTP/1.1".encode(), f"Host: {host}".encode(), b"Connection: close"]
    if body or method == "POST":
        lines += [b"Content-Length: %d" % len(body), f"Content-Type: {content_type}".encode()]
    for name, value in (headers or {}).items():
        lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
    return exchange(base, b"\r\n".join(lines) + b"\r\n\r\n" + body)


def exchange(base: str, request: bytes) -> Response:
    """Send *request* and read until the server closes."""
    where = urlsplit(base)
    received = b""
    with socket.create_connection((where.hostname, where.port), timeout=HANG) as connection:
        # A server may answer and hang up before it has read all of a hostile request.
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(65_536):
                received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _unchunked(body)
    status = int(status_line.split()[1]) if status_line else 0
    return Response(received, status, headers, body)


def _unchunked(body: bytes) -> bytes:
    found = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        count = int(size or b"0", 16)
        found += body[:count]
        body = body[count + 2 :]
    return found


# --- what arrived ----------------------------------------------------------------------------------------------------


class Watched:
    """A client and what it has sent."""

    def __init__(self, **options: Any) -> None:
        self.transport = RecordingTransport()
        # The clock stands still: no sending thread, `flush` takes the turns.
        self.client = Client("phc_test", transport=self.transport, clock=FakeClock(), **options)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events called *name* that were captured so far."""
        assert self.client.flush()
        return self.transport.named(name)

    def exceptions(self) -> list[dict[str, Any]]:
        """All exceptions that were captured so far."""
        return self.events("$exception")

    def the_exception(self) -> dict[str, Any]:
        """The only exception's event."""
        found = self.exceptions()
        assert len(found) == 1, [(one["properties"].get("$exception_source"), described(one)) for one in found]
        return found[0]


@contextmanager
def logged_to(watched: Watched) -> Iterator[None]:
    """The logging handler on the root logger, and loggers as they are by default: uvicorn's keep what they say to themselves."""
    handler, uvicorn = phtrack.PosthogLoggingHandler(client=watched.client), logging.getLogger("uvicorn")
    quiet = [logging.getLogger(name) for name in ("tornado", "sanic.root", "sanic.server")]
    levels = [logger.level for logger in quiet]
    logging.getLogger().addHandler(handler)
    uvicorn.propagate = False
    for logger in quiet:
        logger.setLevel(logging.NOTSET)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        uvicorn.propagate = True
        for logger, level in zip(quiet, levels, strict=True):
            logger.setLevel(level)


def described(event: dict[str, Any]) -> dict[str, Any]:
    """What the boundary said of an exception: the part of its properties that the wire contract's table is about."""
    told = event["properties"]
    mechanism = told["$exception_list"][0]["mechanism"]
    return {
        "type": told["$exception_list"][0]["type"],
        "level": told["$exception_level"],
        "mechanism": mechanism["type"],
        "handled": mechanism["handled"],
        "source": told.get("$exception_source"),
        "route": told.get("$request_route"),
        "status": told.get("$response_status_code"),
    }


# --- the suites ------------------------------------------------------------------------------------------------------


class _Adapter:
    """The questions that a framework's test answers; see the module's docstring."""

    source: str
    """`$exception_source` of an unhandled error."""
    handled_source: str | None = None
    """`$exception_source` of an error that the app's handler answered with a 5xx; None: it is not captured."""
    together: int = 50
    """How many requests may be inside their handlers at the same time: 50, or for servers with few threads 10 or 25."""
    reads_bodies_itself: bool = False
    """True for a framework that has read the body before the application asks."""
    routes: dict[str, str]
    """Path -> `$request_route`: at least of `/boom` and `/items/7`, as the framework writes them."""

    def build(self, code: Code) -> Any:
        raise NotImplementedError

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        """The integration on *app*; *options* are at least `client`."""
        raise NotImplementedError

    def install_auto(self) -> Callable[[], None] | None:
        """The integration without an app, for the default client; None where there is nothing to hook into."""
        raise NotImplementedError

    def run(self, app: Any) -> AbstractContextManager[str]:
        raise NotImplementedError

    @contextmanager
    def serving(self, watched: Watched | None, **options: Any) -> Iterator[str]:
        """The application with phtrack reporting to *watched*, or without phtrack."""
        app = self.build(Code(watched.client if watched is not None else None, self.together))
        undo = self.install(app, client=watched.client, **options) if watched is not None else None
        try:
            with self.run(app) as base:
                yield base
        finally:
            if undo is not None:
                undo()

    def unhandled(self, path: str, **differs: Any) -> dict[str, Any]:
        """What an unhandled error on *path* is described as."""
        return {
            "type": "Boom",
            "level": "error",
            "mechanism": "middleware",
            "handled": False,
            "source": self.source,
            "route": self.routes.get(path),
            "status": 500,
            **differs,
        }


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A client of this test alone, and what it sent. In `conftest.py` for all frameworks."""
    one = Watched()
    yield one
    one.client.shutdown()


class Requests(_Adapter):
    """What holds for every framework."""

    @pytest.mark.parametrize("path", ["/boom", "/items/7"])
    def test_an_unhandled_error_is_one_event(self, watched: Watched, path: str) -> None:
        """One event, with the boundary's level, mechanism, source, route and status; the client gets a 500."""
        with self.serving(watched) as base:
            response = fetch(base, f"{path}?secret=1")
        event = watched.the_exception()
        assert response.status == 500
        assert described(event) == self.unhandled(path)
        told = event["properties"]
        assert told["$request_method"] == "GET"
        assert told["$request_path"] == path
        assert told["$current_url"] == f"{base}{path}"
        assert told["$ip"] == "127.0.0.1"

    def test_an_error_that_is_logged_too_is_one_event(self, watched: Watched) -> None:
        """With our handler on the root logger, what the framework and its server log of an error is no second event."""
        with self.serving(watched) as base, logged_to(watched):
            assert fetch(base, "/boom").status == 500
        assert described(watched.the_exception()) == self.unhandled("/boom")

    def test_the_route_is_known_in_the_handler(self, watched: Watched) -> None:
        """It is on what a handler captures itself, too."""
        with self.serving(watched) as base:
            seen = fetch(base, "/whoami").json()["tags"]
        known = self.routes.get("/boom")
        assert seen.get("$request_route") == (None if known is None else known.replace("boom", "whoami"))

    def test_no_error_no_event(self, watched: Watched) -> None:
        """A request that works sends nothing."""
        with self.serving(watched) as base:
            assert fetch(base, "/ok").body == b"fine"
            assert fetch(base, "/nowhere").status == 404
        assert watched.exceptions() == []

    def test_an_error_that_the_app_answers(self, watched: Watched) -> None:
        """An error handler's 4xx is the application's decision and no event."""
        with self.serving(watched) as base:
            assert fetch(base, "/handled").status == 409
        assert watched.exceptions() == []

    def test_an_error_that_the_app_answers_with_a_server_error(self, watched: Watched) -> None:
        """Where the contract has a boundary for it, an error handler's 5xx is one event that says `handled`; else none."""
        with self.serving(watched) as base:
            assert fetch(base, "/degraded").status == 503
        if self.handled_source is None:
            assert watched.exceptions() == []
        else:
            about = described(watched.the_exception())
            assert (about["type"], about["source"], about["handled"]) == ("Degraded", self.handled_source, True)
            assert (about["level"], about["mechanism"], about["status"]) == ("error", "middleware", 503)

    def test_control_flow_is_no_error(self, watched: Watched) -> None:
        """The framework's own "not found" is an answer, not an error."""
        with self.serving(watched) as base:
            assert fetch(base, "/missing").status == 404
        assert watched.exceptions() == []

    def test_ids_come_from_the_headers(self, watched: Watched) -> None:
        """Distinct id and session id of the tracing headers are the context's, and so the event's."""
        sent: dict[str, str | bytes] = {
            "X-POSTHOG-DISTINCT-ID": "user-1",
            "x-posthog-session-id": "session-1",
            "User-Agent": "curl/8",
        }
        with self.serving(watched) as base:
            seen = fetch(base, "/whoami", sent).json()
            fetch(base, "/boom", sent)
        assert (seen["distinct_id"], seen["session_id"]) == ("user-1", "session-1")
        assert seen["tags"]["$request_path"] == "/whoami"
        event = watched.the_exception()
        assert event["distinct_id"] == "user-1"
        assert event["properties"]["$session_id"] == "session-1"
        assert event["properties"]["$user_agent"] == "curl/8"

    def test_headers_can_be_left_alone(self, watched: Watched) -> None:
        """With `capture_tracing_headers=False` the headers mean nothing."""
        with self.serving(watched, capture_tracing_headers=False) as base:
            seen = fetch(base, "/whoami", {"X-POSTHOG-DISTINCT-ID": "user-1"}).json()
        assert seen["distinct_id"] is None

    def test_captures_can_be_turned_off(self, watched: Watched) -> None:
        """With `capture_exceptions=False` there is the context, but no event."""
        with self.serving(watched, capture_exceptions=False) as base:
            assert fetch(base, "/boom").status == 500
            assert fetch(base, "/whoami").json()["tags"]["$request_method"] == "GET"
        assert watched.exceptions() == []

    def test_what_the_handler_says_is_on_the_event(self, watched: Watched) -> None:
        """The user and the tags that a handler sets are on the event that is captured outside of it."""
        with self.serving(watched) as base:
            fetch(base, "/identify", {"X-POSTHOG-DISTINCT-ID": "from-header"})
        event = watched.the_exception()
        assert event["distinct_id"] == "found-in-handler"
        assert event["properties"]["plan"] == "pro"

    def test_requests_at_the_same_time_never_mix(self, watched: Watched) -> None:
        """Of 50 interleaved requests each sees its own ids and tags, during the request and on its events."""
        with self.serving(watched) as base, ThreadPoolExecutor(50) as pool:

            def ask(number: int) -> Any:
                sent: dict[str, str | bytes] = {
                    "X-POSTHOG-DISTINCT-ID": f"user-{number}",
                    "X-POSTHOG-SESSION-ID": f"session-{number}",
                }
                return fetch(base, f"/meet/{number}", sent).json()

            answers = list(pool.map(ask, range(50)))
            after = fetch(base, "/whoami").json()
        for number, seen in enumerate(answers):
            assert (seen["distinct_id"], seen["session_id"]) == (f"user-{number}", f"session-{number}")
            assert seen["tags"]["number"] == str(number)
            assert seen["tags"]["$request_path"] == f"/meet/{number}"
        assert (after["distinct_id"], after["tags"].get("number")) == (None, None)
        events = watched.events("met")
        assert len(events) == 50
        for event in events:
            number = event["properties"]["asked"]
            assert event["distinct_id"] == f"user-{number}"
            assert event["properties"]["number"] == number

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(b"evil\x01\x07id", id="control-characters"),
            pytest.param(b"good\r\n X-Folded: evil", id="folded"),
            pytest.param(b"good\rX-Injected: evil", id="carriage-return"),
            pytest.param("пользователь-💥".encode(), id="non-latin"),
            pytest.param(b"x" * 6_000, id="long"),
            pytest.param(b"x" * 1_000_000, id="one-megabyte"),
            pytest.param(b"   ", id="blank"),
        ],
    )
    def test_hostile_headers(self, watched: Watched, value: bytes) -> None:
        """Whatever stands in the headers, the answer is the one without phtrack, and ids are short and printable."""
        sent: dict[str, str | bytes] = {"X-POSTHOG-DISTINCT-ID": value, "User-Agent": value}
        with self.serving(None) as base:
            bare = fetch(base, "/boom", sent)
        with self.serving(watched) as base:
            response = fetch(base, "/boom", sent)
        assert response.status == bare.status
        for event in watched.exceptions():
            for text in (event["distinct_id"], event["properties"].get("$user_agent", "none")):
                assert 0 < len(text) <= 1_000
                assert text.isprintable()

    def test_the_response_is_the_same(self, watched: Watched) -> None:
        """Byte for byte, with phtrack and without."""

        def answers(base: str) -> list[bytes]:
            paths = ["/ok", "/boom", "/items/7", "/handled", "/degraded", "/missing", "/nowhere"]
            paths += ["/stream-boom", "/background", "/middleware-boom", "/teardown-boom"]  # where there are such
            found = [fetch(base, path) for path in paths]
            found.append(fetch(base, "/ok", method="HEAD"))
            found.append(fetch(base, "/echo", method="POST", body=b"\x00\xffbody" * 1_000))
            assert found[-1].body == b"\x00\xffbody" * 1_000
            return [one.comparable().replace(base.encode(), b"") for one in found]

        with self.serving(None) as base:
            bare = answers(base)
        with self.serving(watched) as base:
            assert answers(base) == bare

    def test_undo_restores_everything(self, watched: Watched) -> None:
        """After the undo the application runs as if phtrack had never been there; it can be installed again."""
        app = self.build(Code(watched.client))
        undo = self.install(app, client=watched.client)
        undo()
        undo()
        with self.run(app) as base:
            assert fetch(base, "/boom").status == 500
            assert fetch(base, "/whoami").json() == {"distinct_id": None, "session_id": None, "tags": {}}
        assert watched.exceptions() == []

    def test_installing_twice_does_no_harm(self, watched: Watched) -> None:
        """The second install changes nothing: one event per error, and one undo is enough."""
        app = self.build(Code(watched.client))
        self.install(app, client=watched.client)
        undo = self.install(app, client=watched.client)
        with self.run(app) as base:
            fetch(base, "/boom")
        assert described(watched.the_exception()) == self.unhandled("/boom")
        undo()
        with self.run(app) as base:
            assert fetch(base, "/whoami").json()["tags"] == {}

    def test_installed_for_every_app(self, watched: Watched) -> None:
        """`install_auto` needs no app: what is built afterwards reports to the default client, until the undo."""
        phtrack.default_client = watched.client
        undo = self.install_auto()
        if undo is None:
            return
        try:
            with self.run(self.build(Code(watched.client))) as base:
                fetch(base, "/boom", {"X-POSTHOG-DISTINCT-ID": "user-1"})
            event = watched.the_exception()
            assert described(event) == self.unhandled("/boom")
            assert event["distinct_id"] == "user-1"
            with self.serving(watched) as base:
                fetch(base, "/items/7")
            assert len(watched.exceptions()) == 2, "installed both ways, an error is still one event"
        finally:
            undo()
        with self.run(self.build(Code(watched.client))) as base:
            fetch(base, "/identify")
            assert fetch(base, "/whoami").json()["tags"] == {}
        assert len(watched.exceptions()) == 2


class Streams(_Adapter):
    """For frameworks whose handlers may answer with a stream."""

    streamed_source: str | None = None
    """`$exception_source` of an error in a streamed body, if it is another than `source`."""

    def test_an_error_in_a_streamed_body(self, watched: Watched) -> None:
        """One event, in the request's context, although the response has begun."""
        with self.serving(watched) as base:
            response = fetch(base, "/stream-boom", {"X-POSTHOG-DISTINCT-ID": "user-1"})
        event = watched.the_exception()
        assert b"first;" in response.raw
        about = described(event)
        expected = self.unhandled("/stream-boom", source=self.streamed_source or self.source)
        # The status that went out was the one of a success.
        assert {**about, "status": None} == {**expected, "status": None}
        assert about["status"] in (None, 200)
        assert event["distinct_id"] == "user-1"
        assert event["properties"]["chunk"] == 2

    def test_an_error_in_a_streamed_body_that_is_logged_too(self, watched: Watched) -> None:
        """That the response could not be finished, as some servers log, is no second event."""
        with self.serving(watched) as base, logged_to(watched):
            fetch(base, "/stream-boom")
        assert described(watched.the_exception())["type"] == "Boom"

    def test_what_there_was_of_a_stream_is_the_same(self, watched: Watched) -> None:
        """Byte for byte, with phtrack and without, to the point where it fails."""
        with self.serving(None) as base:
            bare = fetch(base, "/stream-boom").comparable()
        with self.serving(watched) as base:
            assert fetch(base, "/stream-boom").comparable() == bare


class Backgrounds(_Adapter):
    """For frameworks that run tasks after the response."""

    def test_an_error_in_a_background_task(self, watched: Watched) -> None:
        """One event, with the ids of the request that started the task; the client has its answer."""
        with self.serving(watched) as base:
            response = fetch(base, "/background", {"X-POSTHOG-DISTINCT-ID": "user-1"})
        event = watched.the_exception()
        assert response.status == 200
        about = described(event)
        assert (about["type"], about["handled"], about["level"]) == ("Boom", False, "error")
        assert event["distinct_id"] == "user-1"


class Middlewares(_Adapter):
    """For applications with middleware of their own, outside of the views."""

    def test_an_error_in_another_middleware(self, watched: Watched) -> None:
        """One event, with the request's facts."""
        with self.serving(watched) as base:
            assert fetch(base, "/middleware-boom", {"X-POSTHOG-DISTINCT-ID": "user-1"}).status == 500
        event = watched.the_exception()
        about = described(event)
        assert (about["type"], about["handled"], about["level"]) == ("Boom", False, "error")
        assert event["properties"]["$request_path"] == "/middleware-boom"
        assert event["distinct_id"] == "user-1"


class Bodies(_Adapter):
    """For integrations that can tell the body of a request; the application needs `/post-boom`."""

    def test_the_body_is_told_when_asked(self, watched: Watched) -> None:
        """With `capture_body` what the application read of a JSON body or a form is a step of the event, scrubbed."""
        with self.serving(watched, capture_body=True) as base:
            for kind, body in [
                ("application/json", b'{"items": 3, "password": "hunter2"}'),
                ("application/x-www-form-urlencoded", b"items=3&password=hunter2"),
            ]:
                assert fetch(base, "/post-boom", method="POST", body=body, content_type=kind).status == 500
        events = watched.exceptions()
        assert len(events) == 2
        for event in events:
            (step,) = event["properties"]["$exception_steps"]
            told = step.get("json") or step.get("form")
            assert str(told["items"]) == "3"
            assert told["password"] != "hunter2"

    def test_the_body_is_not_told_unless_asked(self, watched: Watched) -> None:
        """By default nothing of the body is on the event."""
        with self.serving(watched, capture_exceptions=True) as base:
            fetch(base, "/post-boom", method="POST", body=b'{"items": 3}', content_type="application/json")
        assert "$exception_steps" not in watched.the_exception()["properties"]

    def test_a_body_that_nobody_reads_stays_unread(self, watched: Watched) -> None:
        """Asking for bodies reads nothing that the application doesn't read."""
        with self.serving(watched, capture_body=True) as base:
            fetch(base, "/boom", method="GET", body=b'{"items": 3}', content_type="application/json")
        for step in watched.the_exception()["properties"].get("$exception_steps", []):
            assert step.get("kind") != "request" or self.reads_bodies_itself


class Teardowns(_Adapter):
    """For frameworks that call back when a request is over."""

    def test_an_error_in_teardown(self, watched: Watched) -> None:
        """One event, and the next request starts with a clean context."""
        with self.serving(watched) as base:
            fetch(base, "/teardown-boom", {"X-POSTHOG-DISTINCT-ID": "user-1"})
            after = fetch(base, "/whoami").json()
        event = watched.the_exception()
        assert described(event)["handled"] is False
        assert event["distinct_id"] == "user-1"
        assert after["distinct_id"] is None


class Departures(_Adapter):
    """For applications whose clients leave before the end: that is nobody's error."""

    @pytest.mark.parametrize("how", ["closed", "reset"])
    def test_a_client_that_leaves_a_stream(self, watched: Watched, how: str) -> None:
        """No event, and the application's generator comes to its end."""
        code = Code(watched.client)
        app = self.build(code)
        undo = self.install(app, client=watched.client)
        with self.run(app) as base:
            with _connected(base, how) as connection:
                connection.sendall(b"GET /endless HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                received = b""
                while b"more;" not in received:
                    received += connection.recv(1_000)
            assert code.left.wait(HANG)
            assert fetch(base, "/ok").body == b"fine"
        undo()
        assert watched.exceptions() == []

    @pytest.mark.parametrize("how", ["closed", "reset"])
    def test_a_client_that_leaves_while_it_sends(self, watched: Watched, how: str) -> None:
        """No event for a body of which only half arrives."""
        with self.serving(watched, capture_body=True) as base:
            with _connected(base, how) as connection:
                connection.sendall(b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf")
            assert fetch(base, "/ok").body == b"fine"
        assert watched.exceptions() == []


@contextmanager
def _connected(base: str, how: str) -> Iterator[socket.socket]:
    """A connection that ends as its client wants."""
    where = urlsplit(base)
    with socket.create_connection((where.hostname, where.port), timeout=HANG) as connection:
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        yield connection
