"""GraphQL resolvers that fail: one handled event, the response untouched, for each library on graphql-core."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import phtrack
from phtrack.testing import FakeClock, RecordingTransport

pytest.importorskip("graphql", reason="needs graphql-core")

from phtrack.integrations import graphql as integration  # noqa: E402 - skipped without the library
from phtrack.integrations._http import HttpOptions  # noqa: E402


@pytest.fixture
def client() -> Iterator[phtrack.Posthog]:
    client = phtrack.Posthog("phc_test", transport=RecordingTransport(), clock=FakeClock())
    yield client
    client.shutdown()


def events(client: phtrack.Posthog) -> list[dict[str, Any]]:
    client.flush()
    return [event["properties"] for event in client._delivery._transport.events]  # type: ignore[attr-defined]


def graphene_schema() -> Callable[[str], Any]:
    graphene = pytest.importorskip("graphene", reason="needs graphene")
    from graphql import GraphQLError

    class Query(graphene.ObjectType):  # type: ignore[misc, name-defined]
        hello = graphene.String()
        boom = graphene.String()
        refused = graphene.String()
        deep = graphene.NonNull(graphene.String)

        def resolve_hello(root, info: Any) -> str:
            return "world"

        def resolve_boom(root, info: Any) -> str:
            raise KeyError("resolver")

        def resolve_refused(root, info: Any) -> str:
            raise GraphQLError("not yours")

        def resolve_deep(root, info: Any) -> str:
            raise KeyError("resolver")

    schema = graphene.Schema(query=Query)
    return lambda query: schema.execute(query)


def ariadne_schema() -> Callable[[str], Any]:
    ariadne = pytest.importorskip("ariadne", reason="needs ariadne")
    from graphql import GraphQLError, graphql_sync

    query = ariadne.QueryType()
    query.set_field("hello", lambda *_: "world")

    def fail(*_: Any) -> str:
        raise KeyError("resolver")

    def refuse(*_: Any) -> str:
        raise GraphQLError("not yours")

    query.set_field("boom", fail)
    query.set_field("deep", fail)
    query.set_field("refused", refuse)
    schema = ariadne.make_executable_schema(
        "type Query { hello: String boom: String refused: String deep: String! }", query
    )
    return lambda text: graphql_sync(schema, text)


def strawberry_schema() -> Callable[[str], Any]:
    strawberry = pytest.importorskip("strawberry", reason="needs strawberry")
    from graphql import GraphQLError

    class Query:
        @strawberry.field
        def hello(self) -> str | None:
            return "world"

        @strawberry.field
        def boom(self) -> str | None:
            raise KeyError("resolver")

        @strawberry.field
        def refused(self) -> str | None:
            raise GraphQLError("not yours")

        @strawberry.field
        async def deep(self) -> str:
            await asyncio.sleep(0)
            raise KeyError("resolver")

    schema = strawberry.Schema(query=strawberry.type(Query))
    return lambda text: asyncio.run(schema.execute(text))


@pytest.fixture(params=[graphene_schema, ariadne_schema, strawberry_schema], ids=["graphene", "ariadne", "strawberry"])
def execute(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Callable[[str], Any]:
    made: Callable[[str], Any] = request.param()
    return made


@pytest.fixture
def installed(client: phtrack.Posthog) -> Iterator[None]:
    undo = integration.install(HttpOptions(client=client))
    yield
    undo()
    integration.install(HttpOptions())()


def test_a_failing_resolver_is_one_handled_event(
    execute: Callable[[str], Any], client: phtrack.Posthog, installed: None
) -> None:
    """With the field's path and the operation's name; the client gets the same answer as without."""
    result = execute("query Cart { hello boom }")
    assert result.data == {"hello": "world", "boom": None}
    (one,) = events(client)
    assert one["$exception_type"] == "KeyError"
    assert one["$exception_source"] == "graphql.field_error"
    assert one["$exception_list"][0]["mechanism"]["handled"] is True
    assert one["$graphql_path"] == "boom"
    assert one["$graphql_operation"] == "Cart"
    assert one["$exception_list"][0]["stacktrace"]["frames"][-1]["filename"].endswith("test_graphql.py")


def test_an_error_that_travels_up_non_null_fields_is_one_event(
    execute: Callable[[str], Any], client: phtrack.Posthog, installed: None
) -> None:
    """However many fields it makes null on its way."""
    assert execute("{ deep }").data is None
    assert len(events(client)) == 1


def test_an_answer_to_the_client_is_no_failure(
    execute: Callable[[str], Any], client: phtrack.Posthog, installed: None
) -> None:
    """`GraphQLError` is how a resolver says no; so are queries that don't fit the schema."""
    assert execute("{ refused }").errors
    assert execute("{ nowhere }").errors
    assert events(client) == []


def test_undo_restores_everything(execute: Callable[[str], Any], client: phtrack.Posthog) -> None:
    """After it nothing is captured, and the library is as before; installing twice is harmless."""
    from graphql.execution.execute import ExecutionContext

    before = ExecutionContext.handle_field_error
    undo = integration.install(HttpOptions(client=client))
    integration.install()
    assert ExecutionContext.handle_field_error is not before
    undo()
    assert ExecutionContext.handle_field_error is before
    execute("{ boom }")
    assert events(client) == []
