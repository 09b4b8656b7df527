"""Statements and commands as steps: against real servers, with their shape and without a user's data."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from phtrack.integrations._sql import without_literals

import phtrack
from phtrack.testing import FakeClock, RecordingTransport


def listens(port: int) -> bool:
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


needs_postgres = pytest.mark.skipif(not listens(5432), reason="needs PostgreSQL on 127.0.0.1:5432")
needs_redis = pytest.mark.skipif(not listens(6379), reason="needs Redis on 127.0.0.1:6379")
POSTGRES = "host=127.0.0.1 dbname=test user=postgres"


@pytest.fixture
def client() -> Iterator[phtrack.Posthog]:
    client = phtrack.Posthog("phc_test", transport=RecordingTransport(), clock=FakeClock())
    yield client
    client.shutdown()


def steps(client: phtrack.Posthog, do: Callable[[], Any]) -> list[dict[str, Any]]:
    with phtrack.new_context(fresh=True, shared=True):
        do()
        client.capture_exception(ValueError("after"))
    client.flush()
    event = client._delivery._transport.events[-1]  # type: ignore[attr-defined]
    found: list[dict[str, Any]] = event["properties"].get("$exception_steps", [])
    return found


# --- literals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "shape"),
    [
        ("SELECT * FROM users WHERE email = 'ann@example.com'", "SELECT * FROM users WHERE email = ?"),
        ("SELECT 1 FROM t WHERE id IN (1, 2,\n 3)", "SELECT ? FROM t WHERE id IN (?)"),
        ("INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'it''s')", "INSERT INTO t (a, b) VALUES (?)"),
        ('SELECT "Col 1" FROM `tab2` WHERE c3 = $1 AND d = %s', 'SELECT "Col 1" FROM `tab2` WHERE c3 = $1 AND d = %s'),
        ("SELECT a -- password is 'x'\nFROM t /* 'y' */ LIMIT 10", "SELECT a FROM t LIMIT ?"),
        ("SELECT $$it's$$, E'a\\'b', x'ff', -1.5e3, 0x1F, t1.c2", "SELECT ?, ?, ?, ?, ?, t1.c2"),
        ("SELECT 'unterminated secret", "SELECT ?"),
    ],
)
def test_literals_are_gone_and_the_shape_is_left(statement: str, shape: str) -> None:
    """What a user stored is not told; names, parameters and structure are."""
    assert without_literals(statement) == shape


def test_double_quotes_are_literals_in_mysql() -> None:
    """And names in the others."""
    assert without_literals('SELECT a FROM t WHERE b = "secret"', "mysql") == "SELECT a FROM t WHERE b = ?"


@pytest.mark.parametrize("piece", ["'", '"', "/*", "$", "--", "1", "(?,", "\\", "'\\", "#", "$a$", "e'", " "])
def test_hostile_statements_are_read_in_linear_time(piece: str) -> None:
    """Twice as much text takes about twice as long, not four times; a hang guard in coarse steps."""
    start = time.process_time()
    without_literals(piece * 10_000)
    assert time.process_time() - start < 2


# --- SQLAlchemy ------------------------------------------------------------------------------------------------------


def test_sqlalchemy_statements_are_steps(client: phtrack.Posthog) -> None:
    """Of an engine made before the install too; a failing one with its error."""
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="needs sqlalchemy")
    from phtrack.integrations import sqlalchemy as integration

    engine = sqlalchemy.create_engine("sqlite://")
    undo = integration.install()
    assert integration.install() is undo

    def work() -> None:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 'secret' WHERE 1 = :one"), {"one": 1})
            with pytest.raises(sqlalchemy.exc.OperationalError):
                connection.execute(sqlalchemy.text("SELECT * FROM nowhere"))

    try:
        first, second = steps(client, work)
    finally:
        undo()
    assert first["$message"].startswith("SELECT ? WHERE ? =")
    assert (first["kind"], first["system"]) == ("sql", "sqlite")
    assert first["ms"] >= 0
    assert second["error"] == "OperationalError"
    assert steps(client, work) == []
    engine.dispose()


@needs_postgres
def test_a_statement_that_never_ends_hides_no_other(client: phtrack.Posthog) -> None:
    """A listener of the application's may keep a statement from being executed; the driver's next ones are told."""
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="needs sqlalchemy")
    psycopg = pytest.importorskip("psycopg", reason="needs psycopg")
    from phtrack.integrations import psycopg as driver
    from phtrack.integrations import sqlalchemy as integration

    undos = [integration.install(), driver.install()]
    engine = sqlalchemy.create_engine("sqlite://")

    @sqlalchemy.event.listens_for(engine, "before_cursor_execute")
    def refuse(*_: Any) -> None:
        raise KeyError("not now")

    def work() -> None:
        with engine.connect() as connection, pytest.raises(KeyError):
            connection.execute(sqlalchemy.text("SELECT 1"))
        with psycopg.connect(POSTGRES) as connection:
            connection.execute("SELECT 2")

    try:
        assert steps(client, work)[-1]["$message"] == "SELECT ?"
    finally:
        for undo in undos:
            undo()
        engine.dispose()


# --- psycopg ---------------------------------------------------------------------------------------------------------


@needs_postgres
def test_psycopg_statements_are_steps(client: phtrack.Posthog) -> None:
    """Sync and async, against a real server."""
    psycopg = pytest.importorskip("psycopg", reason="needs psycopg")
    from phtrack.integrations import psycopg as integration

    before = psycopg.Cursor.execute
    undo = integration.install()
    integration.install()

    def work() -> None:
        with psycopg.connect(POSTGRES) as connection:
            connection.execute("SELECT 'secret', %s", (1,))
            with pytest.raises(psycopg.errors.UndefinedTable):
                connection.execute("SELECT * FROM nowhere_at_all")

    async def work_async() -> None:
        async with await psycopg.AsyncConnection.connect(POSTGRES) as connection:
            await connection.execute("SELECT 5")

    try:
        first, second = steps(client, work)
        (third,) = steps(client, lambda: asyncio.run(work_async()))
    finally:
        undo()
    assert first["$message"] == "SELECT ?, %s"
    assert second["error"] == "UndefinedTable"
    assert third["$message"] == "SELECT ?"
    assert psycopg.Cursor.execute is before


# --- Redis -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("user:12345:cart", "user:?:cart"),
        ("cache:products:list", "cache:products:list"),
        ("shop:summer-sale-2024", "shop:summer-sale-?"),
        (":1:django.contrib.sessions.cachek3v9m2q8x7c6b5n4a1s0d9f8g7h6j5k4", ":?:django.contrib.sessions.?"),
        ("session:kJ8s-_dfkQWEzxcv", "session:?"),
        ("spring:session:sessions:abcdef", "spring:session:?"),
        ("user_token:open-sesame", "user_token:?"),
        ("possession:boat", "possession:boat"),
        ("seen:eyJhbGci.eyJzdWIi.abc-DEF_", "seen:?"),
    ],
)
def test_keys_of_redis_give_no_secret_away(key: str, shape: str) -> None:
    """Ids, session keys and tokens are in keys, too; what names the kind of a key stays."""
    pytest.importorskip("redis", reason="needs redis")
    from phtrack.integrations.redis import shape_of

    assert shape_of(("GET", key)) == f"GET {shape}"
    assert shape_of(("GET", key.encode())) == f"GET {shape}"


@needs_redis
def test_redis_commands_are_steps(client: phtrack.Posthog) -> None:
    """Name and shape of the key, no value; pipelines as one."""
    redis = pytest.importorskip("redis", reason="needs redis")
    from phtrack.integrations import redis as integration

    before = redis.Redis.execute_command
    undo = integration.install()

    def work() -> None:
        with redis.Redis() as server:
            server.set("phtrack-test:user:42:cart", "secret", ex=5)
            server.get("phtrack-test:user:0123456789abcdef:ann@example.com")
            with server.pipeline() as pipeline:
                pipeline.get("phtrack-test:1").get("phtrack-test:2").execute()

    async def work_async() -> None:
        async with redis.asyncio.Redis() as server:
            await server.get("phtrack-test:7")

    try:
        found = steps(client, work) + steps(client, lambda: asyncio.run(work_async()))
    finally:
        undo()
    assert [step["$message"] for step in found] == [
        "SET phtrack-test:user:?:cart",
        "GET phtrack-test:user:?:?",
        "pipeline of 2: GET phtrack-test:?",
        "GET phtrack-test:?",
    ]
    assert "secret" not in str(found)
    assert redis.Redis.execute_command is before
