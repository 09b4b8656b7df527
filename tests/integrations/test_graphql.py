"""GraphQL resolvers that fail, in each library on graphql-core, behind a real server: one handled event, the response untouched."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

import phtrack

from .behaviours import HANG, Boom, Code, Response, Watched, fetch, serve_asgi, serve_wsgi

pytest.importorskip("graphql", reason="needs graphql-core")

from graphql import GraphQLError  # noqa: E402 - skipped without the library
from phtrack.integrations import graphql as integration  # noqa: E402
from phtrack.integrations._http import HttpOptions  # noqa: E402
from phtrack.integrations.asgi import PosthogASGIMiddleware  # noqa: E402
from phtrack.integrations.wsgi import PosthogWSGIMiddleware  # noqa: E402


def login(password: str, info: Any) -> str:
    """A resolver whose frame shows little but what the client asked."""
    raise Boom("login")


class Shop:
    """What the resolvers of every library call."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self._loader: Any = None

    def hello(self) -> str:
        return "world"

    def boom(self) -> str:
        phtrack.tag("plan", "pro")
        return self.code.boom()  # type: ignore[no-any-return]

    def handled(self) -> str:
        try:
            return self.code.boom()  # type: ignore[no-any-return]
        except Boom:
            return "sorry"

    def refused(self) -> str:
        raise GraphQLError("not yours", extensions={"code": "FORBIDDEN"})

    def identify(self) -> str:
        return self.code.identify()  # type: ignore[no-any-return]

    def whoami(self) -> str:
        return json.dumps(self.code.whoami())

    def price(self, order: int, line: int) -> float:
        if (order, line) == (1, 2):
            self.code.boom(order)
        return 9.5

    async def meet(self, number: int) -> str:
        return json.dumps(await self.code.ameet(number))

    async def late(self) -> str:
        await asyncio.sleep(0)
        return self.code.boom("late")  # type: ignore[no-any-return]

    async def loaded(self, key: int) -> str:
        """From a data loader, whose batch fails for all that wait for it."""
        if self._loader is None:
            from strawberry.dataloader import DataLoader

            async def load(keys: list[int]) -> list[str]:
                return self.code.boom(f"batch of {len(keys)}")  # type: ignore[no-any-return]

            self._loader = DataLoader(load_fn=load)
        return await self._loader.load(key)  # type: ignore[no-any-return]

    async def ticks(self, fail: str) -> AsyncIterator[int]:
        """A subscription that fails after its first event, if it is told so."""
        yield 1
        if fail == "stream":
            self.code.boom("stream")
        yield 2

    def subscribe(self, fail: str) -> AsyncIterator[int]:
        if fail == "start":
            self.code.boom("start")
        if fail == "refused":
            raise GraphQLError("not yours")
        return self.ticks(fail)

    def tick(self, number: int, fail: str) -> int:
        if (number, fail) == (2, "payload"):
            self.code.boom("payload")
        return number

    def around(self, field: str) -> None:
        """A middleware of the application's."""
        if field == "behind":
            self.code.boom("middleware")


# --- the libraries ---------------------------------------------------------------------------------------------------


def strawberry_application(shop: Shop) -> Any:
    strawberry = pytest.importorskip("strawberry", reason="needs strawberry")
    from strawberry.asgi import GraphQL
    from strawberry.extensions import SchemaExtension
    from strawberry.tools import create_type

    def field(resolver: Callable[..., Any], answer: Any = str | None, name: str | None = None) -> Any:
        resolver.__annotations__ = {"return": answer}
        resolver.__name__ = name or resolver.__name__
        return strawberry.field(resolver=resolver, name=name)

    line = create_type("Line", [field(lambda root: shop.price(*root), float | None, name="price")])
    lines = field(lambda root: [(root, one) for one in range(3)], list[line], name="lines")  # type: ignore[valid-type]
    order = create_type("Order", [lines])

    class Query:
        hello = field(lambda: shop.hello())
        boom = field(lambda: shop.boom())
        behind = field(lambda: shop.hello())
        handled = field(lambda: shop.handled())
        refused = field(lambda: shop.refused())
        identify = field(lambda: shop.identify())
        whoami = field(lambda: shop.whoami())
        orders = field(lambda: [0, 1], list[order])  # type: ignore[valid-type]
        deep = field(lambda: shop.boom(), str)

        @strawberry.field
        def login(self, info: strawberry.Info, password: str) -> str | None:
            return login(password, info)

        @strawberry.field
        async def meet(self, number: int) -> str | None:
            return await shop.meet(number)

        @strawberry.field
        async def late(self) -> str:
            return await shop.late()

        @strawberry.field
        async def loaded(self, key: int) -> str | None:
            return await shop.loaded(key)

    class Subscription:
        @strawberry.subscription
        async def ticks(self, fail: str) -> AsyncIterator[int]:
            async for one in shop.subscribe(fail):
                yield shop.tick(one, fail)

    class Around(SchemaExtension):
        def resolve(self, _next: Any, root: Any, info: Any, *args: Any, **kwargs: Any) -> Any:
            shop.around(info.field_name)
            return _next(root, info, *args, **kwargs)

    schema = strawberry.Schema(
        query=strawberry.type(Query), subscription=strawberry.type(Subscription), extensions=[Around]
    )
    return GraphQL(schema)


def ariadne_application(shop: Shop) -> Any:
    ariadne = pytest.importorskip("ariadne", reason="needs ariadne")
    from ariadne.asgi import GraphQL
    from ariadne.asgi.handlers import GraphQLHTTPHandler, GraphQLTransportWSHandler

    query, order, line, subscription = (
        ariadne.QueryType(),
        ariadne.ObjectType("Order"),
        ariadne.ObjectType("Line"),
        ariadne.SubscriptionType(),
    )
    for name in ("hello", "boom", "handled", "refused", "identify", "whoami"):
        query.set_field(name, lambda *_, name=name: getattr(shop, name)())
    query.set_field("behind", lambda *_: shop.hello())
    query.set_field("deep", lambda *_: shop.boom())
    query.set_field("login", lambda _, info, password: login(password, info))
    query.set_field("orders", lambda *_: [0, 1])
    order.set_field("lines", lambda number, _: [(number, one) for one in range(3)])
    line.set_field("price", lambda pair, _: shop.price(*pair))
    query.set_field("meet", lambda *_, number: shop.meet(number))
    query.set_field("late", lambda *_: shop.late())
    query.set_field("loaded", lambda *_, key: shop.loaded(key))
    subscription.set_source("ticks", lambda *_, fail: shop.subscribe(fail))
    subscription.set_field("ticks", lambda number, _, fail: shop.tick(number, fail))

    def around(resolver: Any, root: Any, info: Any, **arguments: Any) -> Any:
        shop.around(info.field_name)
        return resolver(root, info, **arguments)

    schema = ariadne.make_executable_schema(
        """
        type Query {
            hello: String boom: String behind: String handled: String refused: String identify: String whoami: String
            login(password: String!): String orders: [Order!] meet(number: Int!): String
            late: String! deep: String! loaded(key: Int!): String
        }
        type Order { lines: [Line!] }
        type Line { price: Float }
        type Subscription { ticks(fail: String!): Int! }
        """,
        [query, order, line, subscription],
    )
    return GraphQL(
        schema,
        http_handler=GraphQLHTTPHandler(middleware=[around]),
        websocket_handler=GraphQLTransportWSHandler(),
    )


def graphene_schema(shop: Shop) -> Any:
    graphene: Any = pytest.importorskip("graphene", reason="needs graphene")

    def field(kind: Any, resolver: Callable[..., Any], **arguments: Any) -> Any:
        return graphene.Field(kind, resolver=lambda root, info, **given: resolver(**given), **arguments)

    class Line(graphene.ObjectType):  # type: ignore[misc]
        price = graphene.Float(resolver=lambda pair, info: shop.price(*pair))

    class Order(graphene.ObjectType):  # type: ignore[misc]
        lines = graphene.List(Line, resolver=lambda number, info: [(number, one) for one in range(3)])

    class Query(graphene.ObjectType):  # type: ignore[misc]
        hello = field(graphene.String, shop.hello)
        boom = field(graphene.String, shop.boom)
        behind = field(graphene.String, shop.hello)
        handled = field(graphene.String, shop.handled)
        refused = field(graphene.String, shop.refused)
        identify = field(graphene.String, shop.identify)
        whoami = field(graphene.String, shop.whoami)
        deep = field(graphene.NonNull(graphene.String), shop.boom)
        orders = field(graphene.List(graphene.NonNull(Order)), lambda: [0, 1])
        meet = field(graphene.String, shop.meet, number=graphene.Int(required=True))
        late = field(graphene.NonNull(graphene.String), shop.late)
        loaded = field(graphene.String, shop.loaded, key=graphene.Int(required=True))
        login = graphene.Field(
            graphene.String,
            resolver=lambda root, info, password: login(password, info),
            password=graphene.String(required=True),
        )

    class Subscription(graphene.ObjectType):  # type: ignore[misc]
        ticks = graphene.Int(fail=graphene.String(required=True))

        def resolve_ticks(number, info: Any, fail: str) -> int:
            return shop.tick(number, fail)  # type: ignore[arg-type]

        def subscribe_ticks(root, info: Any, fail: str) -> Any:
            return shop.subscribe(fail)

    return graphene.Schema(query=Query, subscription=Subscription)


class Around:
    """Graphene's way to write a middleware."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def resolve(self, next_: Any, root: Any, info: Any, **arguments: Any) -> Any:
        self.shop.around(info.field_name)
        return next_(root, info, **arguments)


def graphene_application(shop: Shop) -> Any:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route, WebSocketRoute

    schema = graphene_schema(shop)

    async def answer(request: Any) -> Any:
        asked = await request.json()
        result = await schema.execute_async(
            asked["query"], variables=asked.get("variables"), middleware=[Around(shop)], context=request
        )
        return JSONResponse(result.formatted)

    async def stream(socket: Any) -> None:
        """The part of the protocol that the test's client speaks."""
        await socket.accept("graphql-transport-ws")
        await socket.receive_json()
        await socket.send_json({"type": "connection_ack"})
        asked = (await socket.receive_json())["payload"]
        results = await schema.subscribe(asked["query"], variables=asked.get("variables"))
        try:
            if hasattr(results, "__aiter__"):
                async for result in results:
                    await socket.send_json({"id": "1", "type": "next", "payload": result.formatted})
            else:
                await socket.send_json({"id": "1", "type": "error", "payload": results.formatted["errors"]})
        except Boom as error:
            await socket.send_json({"id": "1", "type": "error", "payload": [{"message": str(error)}]})
        else:
            await socket.send_json({"id": "1", "type": "complete"})
        await socket.close()

    return Starlette(routes=[Route("/", answer, methods=["POST"]), WebSocketRoute("/", stream)])


def flask_application(shop: Shop) -> Any:
    """Graphene without asyncio."""
    from flask import Flask, request

    schema = graphene_schema(shop)
    app = Flask("shop")

    @app.post("/")
    def answer() -> Any:
        asked: Any = request.json
        return schema.execute(
            asked["query"], variables=asked.get("variables"), middleware=[Around(shop)], context=request
        ).formatted

    return app


class Library:
    """One library behind one server."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_async = name != "graphene-flask"
        self._build = {
            "strawberry": strawberry_application,
            "ariadne": ariadne_application,
            "graphene": graphene_application,
            "graphene-flask": flask_application,
        }[name]

    @contextmanager
    def serving(self, watched: Watched | None, **options: Any) -> Iterator[str]:
        """The base URL of a new server; with phtrack on, unless *watched* is None."""
        app = self._build(Shop(Code(watched.client if watched else None)))
        serve: Callable[[Any], AbstractContextManager[str]] = serve_asgi if self.is_async else serve_wsgi
        undo = None
        if watched is not None:
            around: Any = PosthogASGIMiddleware if self.is_async else PosthogWSGIMiddleware
            app = around(app, client=watched.client, capture_exceptions=True)
            undo = integration.install(HttpOptions(client=watched.client, **options))
        try:
            with serve(app) as base:
                yield base
        finally:
            if undo is not None:
                undo()


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
