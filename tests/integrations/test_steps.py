"""
Calls of other services and databases as steps of the event, in real web requests: a view works with real servers, then fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from typing import Any

import pytest

from .behaviours import Boom, Watched, described, fetch, serve_asgi, serve_wsgi
from .test_databases import POSTGRES, listens, needs_postgres, needs_redis
from .test_outbound import Remote

flask = pytest.importorskip("flask", reason="needs flask")
pytest.importorskip("starlette", reason="needs starlette")

from phtrack.integrations import _outbound  # noqa: E402 - skipped without the libraries

ENGINE = "postgresql+psycopg://postgres@127.0.0.1/test"
SECRETS = ("hunter", "ann@example.com")
"""Parts of what the views put into statements, keys and addresses."""


@pytest.fixture
def remote() -> Iterator[Remote]:
    one = Remote()
    yield one
    one.close()


@contextmanager
def installed(*names: str) -> Iterator[None]:
    """The integrations *names* are on, as they are for an application that imports all of these libraries."""
    with ExitStack() as stack:
        for name in names:
            stack.callback(import_module(f"phtrack.integrations.{name}").install())
        stack.callback(_outbound.propagate_to, [])
        yield


def steps_of(event: dict[str, Any]) -> list[dict[str, Any]]:
    """What was done before the error; each step with its time, none with a secret."""
    found: list[dict[str, Any]] = event["properties"]["$exception_steps"]
    noted = [step for step in found if step.get("kind") in ("http", "sql", "redis")]
    assert all(step["ms"] >= 0 for step in noted)
    assert not [word for word in SECRETS if word in json.dumps(found)]
    return noted


# --- sync: Flask under wsgiref ---------------------------------------------------------------------------------------


@contextmanager
def shop(watched: Watched | None, work: Callable[[str], Any]) -> Iterator[str]:
    """A Flask application whose `/work/<argument>` does *work*, then fails."""
    from phtrack.integrations import flask as integration

    app = flask.Flask("shop")

    @app.get("/work/<argument>")
    def view(argument: str) -> Any:
        work(argument)
        raise Boom("after the work")

    undo = integration.install(app, client=watched.client) if watched is not None else None
    with serve_wsgi(app) as base:
        yield base
    if undo is not None:
        undo()


def call_all(remote: Remote, suffix: str = "") -> None:
    """One call by each sync client."""
    from urllib.request import urlopen

    import httpx
    import requests

    requests.get(f"{remote.url}/requests/200?token=hunter2{suffix}", timeout=30)
    with httpx.Client() as client:
        client.get(f"http://ann:hunter3@127.0.0.1:{remote.port}/httpx/201")
    with urlopen(f"{remote.url}/urllib/200?key=hunter4", timeout=30):
        pass


def test_calls_are_steps_of_the_event(watched: Watched, remote: Remote) -> None:
    """In their order, with method, host, path, status and time, and without queries and credentials."""
    with installed("requests", "httpx", "urllib"), shop(watched, lambda _: call_all(remote)) as base:
        assert fetch(base, "/work/1").status == 500
    event = watched.the_exception()
    assert described(event)["route"] == "/work/<argument>"
    host = f"127.0.0.1:{remote.port}"
    assert [step["$message"] for step in steps_of(event)] == [
        f"GET {host}/requests/200 -> 200",
        f"GET {host}/httpx/201 -> 201",
        f"GET {host}/urllib/200 -> 200",
    ]


def test_failing_calls_are_steps_too(watched: Watched, remote: Remote) -> None:
    """One that the service refuses, one that nobody answers, and the one that the request fails of."""
    import httpx
    import requests

    def work(_: str) -> None:
        requests.get(f"{remote.url}/503?token=hunter2", timeout=30)
        with suppress(requests.ConnectionError):
            requests.get("http://127.0.0.1:9/away?token=hunter2", timeout=30)
        httpx.get("http://127.0.0.1:9/gone?token=hunter2")

    with installed("requests", "httpx"), shop(watched, work) as base:
        fetch(base, "/work/1")
    event = watched.the_exception()
    assert described(event)["type"] == "ConnectError"
    told = [(step["path"], step.get("status"), step.get("error")) for step in steps_of(event)]
    assert told == [("/503", 503, None), ("/away", None, "ConnectionError"), ("/gone", None, "ConnectError")]


def test_tracing_headers_carry_the_requests_ids(watched: Watched, remote: Remote) -> None:
    """To the host that was named, and to no other."""
    import requests

    def work(_: str) -> None:
        requests.get(f"{remote.url}/200", timeout=30)
        requests.get(f"http://localhost:{remote.port}/200", timeout=30)

    with installed("requests"), shop(watched, work) as base:
        _outbound.propagate_to(["127.0.0.1"])
        fetch(base, "/work/1", {"X-POSTHOG-DISTINCT-ID": "user-1", "X-POSTHOG-SESSION-ID": "session-1"})
    named, other = remote.headers
    assert (named["x-posthog-distinct-id"], named["x-posthog-session-id"]) == ("user-1", "session-1")
    assert not [name for name in other if name.startswith("x-posthog")]


def test_what_is_sent_is_the_same(watched: Watched, remote: Remote) -> None:
    """With phtrack and without, other services see the same requests."""
    with shop(None, lambda _: call_all(remote)) as base:
        fetch(base, "/work/1")
    bare = remote.headers[:]
    remote.headers.clear()
    with installed("requests", "httpx", "urllib"), shop(watched, lambda _: call_all(remote)) as base:
        fetch(base, "/work/1", {"X-POSTHOG-DISTINCT-ID": "user-1"})
    assert remote.headers == bare


def test_steps_of_requests_at_the_same_time_never_mix(watched: Watched, remote: Remote) -> None:
    """Each event has the calls of its own request, and no others."""
    import requests

    def work(argument: str) -> None:
        for one in range(3):
            requests.get(f"{remote.url}/{argument}/{one}/200", timeout=30)

    with installed("requests"), shop(watched, work) as base, ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda number: fetch(base, f"/work/{number}"), range(20)))
    events = watched.exceptions()
    assert len(events) == 20
    for event in events:
        number = event["properties"]["$request_path"].rpartition("/")[2]
        assert [step["path"] for step in steps_of(event)] == [f"/{number}/{one}/200" for one in range(3)]


@pytest.mark.parametrize("url", ["sqlite://", pytest.param(ENGINE, marks=needs_postgres)])
def test_statements_of_sqlalchemy(watched: Watched, url: str) -> None:
    """With their shape alone, one step for each, although the driver has an integration too; a failing one with its error."""
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="needs sqlalchemy")
    psycopg = pytest.importorskip("psycopg", reason="needs psycopg")
    engine = sqlalchemy.create_engine(url)

    def work(_: str) -> None:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 'hunter2' WHERE 'ann@example.com' = :mail"), {"mail": "hunter3"})
            connection.execute(sqlalchemy.text("SELECT password FROM nowhere_at_all WHERE id = 4711"))

    with installed("sqlalchemy", "psycopg"), shop(watched, work) as base:
        fetch(base, "/work/1")
        if url == ENGINE:
            with psycopg.connect(POSTGRES) as connection:
                connection.execute("SELECT 1")
    engine.dispose()
    event = watched.the_exception()
    noted = steps_of(event)
    assert [step["$message"].partition(" = ")[0] for step in noted][-2:] == [
        "SELECT ? WHERE ?",
        "SELECT password FROM nowhere_at_all WHERE id",
    ]
    assert noted[-1]["error"] == described(event)["type"].replace("ProgrammingError", "UndefinedTable")
    messages = [step["$message"] for step in noted]
    assert len(messages) == len(set(messages)), "no statement twice"
    assert noted[-1]["system"] == engine.dialect.name


@needs_redis
def test_commands_of_redis(watched: Watched) -> None:
    """The name and the shape of the key, a failing one with its error."""
    redis = pytest.importorskip("redis", reason="needs redis")

    def work(_: str) -> None:
        with redis.Redis() as server:
            server.set("phtrack-test:user:42", "hunter2", ex=5)
            server.get("phtrack-test:mail:ann@example.com")
            server.lpush("phtrack-test:user:42", "hunter3")  # holds another kind of value

    with installed("redis"), shop(watched, work) as base:
        fetch(base, "/work/1")
    event = watched.the_exception()
    assert described(event)["type"] == "ResponseError"
    told = [(step["$message"], step.get("error")) for step in steps_of(event)]
    assert told[-3:] == [
        ("SET phtrack-test:user:?", None),
        ("GET phtrack-test:mail:?", None),
        ("LPUSH phtrack-test:user:?", "ResponseError"),
    ]


# --- asyncio: Starlette under uvicorn --------------------------------------------------------------------------------


@contextmanager
def async_shop(watched: Watched, work: Callable[[str], Any]) -> Iterator[str]:
    """A Starlette application whose `/work/<argument>` awaits *work*, then fails."""
    from phtrack.integrations import starlette as integration
    from starlette.applications import Starlette
    from starlette.routing import Route

    async def view(request: Any) -> Any:
        await work(request.path_params["argument"])
        raise Boom("after the work")

    app = Starlette(routes=[Route("/work/{argument}", view)])
    undo = integration.install(app, client=watched.client)
    with serve_asgi(app) as base:
        yield base
    undo()


def test_calls_and_commands_of_asyncio(watched: Watched, remote: Remote) -> None:
    """httpx, aiohttp and Redis, of 20 requests at once: each event has its own, and the headers are its user's."""
    import aiohttp
    import httpx

    redis = pytest.importorskip("redis", reason="needs redis") if listens(6379) else None

    async def work(argument: str) -> None:
        async with httpx.AsyncClient() as client:
            await client.get(f"{remote.url}/httpx/{argument}/200?token=hunter2")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{remote.url}/aiohttp/{argument}/404?token=hunter2") as answer:
                await answer.read()
            with suppress(aiohttp.ClientError):
                await session.get("http://127.0.0.1:9/away?token=hunter2")
        if redis is not None:
            async with redis.asyncio.Redis() as server:
                await server.get("phtrack-test:user:42")

    def ask(base: str, number: int) -> Any:
        return fetch(base, f"/work/{number}", {"X-POSTHOG-DISTINCT-ID": f"user-{number}"})

    with (
        installed("httpx", "aiohttp_client", "redis"),
        async_shop(watched, work) as base,
        ThreadPoolExecutor(20) as pool,
    ):
        _outbound.propagate_to(["127.0.0.1"])
        assert {answer.status for answer in pool.map(lambda number: ask(base, number), range(20))} == {500}
    events = watched.exceptions()
    assert len(events) == 20
    for event in events:
        number = event["properties"]["$request_path"].rpartition("/")[2]
        told = [(step.get("path"), step.get("status"), step.get("error")) for step in steps_of(event)]
        assert told[:2] == [(f"/httpx/{number}/200", 200, None), (f"/aiohttp/{number}/404", 404, None)]
        assert told[2][0] == "/away" and told[2][2]
        if redis is not None:
            assert steps_of(event)[-1]["$message"] == "GET phtrack-test:user:?"
    assert {headers["x-posthog-distinct-id"] for headers in remote.headers} == {f"user-{one}" for one in range(20)}


@needs_postgres
def test_statements_of_asyncio(watched: Watched) -> None:
    """psycopg and SQLAlchemy's asyncio engine on it, each statement once."""
    psycopg = pytest.importorskip("psycopg", reason="needs psycopg")
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="needs sqlalchemy")
    pytest.importorskip("greenlet", reason="needs greenlet")
    from sqlalchemy.ext.asyncio import create_async_engine

    async def work(_: str) -> None:
        engine = create_async_engine(ENGINE)
        async with engine.connect() as connection:
            await connection.execute(sqlalchemy.text("SELECT 'hunter2', 1"))
        await engine.dispose()
        async with await psycopg.AsyncConnection.connect(POSTGRES) as connection:
            await connection.execute("SELECT %s, 'ann@example.com'", ("hunter3",))

    with installed("psycopg", "sqlalchemy"), async_shop(watched, work) as base:
        fetch(base, "/work/1")
    told = [(step["$message"], step["system"]) for step in steps_of(watched.the_exception())]
    assert told[-2:] == [("SELECT ?, ?", "postgresql"), ("SELECT %s, ?", "postgresql")]
    assert len(told) == len(set(told)), "no statement twice"
