"""GraphQL resolvers that fail, in each library on graphql-core, behind a real server: one handled event, the response untouched."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .behaviours import HANG, Response, Watched, fetch

pytest.importorskip("graphql", reason="needs graphql-core")

from phtrack.integrations import graphql as integration  # noqa: E402 - skipped without the library
from phtrack.integrations._http import HttpOptions  # noqa: E402

from .graphql_shops import Library  # noqa: E402


@pytest.fixture(params=["strawberry", "ariadne", "graphene", "graphene-flask"])
def library(request: pytest.FixtureRequest) -> Library:
    return Library(request.param)


@pytest.fixture(params=["strawberry", "ariadne", "graphene"])
def async_library(request: pytest.FixtureRequest) -> Library:
    return Library(request.param)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The libraries log the errors that the tests make."""
    names = ("strawberry", "strawberry.execution", "ariadne")
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    yield
    for name in names:
        logging.getLogger(name).setLevel(logging.NOTSET)
    integration.install(HttpOptions())()


def ask(base: str, query: str, headers: dict[str, str | bytes] | None = None, **variables: Any) -> Response:
    """One query over HTTP."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    return fetch(base, "/", headers, method="POST", body=body, content_type="application/json")


def described(event: dict[str, Any]) -> dict[str, Any]:
    """What the boundary said of an exception."""
    told = event["properties"]
    mechanism = told["$exception_list"][0]["mechanism"]
    return {
        "type": told["$exception_list"][0]["type"],
        "level": told["$exception_level"],
        "mechanism": mechanism["type"],
        "handled": mechanism["handled"],
        "source": told["$exception_source"],
        "path": told.get("$graphql_path"),
        "operation": told.get("$graphql_operation"),
        "kind": told.get("$graphql_operation_type"),
    }


def failed(path: str, operation: str | None = None, **other: Any) -> dict[str, Any]:
    return {
        "type": "Boom",
        "level": "error",
        "mechanism": "middleware",
        "handled": True,
        "source": "graphql.field_error",
        "path": path,
        "operation": operation,
        "kind": "query",
        **other,
    }


# --- errors ----------------------------------------------------------------------------------------------------------


def test_a_failing_resolver_is_one_handled_event(library: Library, watched: Watched) -> None:
    """With the field's path and the operation's name, in the request's context, and the frame that failed on top."""
    with library.serving(watched) as base:
        answer = ask(base, "query Cart { hello boom }", {"X-POSTHOG-DISTINCT-ID": "u1"}).json()
    assert answer["data"] == {"hello": "world", "boom": None}
    event = watched.the_exception()
    assert described(event) == failed("boom", "Cart")
    told = event["properties"]
    assert (event["distinct_id"], told["$request_method"], told["$request_path"]) == ("u1", "POST", "/")
    assert told["plan"] == "pro"
    assert told["$exception_list"][0]["stacktrace"]["frames"][-1]["function"].endswith("boom")


def test_a_path_through_lists(library: Library, watched: Watched) -> None:
    """The one element of many that failed, by its place."""
    with library.serving(watched) as base:
        answer = ask(base, "{ orders { lines { price } } }").json()
    assert answer["data"]["orders"][1]["lines"][2] == {"price": None}
    assert described(watched.the_exception()) == failed("orders.1.lines.2.price")


def test_an_error_that_travels_up_is_one_event(library: Library, watched: Watched) -> None:
    """However many fields it makes null on its way, in a plain resolver and in a coroutine."""
    with library.serving(watched) as base:
        assert ask(base, "{ hello deep }").json()["data"] is None
        if library.is_async:
            assert ask(base, "{ hello late }").json()["data"] is None
    assert [described(event)["path"] for event in watched.exceptions()] == ["deep", "late"][: 1 + library.is_async]


def test_each_failing_field_is_one_event(library: Library, watched: Watched) -> None:
    """Two resolvers that fail in one request are two failures; the alias is the path."""
    with library.serving(watched) as base:
        ask(base, "{ first: boom identify }")
    assert sorted(str(described(event)["path"]) for event in watched.exceptions()) == ["first", "identify"]


def test_a_failing_data_loader_is_one_event(async_library: Library, watched: Watched) -> None:
    """Its batch fails once, for however many fields."""
    with async_library.serving(watched) as base:
        answer = ask(base, "{ a: loaded(key: 1) b: loaded(key: 2) c: loaded(key: 3) }").json()
    assert len(answer["errors"]) == 3
    event = watched.the_exception()
    assert event["properties"]["$exception_message"] == "order batch of 3 is broken"
    assert described(event)["path"] in ("a", "b", "c")


def test_an_error_of_another_middleware(library: Library, watched: Watched) -> None:
    """Of what the application runs around each resolver."""
    with library.serving(watched) as base:
        assert ask(base, "{ hello behind }").json()["data"] == {"hello": "world", "behind": None}
    assert described(watched.the_exception()) == failed("behind")


@pytest.mark.parametrize("query", [
    'query Login($password: String!) { login(password: $password) }',
    'query Login { login(password: "hunter2") }',
])  # fmt: skip
def test_no_secrets_of_variables(library: Library, watched: Watched, query: str) -> None:
    """What a client sends as a password is nowhere on the event, whether it is a variable or stands in the query."""
    with library.serving(watched) as base:
        ask(base, query, **({"password": "hunter2"} if "$" in query else {}))
    event = watched.the_exception()
    assert described(event) == failed("login", "Login")
    assert "hunter2" not in json.dumps(event)
    shown = event["properties"]["$exception_list"][0]["stacktrace"]["frames"][-1]["code_variables"]
    assert "redacted" in shown["password"] and "field_name" in shown["info"]


# --- subscriptions ---------------------------------------------------------------------------------------------------


def subscribe(base: str, fail: str) -> list[dict[str, Any]]:
    """What the server sends to a subscriber of the protocol graphql-transport-ws, up to the end."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    received: list[dict[str, Any]] = []
    with connect(
        base.replace("http", "ws") + "/",
        subprotocols=[Subprotocol("graphql-transport-ws")],
        additional_headers={"X-POSTHOG-DISTINCT-ID": "u1"},
        open_timeout=HANG,
    ) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        socket.recv(HANG)
        query = "subscription Watch($fail: String!) { ticks(fail: $fail) }"
        payload = {"query": query, "variables": {"fail": fail}}
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        try:
            while not received or received[-1]["type"] == "next":
                received.append(json.loads(socket.recv(HANG)))
        except ConnectionClosed:
            received.append({"type": "closed"})
    return received


@pytest.mark.parametrize("fail", ["start", "stream", "payload"])
def test_a_failing_subscription_is_one_event(async_library: Library, watched: Watched, fail: str) -> None:
    """Before its first event, between two, and in the resolver of one; the subscriber sees the same as without phtrack."""
    with async_library.serving(None) as base:
        bare = subscribe(base, fail)
    with async_library.serving(watched) as base:
        assert subscribe(base, fail) == bare
    event = watched.the_exception()
    about = described(event)
    assert about["source"] in ("graphql.subscription", "graphql.field_error")
    assert about == failed("ticks", "Watch", kind="subscription", source=about["source"])
    assert event["distinct_id"] == "u1"


@pytest.mark.parametrize("fail", ["no", "refused"])
def test_a_subscription_that_ends_is_no_event(async_library: Library, watched: Watched, fail: str) -> None:
    """Nor one that the application refuses."""
    with async_library.serving(None) as base:
        bare = subscribe(base, fail)
    with async_library.serving(watched) as base:
        assert subscribe(base, fail) == bare
    assert watched.exceptions() == []


# --- no errors -------------------------------------------------------------------------------------------------------

ANSWERS = [
    "{ hello }",
    "{ handled }",
    "{ refused }",
    "{ nowhere }",
    "{ hello",
    "query Two($one: Int!) { meet(number: $one) }",
]


@pytest.mark.parametrize("query", ANSWERS)
def test_an_answer_to_the_client_is_no_failure(library: Library, watched: Watched, query: str) -> None:
    """`GraphQLError` is how a resolver says no; queries that can't be read, or don't fit the schema, are the client's."""
    with library.serving(watched) as base:
        ask(base, query)
    assert watched.exceptions() == []


def test_captures_can_be_turned_off(library: Library, watched: Watched) -> None:
    """With `capture_exceptions=False` nothing is captured."""
    with library.serving(watched, capture_exceptions=False) as base:
        ask(base, "{ boom }")
    assert watched.exceptions() == []


# --- contexts, and the client's side ---------------------------------------------------------------------------------


def test_what_a_resolver_says_is_on_the_event(library: Library, watched: Watched) -> None:
    """The user that it found beats the header's."""
    with library.serving(watched) as base:
        ask(base, "{ identify }", {"X-POSTHOG-DISTINCT-ID": "from-header", "X-POSTHOG-SESSION-ID": "s1"})
    event = watched.the_exception()
    assert (event["distinct_id"], event["properties"]["$session_id"]) == ("found-in-handler", "s1")


def test_requests_at_the_same_time_never_mix(async_library: Library, watched: Watched) -> None:
    """Of 50 that are inside of a resolver at once each sees its own ids and tags, and so does its event."""
    with async_library.serving(watched) as base, ThreadPoolExecutor(50) as pool:

        def one(number: int) -> Any:
            sent: dict[str, str | bytes] = {"X-POSTHOG-DISTINCT-ID": f"u{number}"}
            return ask(base, "query($n: Int!) { meet(number: $n) boom }", sent, n=number).json()

        answers = list(pool.map(one, range(50)))
        after = json.loads(ask(base, "{ whoami }").json()["data"]["whoami"])
    for number, answer in enumerate(answers):
        seen = json.loads(answer["data"]["meet"])
        assert (seen["distinct_id"], seen["tags"]["number"]) == (f"u{number}", str(number))
    assert (after["distinct_id"], after["tags"].get("number")) == (None, None)
    assert {event["distinct_id"] for event in watched.events("met")} == {f"u{number}" for number in range(50)}
    for event in watched.exceptions():
        assert described(event) == failed("boom")
        assert event["distinct_id"].startswith("u")


def test_the_response_is_the_same(library: Library, watched: Watched) -> None:
    """Byte for byte, with phtrack and without."""
    queries = [*ANSWERS, "query Cart { hello boom }", "{ orders { lines { price } } }", "{ deep }", "{ behind }"]
    if library.is_async:
        queries += ["{ late }", "{ loaded(key: 1) }"]

    def answers(base: str) -> list[bytes]:
        return [ask(base, query).comparable().replace(base.encode(), b"") for query in queries]

    with library.serving(None) as base:
        bare = answers(base)
    with library.serving(watched) as base:
        assert answers(base) == bare
    assert all(b'"errors"' in answer for answer in bare[-2:])


def test_undo_restores_everything(library: Library, watched: Watched) -> None:
    """After it nothing is captured, and graphql-core is as before; installing twice is harmless."""
    import sys

    from graphql.execution.execute import ExecutionContext

    module: Any = sys.modules["graphql.execution.subscribe"]

    def state() -> Any:
        return ExecutionContext.handle_field_error, module.execute_subscription

    before = state()
    undo = integration.install(HttpOptions(client=watched.client))
    integration.install()
    assert not set(state()) & set(before)
    with library.serving(None) as base:
        ask(base, "{ boom }")
    assert described(watched.the_exception()) == failed("boom")
    undo()
    assert state() == before
    with library.serving(None) as base:
        ask(base, "{ boom }")
    assert len(watched.exceptions()) == 1
