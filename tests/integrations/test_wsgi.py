"""Plain WSGI middleware around an application without a framework, under wsgiref."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from phtrack.integrations.wsgi import PosthogWSGIMiddleware

import phtrack

from ..sink import Sink
from .behaviours import (
    HANG,
    Code,
    Degraded,
    Handled,
    Middlewares,
    Requests,
    Streams,
    Teardowns,
    Watched,
    fetch,
    serve_wsgi,
)
from .behaviours import described as described


class Application:
    """What a framework would do, by hand; `wsgi_app` is what runs."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self.wsgi_app: Any = self.application

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.wsgi_app(environ, start_response)

    def application(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.code.middleware(path)
        try:
            status, body = self.answer(path, environ)
        except Handled:
            status, body = "409 Conflict", b"conflict"
        except Degraded:
            status, body = "503 Later", b"later"
        if path == "/stream-boom":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return self.code.chunks()
        start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return Closing([body] if environ["REQUEST_METHOD"] != "HEAD" else [], lambda: self.code.teardown(path))

    def answer(self, path: str, environ: Any) -> tuple[str, bytes]:
        code = self.code
        name, _, number = path.strip("/").partition("/")
        if name in ("ok", "teardown-boom"):
            return "200 OK", code.ok().encode()
        if name in ("boom", "items"):
            return code.boom(number)  # type: ignore[no-any-return]
        if name == "whoami":
            return "200 OK", json.dumps(code.whoami()).encode()
        if name == "meet":
            return "200 OK", json.dumps(code.meet(number)).encode()
        if name == "echo":
            return "200 OK", environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        if name in ("handled", "degraded", "identify"):
            return getattr(code, name)()  # type: ignore[no-any-return]
        return "404 Not Found", b"nothing here"


class Closing:
    """A body with one chunk, a length and a `close`, as frameworks make them."""

    def __init__(self, chunks: list[bytes], close: Callable[[], None]) -> None:
        self.chunks = chunks
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    def __len__(self) -> int:
        return len(self.chunks)


class TestWSGI(Requests, Streams, Middlewares, Teardowns):
    """All behaviours; WSGI knows of no routes."""

    source = "wsgi.middleware"
    routes = {}

    def build(self, code: Code) -> Any:
        return Application(code)

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        before = app.wsgi_app
        app.wsgi_app = PosthogWSGIMiddleware(before, **{"capture_exceptions": True, **options})

        def undo() -> None:
            app.wsgi_app = app.application

        return undo

    def install_auto(self) -> Callable[[], None] | None:
        return None  # there is nothing that all WSGI applications share

    def run(self, app: Any) -> AbstractContextManager[str]:
        return serve_wsgi(app)

    def test_unless_told_it_captures_as_the_client_does(self, watched: Watched) -> None:
        """Without the option, escaping errors are events for clients with `enable_exception_autocapture` alone."""
        with self.serving(watched, capture_exceptions=None) as base:
            fetch(base, "/boom")
        assert watched.exceptions() == []
        eager = Watched(enable_exception_autocapture=True)
        try:
            with self.serving(eager, capture_exceptions=None) as base:
                fetch(base, "/boom")
            assert described(eager.the_exception()) == self.unhandled("/boom")
        finally:
            eager.client.shutdown()

    def test_an_error_page_says_what_it_is_for(self, watched: Watched) -> None:
        """`exc_info` of `start_response`, with a server error, is an error that the application gave up on."""

        def app(environ: Any, start_response: Any) -> list[bytes]:
            import sys

            status = environ["PATH_INFO"].strip("/")
            try:
                raise ValueError(status)
            except ValueError:
                start_response(f"{status} Sorry", [], sys.exc_info())
            return [b"sorry"]

        middleware = PosthogWSGIMiddleware(app, watched.client, True)
        with serve_wsgi(middleware) as base:
            assert [fetch(base, f"/{status}").status for status in ("404", "503")] == [404, 503]
        about = described(watched.the_exception())
        assert (about["type"], about["status"], about["handled"]) == ("ValueError", 503, False)

    def test_callbacks(self, watched: Watched) -> None:
        """The filter leaves requests alone, extra properties are on events, and either may fail."""

        def asked(environ: Any) -> Any:
            if environ["PATH_INFO"] == "/fail":
                raise LookupError("the callback's own")
            return environ["PATH_INFO"] != "/off"

        def extra(environ: Any) -> Any:
            return {"shop": "berlin"} if asked(environ) else {}

        def app(environ: Any, start_response: Any) -> list[bytes]:
            raise ValueError(environ["PATH_INFO"])

        middleware = PosthogWSGIMiddleware(app, watched.client, True, asked, extra)
        with serve_wsgi(middleware) as base:
            assert [fetch(base, path).status for path in ("/on", "/off", "/fail")] == [500, 500, 500]
        on, fail = (event["properties"] for event in watched.exceptions())
        assert (on["$request_path"], on["shop"]) == ("/on", "berlin")
        assert (fail["$request_path"], fail.get("shop")) == ("/fail", None)

    def test_a_client_that_went_away_is_no_error(self, watched: Watched) -> None:
        """What the server raises when the application writes to it is not the application's error."""

        def app(environ: Any, start_response: Any) -> list[bytes]:
            start_response("200 OK", [])(b"chunk")
            return []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
            def write(data: bytes) -> None:
                raise BrokenPipeError("gone")

            return write

        with pytest.raises(BrokenPipeError):
            PosthogWSGIMiddleware(app, watched.client, True)({}, start_response)
        assert watched.exceptions() == []

    def test_what_is_no_code_is_not_wrapped(self, watched: Watched) -> None:
        """Lists and files reach the server as they are, since it may send them in its own way."""
        import io
        from wsgiref.util import FileWrapper

        for body in ([b"a"], (b"a",), io.BytesIO(b"a"), FileWrapper(io.BytesIO(b"a"))):
            found = PosthogWSGIMiddleware(lambda *_: body, watched.client)({"wsgi.file_wrapper": FileWrapper}, print)
            assert found is body

    def test_the_facts_of_a_mounted_application(self, watched: Watched) -> None:
        """The address has the mount and is text; without a Host header it has the server's name."""
        seen: list[Any] = []

        def app(environ: Any, start_response: Any) -> list[bytes]:
            seen.append(phtrack.get_tags())
            return []

        environ = {
            "REQUEST_METHOD": "GET",
            "wsgi.url_scheme": "https",
            "SERVER_NAME": "shop.example",
            "SERVER_PORT": "8443",
            "SCRIPT_NAME": "/shop",
            "PATH_INFO": "/käse".encode().decode("latin-1"),
            "REMOTE_USER": "anna",
        }
        PosthogWSGIMiddleware(app, watched.client)(dict(environ), print)
        assert seen[0]["$current_url"] == "https://shop.example:8443/shop/käse"
        assert seen[0]["$request_path"] == "/käse"
        assert phtrack.get_tags() == {}

    def test_contexts_of_bodies_that_take_turns(self, watched: Watched) -> None:
        """One thread may stream several bodies by turns; each has its own context, and the thread has none."""

        def app(environ: Any, start_response: Any) -> Iterator[bytes]:
            for chunk in range(3):
                phtrack.tag("chunk", chunk)
                yield f"{phtrack.get_context_distinct_id()}:{phtrack.get_tags()['chunk']}".encode()

        middleware = PosthogWSGIMiddleware(app, watched.client)
        bodies = [iter(middleware({"HTTP_X_POSTHOG_DISTINCT_ID": who}, print)) for who in ("a", "b")]
        turns = [(next(bodies[0]), next(bodies[1]), phtrack.get_context_distinct_id()) for _ in range(3)]
        assert turns == [(f"a:{n}".encode(), f"b:{n}".encode(), None) for n in range(3)]
        assert [list(body) for body in bodies] == [[], []]


GUNICORN = """
import sys

import phtrack

phtrack.init("phc_test", host=HOST, integrations=())
from phtrack.integrations.wsgi import PosthogWSGIMiddleware


def application(environ, start_response):
    try:
        environ["wsgi.input"].read()
    except ConnectionError:
        print("the client is gone", file=sys.stderr, flush=True)
        raise
    start_response("200 OK", [("Content-Length", "2")])
    if environ["PATH_INFO"] == "/boom":
        raise ValueError("boom")
    return [b"ok"]


app = PosthogWSGIMiddleware(application, capture_exceptions=True)
"""


def test_a_client_that_leaves_gunicorn_while_it_sends(tmp_path: Path) -> None:
    """gunicorn lets the connection's own error through to whoever reads the body: no event, while others are."""
    with Sink() as sink, socket.socket() as listener:
        (tmp_path / "shop.py").write_text(GUNICORN.replace("HOST", repr(sink.url)))
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--bind",
            f"fd://{listener.fileno()}",
            "--threads",
            "2",
            "shop:app",
        ]
        server = subprocess.Popen(
            command, cwd=tmp_path, pass_fds=[listener.fileno()], stderr=subprocess.PIPE, text=True
        )
        try:
            base = f"http://127.0.0.1:{listener.getsockname()[1]}"
            assert fetch(base, "/").body == b"ok"
            with socket.create_connection(listener.getsockname(), timeout=HANG) as connection:
                connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
                assert connection.recv(100).startswith(
                    b"HTTP/1.1 100"
                )  # the application is reading now, or will at once
                connection.sendall(b"half")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            assert server.stderr is not None
            assert any("the client is gone" in line for line in server.stderr)
            fetch(base, "/boom")
            assert [event["properties"]["$exception_list"][0]["value"] for event in sink.wait(1)] == ["boom"]
        finally:
            server.terminate()
            server.communicate(timeout=HANG)
