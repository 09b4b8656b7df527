"""
What a request that succeeds pays, per framework: bare, with phtrack, with posthog's integration, with sentry's.

    FRAMEWORKS[name](subject, sink) -> one request, through the whole stack of a trivial application

The request is made in the process, without a socket, so that the server's own work doesn't drown the difference. The bare
application runs in a process of its own beside each of the others, block by block, since some SDKs change the framework for
good. "requests/s" is what one core could do.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

from . import subjects
from .harness import Measures, Round, Scenario, Target

Request = Callable[[], None]
"""Makes one request and checks that it succeeded."""

BLOCK = 200
BLOCKS = 12
"""Blocks per round; the quickest counts, since nothing makes a block quicker than it is."""

HEADERS = {
    "host": "shop.example",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36",
    "accept": "text/html,application/xhtml+xml",
    "accept-language": "en",
    "accept-encoding": "gzip, br",
    "cookie": "session=abc",
    "x-posthog-distinct-id": "user-1",
    "x-posthog-session-id": "session-1",
}


def fastapi(subject: str, sink: str) -> Request:
    """FastAPI, by an ASGI call."""
    if subject == "phtrack":
        import phtrack

        phtrack.init("k", host=sink)  # turns the integration on when FastAPI is imported below
    elif subject == "sentry":
        subjects.make("sentry", sink)
    from fastapi import FastAPI

    app = FastAPI(openapi_url=None)

    @app.get("/orders/{number}")
    async def order(number: int) -> dict[str, int]:
        return {"order": number}

    if subject == "posthog":
        import posthog
        from posthog.integrations.asgi import PosthogASGIMiddleware

        app.add_middleware(PosthogASGIMiddleware, client=posthog.Posthog("k", host=sink))
    return asgi(app)


def asgi(app: Any) -> Request:
    """Requests to an ASGI application, in a loop that stays."""
    loop = asyncio.new_event_loop()
    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def one() -> int:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/orders/7",
            "raw_path": b"/orders/7",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("192.0.2.7", 50_000),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        status = 0

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)

        # A task per request, as a server has it: context variables start anew.
        await asyncio.ensure_future(app(scope, receive, send))
        return status

    def request() -> None:
        assert loop.run_until_complete(one()) == 200

    return request


def django(subject: str, sink: str) -> Request:
    """Django, by a WSGI call."""
    from django.conf import settings

    middleware: list[str] = []
    if subject == "phtrack":
        import phtrack

        phtrack.init("k", host=sink)  # turns the integration on when Django's handler is imported below
    elif subject == "sentry":
        subjects.make("sentry", sink)
    elif subject == "posthog":
        import posthog

        middleware.append("posthog.integrations.django.PosthogContextMiddleware")
        settings.configure(POSTHOG_MW_CLIENT=posthog.Posthog("k", host=sink))
    if not settings.configured:
        settings.configure()
    urls = ModuleType("urls")
    for name, value in {
        "ALLOWED_HOSTS": ["*"], "LOGGING_CONFIG": None, "MIDDLEWARE": middleware, "ROOT_URLCONF": urls,
    }.items():  # fmt: skip
        setattr(settings, name, value)

    from django import setup
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import JsonResponse
    from django.urls import path

    setup()
    urls.urlpatterns = [path("orders/<int:number>", lambda request, number: JsonResponse({"order": number}))]  # type: ignore[attr-defined]
    return wsgi(WSGIHandler())


def flask(subject: str, sink: str) -> Request:
    """Flask, by a WSGI call."""
    if subject == "phtrack":
        import phtrack

        phtrack.init("k", host=sink)  # turns the integration on when Flask is imported below
    elif subject == "sentry":
        subjects.make("sentry", sink)
    from flask import Flask, jsonify

    app = Flask("shop")

    @app.get("/orders/<int:number>")
    def order(number: int) -> Any:
        return jsonify({"order": number})

    if subject == "posthog":
        import posthog
        from posthog.integrations.flask import PosthogFlaskIntegration

        PosthogFlaskIntegration(app, client=posthog.Posthog("k", host=sink))
    return wsgi(app)


def wsgi(app: Any) -> Request:
    """Requests to a WSGI application."""
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/orders/7",
        "QUERY_STRING": "",
        "REMOTE_ADDR": "192.0.2.7",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in HEADERS.items()},
    }
    body = BytesIO()

    def request() -> None:
        answers: list[str] = []
        response = app({**environ, "wsgi.input": body}, lambda status, headers, *_: answers.append(status))
        try:
            assert b"".join(response)
        finally:
            response.close()
        assert answers[0].startswith("200")

    return request


FRAMEWORKS: dict[str, Callable[[str, str], Request]] = {"Django": django, "FastAPI": fastapi, "Flask": flask}


def block(request: Request) -> float:
    """µs of CPU time per request, all threads."""
    began = time.process_time()
    for _ in range(BLOCK):
        request()
    return 1e6 * (time.process_time() - began) / BLOCK


def requests(subject: str, sink: str, *, framework: str) -> Round:
    """What a request takes with *subject*, and what of it is the SDK's."""
    request = FRAMEWORKS[framework](subject, sink)
    bare = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.bench_web", framework],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )

    def bare_block() -> float:
        bare.stdin.write("\n")  # type: ignore[union-attr]
        bare.stdin.flush()  # type: ignore[union-attr]
        return float(json.loads(bare.stdout.readline()))  # type: ignore[union-attr]

    def once() -> Measures:
        pairs = [(block(request), bare_block()) for _ in range(BLOCKS)]
        ours, theirs = (min(one) for one in zip(*pairs))
        return {"overhead µs": ours - theirs, "requests/s": 1e6 / ours, "bare requests/s": 1e6 / theirs}

    return once


def _bare(framework: str) -> None:
    """What the process of the bare application does: a block per line."""
    request = FRAMEWORKS[framework]("bare", "")
    for _ in sys.stdin:
        print(json.dumps(block(request)), flush=True)


SCENARIOS = [Scenario(name, partial(requests, framework=name), rounds=5) for name in FRAMEWORKS]

TARGETS = [
    target
    for name in FRAMEWORKS
    for target in (
        Target(name, "overhead µs", "sentry", 1 / 3),
        Target(name, "overhead µs", "posthog", 1),
    )
]

if __name__ == "__main__":
    _bare(*sys.argv[1:])
