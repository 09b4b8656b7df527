"""`PosthogASGIMiddleware` around an ASGI application without a framework."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from phtrack.integrations.asgi import PosthogASGIMiddleware, facts

import phtrack
from phtrack import _guard

from .behaviours import (
    Backgrounds,
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


class Application:
    """All routes by hand; `asgi` is what the server calls, so that middleware can be put around."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self.asgi: Any = self.answer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.asgi(scope, receive, send)

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        self.code.middleware(scope["path"])
        try:
            status, body = await self.view(scope, receive, send)
        except Handled:
            status, body = 409, b"conflict"
        except Degraded:
            status, body = 503, b"later"
        if status:
            await start(send, status, [(b"content-length", b"%d" % len(body))])
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        if scope["path"] == "/background":
            await self.code.abackground()
        self.code.teardown(scope["path"])

    async def view(self, scope: Any, receive: Any, send: Any) -> tuple[int, bytes]:
        _, name, *rest = scope["path"].split("/")
        if name == "stream-boom":
            await start(send, 200, [])
            async for chunk in self.code.achunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if name == "endless":
            await start(send, 200, [])
            gone = asyncio.ensure_future(receive())
            async with contextlib.aclosing(self.code.aendless()) as chunks:
                async for chunk in chunks:
                    if gone.done() and gone.result()["type"] == "http.disconnect":
                        return 0, b""
                    gone = asyncio.ensure_future(receive()) if gone.done() else gone
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if name == "cancelled":
            raise asyncio.CancelledError
        if name == "echo":
            body = b""
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return 0, b""
                body += message["body"]
                if not message["more_body"]:
                    return 200, body
        if name == "meet":
            return 200, json.dumps(await self.code.ameet(rest[0])).encode()
        if name == "whoami":
            return 200, json.dumps(self.code.whoami()).encode()
        if name in ("ok", "background", "teardown-boom"):
            return 200, self.code.ok().encode()
        if name in ("boom", "items"):
            self.code.boom(*rest)
        if name in ("handled", "degraded", "identify"):
            getattr(self.code, name)()
        return 404, b"not found"


async def start(send: Any, status: int, headers: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


class TestASGI(Requests, Streams, Backgrounds, Middlewares, Teardowns, Departures):
    """All behaviours; installing is wrapping."""

    source = "asgi.middleware"
    routes: dict[str, str] = {}

    def build(self, code: Code) -> Any:
        return Application(code)

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        app.asgi = PosthogASGIMiddleware(app.asgi, **{"capture_exceptions": True, **options})

        def undo() -> None:
            app.asgi = app.answer

        return undo

    def install_auto(self) -> Callable[[], None] | None:
        return None

    def run(self, app: Any) -> AbstractContextManager[str]:
        return serve_asgi(app, lifespan="off")

    def test_a_cancelled_request_is_no_error(self, watched: Watched) -> None:
        """Whoever cancels it knows why."""
        with self.serving(watched) as base:
            assert fetch(base, "/cancelled").status == 500
        assert watched.exceptions() == []

    def test_none_is_what_the_client_says(self) -> None:
        """Without `capture_exceptions` the client's `enable_exception_autocapture` decides."""
        for autocapture in (True, False):
            watched = Watched(enable_exception_autocapture=autocapture)
            with self.serving(watched, capture_exceptions=None) as base:
                fetch(base, "/boom")
            assert len(watched.exceptions()) == autocapture
            watched.client.shutdown()

    @pytest.mark.parametrize("asynchronous", [True, False])
    def test_the_users_own_callbacks(self, watched: Watched, asynchronous: bool) -> None:
        """The filter leaves requests alone, extra properties are merged over ours; both may be async."""

        def keep(scope: Any) -> bool:
            return bool(scope["path"] != "/whoami")

        def extra(scope: Any) -> dict[str, Any]:
            return {"shop": "berlin", "$request_method": "READ"}

        async def akeep(scope: Any) -> bool:
            return keep(scope)

        async def aextra(scope: Any) -> dict[str, Any]:
            return extra(scope)

        options = {"request_filter": akeep, "extra_properties": aextra} if asynchronous else {}
        options = options or {"request_filter": keep, "extra_properties": extra}
        with self.serving(watched, **options) as base:
            assert fetch(base, "/whoami").json()["tags"] == {}
            fetch(base, "/boom")
        told = watched.the_exception()["properties"]
        assert (told["shop"], told["$request_method"]) == ("berlin", "READ")

    def test_callbacks_that_fail(self, watched: Watched) -> None:
        """A filter or extra properties that raise, or answer with nonsense, change nothing about the request."""

        def fails(scope: Any) -> Any:
            raise KeyError("callback")

        with self.serving(watched, request_filter=fails, extra_properties=fails) as base:
            assert fetch(base, "/ok").body == b"fine"
        with self.serving(watched, request_filter=lambda scope: None, extra_properties=lambda scope: 7) as base:
            assert fetch(base, "/ok").body == b"fine"
            fetch(base, "/boom")
        assert described(watched.the_exception())["type"] == "Boom"

    def test_a_request_that_can_not_be_read(self, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
        """A scope that breaks the rules, and properties that fail when they are looked at, cost no event."""
        monkeypatch.setattr(_guard, "STRICT", False)

        class Failing(dict[str, Any]):
            def items(self) -> Any:
                raise RuntimeError("items")

        async def boom(scope: Any, receive: Any, send: Any) -> None:
            Code(watched.client).boom()

        app: Any = PosthogASGIMiddleware(
            boom, client=watched.client, capture_exceptions=True, extra_properties=lambda scope: Failing(a=1)
        )
        scope = {"type": "http", "method": 5, "path": b"/", "headers": [("host", "x")], "client": [1], "server": ["h"]}
        with pytest.raises(Boom):
            asyncio.run(app(scope, None, None))
        assert described(watched.the_exception())["status"] == 500

    def test_the_older_name_of_the_headers_option(self, watched: Watched) -> None:
        """`trust_tracing_headers` is heard unless the newer name is there; what is no bool means no."""
        for options, who in [
            ({"trust_tracing_headers": False}, None),
            ({"trust_tracing_headers": "yes"}, None),
            ({"trust_tracing_headers": False, "capture_tracing_headers": True}, "user-1"),
        ]:
            with self.serving(watched, **options) as base:
                seen = fetch(base, "/whoami", {"X-POSTHOG-DISTINCT-ID": "user-1"}).json()
            assert seen["distinct_id"] == who, options

    def test_the_context_is_a_child_of_what_surrounds_the_app(self, watched: Watched) -> None:
        """Tags of middleware outside of ours are seen in the request."""
        app = self.build(Code(watched.client))
        inner = PosthogASGIMiddleware(app.answer, client=watched.client)

        async def outer(scope: Any, receive: Any, send: Any) -> None:
            with phtrack.new_context(capture_exceptions=False):
                phtrack.tag("region", "eu")
                await inner(scope, receive, send)

        app.asgi = outer
        with self.run(app) as base:
            assert fetch(base, "/whoami").json()["tags"]["region"] == "eu"


class TestAddresses:
    """The request's URL from a scope."""

    @pytest.mark.parametrize(
        ("scope", "url"),
        [
            ({"headers": [(b"host", b"shop.example")]}, "http://shop.example/a b"),
            ({"headers": [(b"host", b""), (b"host", b"second.example")]}, "http://second.example/a b"),
            ({"server": ("::1", 8000)}, "http://[::1]:8000/a b"),
            ({"server": ("shop.example", 443), "scheme": "https"}, "https://shop.example/a b"),
            ({"server": ("shop.example", 8443), "scheme": "https"}, "https://shop.example:8443/a b"),
            ({"server": ("shop.example", 80), "type": "websocket", "scheme": "ws"}, "ws://shop.example/a b"),
            ({"server": ("/run/app.sock", None)}, None),
            ({"server": None}, None),
            ({}, None),
        ],
    )
    def test_url(self, scope: dict[str, Any], url: str | None) -> None:
        """The Host header, else the server's address; default ports are left out, IPv6 stands in brackets."""
        assert facts({"type": "http", "path": "/a b", **scope}).url() == url
