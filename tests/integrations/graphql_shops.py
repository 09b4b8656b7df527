"""The shop that GraphQL tests ask, made with each library on graphql-core, behind a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from graphql import GraphQLError
from phtrack.integrations import graphql as integration
from phtrack.integrations._http import HttpOptions
from phtrack.integrations.asgi import PosthogASGIMiddleware
from phtrack.integrations.wsgi import PosthogWSGIMiddleware

import phtrack

from .behaviours import Boom, Code, Watched, serve_asgi, serve_wsgi


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
