"""Bottle under wsgiref."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any

import bottle
from bottle import Bottle, HTTPResponse, abort, request
from phtrack.integrations import bottle as integration

from .behaviours import (
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
    serve_wsgi,
)
from .behaviours import described as described


def application(code: Code) -> Bottle:
    app = Bottle()

    def answers(callback: Any) -> Any:
        """The application's own error handling: a plugin."""

        @wraps(callback)
        def answered(*args: Any, **kwargs: Any) -> Any:
            try:
                return callback(*args, **kwargs)
            except Handled:
                return HTTPResponse("conflict", 409)
            except Degraded:
                return HTTPResponse("later", 503)

        return answered

    app.install(answers)
    app.get("/ok", callback=code.ok)
    app.get("/teardown-boom", callback=code.ok)
    app.get("/boom", callback=code.boom)
    app.get("/items/<number:int>", callback=code.boom)
    app.get("/handled", callback=code.handled)
    app.get("/degraded", callback=code.degraded)
    app.get("/missing", callback=lambda: abort(404, "no such order"))
    app.get("/whoami", callback=code.whoami)
    app.get("/identify", callback=code.identify)
    app.get("/meet/<number>", callback=code.meet)
    app.post("/echo", callback=lambda: request.body.read())
    app.get("/stream-boom", callback=code.chunks)

    @app.get("/first-chunk")
    def first_chunk() -> Iterator[bytes]:
        code.boom()
        yield b"never"

    @app.post("/post-boom")
    def post_boom() -> Any:
        return code.boom(len(request.json or request.forms))

    app.add_hook("before_request", lambda: code.middleware(request.path))
    app.add_hook("after_request", lambda: code.teardown(request.path))
    return app


class TestBottle(Requests, Streams, Middlewares, Teardowns, Bodies):
    """All behaviours; "middleware" and "teardown" are Bottle's hooks."""

    source = "bottle.wsgi"
    streamed_source = "wsgi.middleware"
    routes = {"/boom": "/boom", "/items/7": "/items/<number:int>", "/stream-boom": "/stream-boom"}

    def build(self, code: Code) -> Any:
        return application(code)

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        return integration.install(app, **options)

    def install_auto(self) -> Callable[[], None] | None:
        return integration.install_auto()

    def run(self, app: Any) -> AbstractContextManager[str]:
        class Silent:
            """Bottle writes tracebacks to the server's errors."""

            def write(self, text: str) -> None:
                pass

            flush = close = lambda self: None

        def quiet(environ: Any, start_response: Any) -> Any:
            environ["wsgi.errors"] = Silent()
            return app(environ, start_response)

        return serve_wsgi(quiet)

    def test_the_route_is_in_the_context(self, watched: Watched) -> None:
        """Events that a view captures have its route."""
        with self.serving(watched) as base:
            seen = fetch(base, "/whoami")
        assert seen.json()["tags"]["$request_route"] == "/whoami"

    def test_a_body_that_fails_at_once(self, watched: Watched) -> None:
        """A generator's first chunk decides the status, so that the client gets Bottle's 500."""
        with self.serving(watched) as base:
            assert fetch(base, "/first-chunk").status == 500
        about = described(watched.the_exception())
        assert (about["source"], about["route"], about["status"]) == ("bottle.wsgi", "/first-chunk", 500)

    def test_errors_that_bottle_does_not_catch(self, watched: Watched) -> None:
        """With `catchall` off they escape to the server."""
        app = self.build(Code(watched.client))
        app.catchall = False
        self.install(app, client=watched.client)
        with self.run(app) as base:
            fetch(base, "/boom")
        assert described(watched.the_exception()) == self.unhandled("/boom", source="wsgi.middleware")

    def test_a_mounted_application(self, watched: Watched) -> None:
        """An application inside of another one is part of the same request, and one event."""
        phtrack_undo = integration.install_auto()
        try:
            import phtrack

            phtrack.default_client = watched.client
            app = Bottle()
            app.mount("/shop/", self.build(Code(watched.client)))
            with self.run(app) as base:
                fetch(base, "/shop/items/7", {"X-POSTHOG-DISTINCT-ID": "user-1"})
                who = fetch(base, "/shop/whoami", {"X-POSTHOG-DISTINCT-ID": "user-2"}).json()
        finally:
            phtrack_undo()
        event = watched.the_exception()
        assert (event["distinct_id"], who["distinct_id"]) == ("user-1", "user-2")
        assert event["properties"]["$request_path"] == "/shop/items/7"


def test_the_default_application_is_like_any_other(watched: Watched) -> None:
    """`bottle.default_app()` may be given."""
    app = bottle.default_app()
    undo = integration.install(app, client=watched.client)
    assert integration.install(app) is undo
    undo()
    assert not {"wsgi", "_cast"} & set(vars(app))
    assert all(plugin.name != "phtrack" for plugin in app.plugins)
