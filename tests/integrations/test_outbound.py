"""Calls to other services: each is a step with method, host, path, status and time, whichever client makes it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import phtrack
from phtrack import _guard
from phtrack.testing import FakeClock, RecordingTransport


class Remote:
    """A real server: answers with the status in the path, and keeps the headers of each request."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        remote = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                remote.headers.append({name.lower(): value for name, value in self.headers.items()})
                body = b"hello"
                status = int(self.path.partition("?")[0].rpartition("/")[2])
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", self.path.partition("?to=")[2])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    one = Remote()
    yield one
    one.close()


@pytest.fixture
def client() -> Iterator[phtrack.Posthog]:
    client = phtrack.Posthog("phc_test", transport=RecordingTransport(), clock=FakeClock())
    yield client
    client.shutdown()


def by_requests(url: str) -> int:
    import requests

    return int(requests.get(url, timeout=5).status_code)


def by_httpx(url: str) -> int:
    import httpx

    return int(httpx.get(url, follow_redirects=True).status_code)


def by_httpx_async(url: str) -> int:
    import httpx

    async def get() -> int:
        async with httpx.AsyncClient(follow_redirects=True) as session:
            return int((await session.get(url)).status_code)

    return asyncio.run(get())


def by_urllib(url: str) -> int:
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=5) as response:
            return int(response.status)
    except HTTPError as error:
        error.close()
        return error.code


def by_aiohttp(url: str) -> int:
    import aiohttp

    async def get() -> int:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            await response.read()
            return response.status

    # A task copies its context, so the step is looked at where the call was made.
    return asyncio.run(get())


CLIENTS: list[tuple[str, Callable[[str], int]]] = [
    ("requests", by_requests),
    ("httpx", by_httpx),
    ("urllib", by_urllib),
    ("httpx", by_httpx_async),
    ("aiohttp_client", by_aiohttp),
]


@pytest.fixture(params=CLIENTS, ids=[f"{name}-{call.__name__}" for name, call in CLIENTS])
def get(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Calls *url* with one client, with its integration on; takes what `install` takes."""
    from importlib import import_module

    name, call = request.param
    pytest.importorskip(name.removesuffix("_client"), reason="needs the client")
    undo = import_module(f"phtrack.integrations.{name}").install()
    yield call
    undo()
    import_module("phtrack.integrations._outbound").propagate_to([])


def steps(client: phtrack.Posthog, do: Callable[[], Any]) -> list[dict[str, Any]]:
    """The steps that an exception carries which was captured after *do* in the same request."""
    with phtrack.new_context(fresh=True, shared=True):
        phtrack.identify_context("u1")
        phtrack.set_context_session("s1")
        do()
        client.capture_exception(ValueError("after"))
    client.flush()
    event = client._delivery._transport.events[-1]  # type: ignore[attr-defined]
    found: list[dict[str, Any]] = event["properties"].get("$exception_steps", [])
    return found


def test_each_call_is_a_step(get: Callable[[str], int], remote: Remote, client: phtrack.Posthog) -> None:
    """With what a reader needs, and without the query, which may hold secrets."""
    (step,) = steps(client, lambda: get(f"{remote.url}/orders/200?token=hunter2"))
    assert step["$message"] == f"GET 127.0.0.1:{remote.port}/orders/200 -> 200"
    assert (step["kind"], step["method"], step["status"]) == ("http", "GET", 200)
    assert step["path"] == "/orders/200"
    assert step["ms"] > 0
    assert "hunter2" not in str(step)


def test_a_refusal_is_a_step_with_its_status(
    get: Callable[[str], int], remote: Remote, client: phtrack.Posthog
) -> None:
    """An error status is noted as one."""
    (step,) = steps(client, lambda: get(f"{remote.url}/503"))
    assert step["status"] == 503


def test_a_failed_call_is_a_step_with_its_error(get: Callable[[str], int], client: phtrack.Posthog) -> None:
    """Nobody listens: the caller gets its exception, and the step names it."""

    def fail() -> None:
        with pytest.raises(Exception):  # noqa: B017 - each client has its own
            get("http://127.0.0.1:9/x")  # nobody listens on that port

    (step,) = steps(client, fail)
    assert step["error"]
    assert "status" not in step


def test_tracing_headers_go_to_chosen_hosts_only(
    get: Callable[[str], int], remote: Remote, client: phtrack.Posthog
) -> None:
    """By default to nobody; to a host that was named, with the ids of the context."""
    from phtrack.integrations._outbound import propagate_to

    remote.headers.clear()
    steps(client, lambda: get(f"{remote.url}/200"))
    propagate_to(["api.example.com"])
    steps(client, lambda: get(f"{remote.url}/200"))
    assert not any("x-posthog-distinct-id" in headers for headers in remote.headers)
    propagate_to(["127.0.0.1"])
    steps(client, lambda: get(f"{remote.url}/200"))
    assert remote.headers[-1]["x-posthog-distinct-id"] == "u1"
    assert remote.headers[-1]["x-posthog-session-id"] == "s1"


@pytest.mark.parametrize("chosen", [True, False])
def test_tracing_headers_do_not_follow_a_redirect(
    get: Callable[[str], int], remote: Remote, client: phtrack.Posthog, chosen: bool
) -> None:
    """To a host that nobody named; to one that was named they go anew."""
    from phtrack.integrations._outbound import propagate_to

    propagate_to(["127.0.0.1", "localhost"] if chosen else ["127.0.0.1"])
    remote.headers.clear()
    found = steps(client, lambda: get(f"{remote.url}/302?to=http://localhost:{remote.port}/200"))
    first, second = remote.headers
    assert first["x-posthog-distinct-id"] == "u1"
    assert second.get("x-posthog-distinct-id") == ("u1" if chosen else None)
    assert second["host"].startswith("localhost")
    assert found[-1]["status"] == 200


@pytest.mark.parametrize("user", ["пользователь", "u1\r\nX-Evil: 1", "  ", "\x00", "u" * 5_000, "u1 "])
def test_an_id_that_is_no_header_is_not_sent(
    get: Callable[[str], int], remote: Remote, client: phtrack.Posthog, user: str
) -> None:
    """Clients refuse such a header; the application's request is sent without it."""
    from phtrack.integrations._outbound import propagate_to

    propagate_to(["127.0.0.1"])
    remote.headers.clear()

    def call() -> None:
        phtrack.identify_context(user)
        assert get(f"{remote.url}/200") == 200

    (step,) = steps(client, call)
    assert step["status"] == 200
    (sent,) = remote.headers
    assert "x-posthog-distinct-id" not in sent
    assert sent["x-posthog-session-id"] == "s1"


def test_a_request_that_is_sent_again_has_the_ids_of_then(remote: Remote, client: phtrack.Posthog) -> None:
    """A request object may be kept and sent for another user; what the application set itself stays."""
    from urllib.request import Request, urlopen

    from phtrack.integrations import _outbound, urllib

    undo = urllib.install(propagate=["127.0.0.1"])
    try:
        remote.headers.clear()
        request, own = Request(f"{remote.url}/200"), Request(f"{remote.url}/200")
        own.add_header("X-POSTHOG-DISTINCT-ID", "the application's")
        for user in ("u1", "u2"):
            with phtrack.new_context(fresh=True):
                phtrack.identify_context(user)
                urlopen(request, timeout=30).close()
                urlopen(own, timeout=30).close()
        assert not request.has_header("X-posthog-distinct-id")
        sent = [headers["x-posthog-distinct-id"] for headers in remote.headers]
        assert sent == ["u1", "the application's", "u2", "the application's"]
    finally:
        undo()
        _outbound.propagate_to([])


def test_credentials_of_an_address_are_not_told(remote: Remote, client: phtrack.Posthog) -> None:
    """Neither those in front of the host nor those in the query."""
    httpx = pytest.importorskip("httpx", reason="needs httpx")
    from phtrack.integrations import httpx as integration

    undo = integration.install()
    try:
        url = f"http://ann:hunter2@127.0.0.1:{remote.port}/200?key=hunter3#hunter4"
        (step,) = steps(client, lambda: httpx.get(url))
    finally:
        undo()
    assert step["$message"] == f"GET 127.0.0.1:{remote.port}/200 -> 200"
    assert not any(word in str(step) for word in ("ann", "hunter"))


def test_phtracks_own_calls_are_not_noted(get: Callable[[str], int], remote: Remote, client: phtrack.Posthog) -> None:
    """While phtrack sends, nothing it does becomes a step."""

    def own() -> None:
        with _guard.quiet():
            get(f"{remote.url}/200")

    assert steps(client, own) == []


@pytest.mark.parametrize(("name", "owner", "method"), [
    ("requests", "requests.adapters:HTTPAdapter", "send"),
    ("httpx", "httpx:HTTPTransport", "handle_request"),
    ("urllib", "urllib.request:AbstractHTTPHandler", "do_open"),
    ("aiohttp_client", "aiohttp:ClientSession", "__init__"),
])  # fmt: skip
def test_installing_twice_and_undoing_restores_everything(name: str, owner: str, method: str) -> None:
    """The second install does nothing new, and one undo is enough."""
    from importlib import import_module

    module, _, attribute = owner.partition(":")
    target = getattr(pytest.importorskip(module, reason="needs the client"), attribute)
    before = getattr(target, method)
    integration = import_module(f"phtrack.integrations.{name}")
    undo = integration.install()
    again = integration.install()
    assert getattr(target, method) is not before
    again()
    undo()
    assert getattr(target, method) is before
