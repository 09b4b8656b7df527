"""The service that gRPC tests call, for each kind of server: sync, asyncio, and asyncio with methods that are plain functions."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from phtrack.integrations import grpc as integration
from phtrack.integrations._http import HttpOptions

import phtrack

from .behaviours import HANG, Boom, Watched

TOGETHER = 50
STREAMING = {
    "stream": (False, True),
    "stream_abort": (False, True),
    "endless": (False, True),
    "no_iterator": (False, True),
    "collect": (True, False),
    "listen": (True, False),
    "chat": (True, True),
}
"""Method -> does the caller stream, does the server; the others do neither."""


class Service:
    """A service of plain functions: text in, text out."""

    def __init__(self) -> None:
        self.meeting = threading.Barrier(TOGETHER)
        self.listening = threading.Event()
        self.over = threading.Event()
        self.other = ""

    def ok(self, request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("shop", "berlin"),))
        return b"ok " + request

    def boom(self, request: bytes, context: Any) -> bytes:
        phtrack.tag("plan", "pro")
        raise Boom("order is broken")

    def bare(self, request: bytes, context: Any) -> bytes:
        raise Exception

    def boom_with_code(self, request: bytes, context: Any) -> bytes:
        context.set_code(grpc.StatusCode.DATA_LOSS)
        raise Boom("order is lost")

    def handled(self, request: bytes, context: Any) -> bytes:
        try:
            raise Boom("no stock")
        except Boom:
            return b"sorry"

    def refused(self, request: bytes, context: Any) -> bytes:
        context.set_code(grpc.StatusCode.INVALID_ARGUMENT)
        context.set_details("too many")
        return b""

    def abort(self, request: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        raise AssertionError

    def rpc_error(self, request: bytes, context: Any) -> bytes:
        raise grpc.RpcError

    def identify(self, request: bytes, context: Any) -> bytes:
        phtrack.identify_context("found-in-method")
        raise Boom("order is broken")

    def whoami(self, request: bytes, context: Any) -> bytes:
        return json.dumps([
            phtrack.get_context_distinct_id(), phtrack.get_context_session_id(), phtrack.get_tags(),
        ]).encode()  # fmt: skip

    def meet(self, request: bytes, context: Any) -> bytes:
        phtrack.tag("call", request.decode())
        self.meeting.wait(HANG)
        return self.whoami(request, context)

    def outgoing(self, request: bytes, context: Any) -> bytes:
        with grpc.insecure_channel(self.other) as channel:
            return channel.unary_unary("/shop.Shop/abort")(b"", timeout=HANG)  # type: ignore[no-any-return]

    def stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        yield b"one"
        phtrack.tag("chunk", 2)
        raise Boom("mid stream")

    def stream_abort(self, request: bytes, context: Any) -> Iterator[bytes]:
        yield b"one"
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")

    def endless(self, request: bytes, context: Any) -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 1_000
        finally:
            self.over.set()

    def no_iterator(self, request: bytes, context: Any) -> Any:
        return [b"one"]

    def collect(self, requests: Any, context: Any) -> bytes:
        for number, _ in enumerate(requests):
            if number == 1:
                raise Boom("second message")
        return b"done"

    def listen(self, requests: Any, context: Any) -> bytes:
        self.listening.set()
        try:
            return b"".join(requests)
        finally:
            self.over.set()

    def chat(self, requests: Any, context: Any) -> Iterator[bytes]:
        for request in requests:
            if request == b"boom":
                raise Boom("in a chat")
            yield b"you said " + request


class AsyncService(Service):
    """The same with coroutines; what a plain function does right is inherited by none."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = 0
        self.met = asyncio.Event()

    async def ok(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        return super().ok(request, context)

    async def boom(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().boom(request, context)

    async def bare(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        return super().bare(request, context)

    async def boom_with_code(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        return super().boom_with_code(request, context)

    async def handled(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        return super().handled(request, context)

    async def refused(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        return super().refused(request, context)

    async def abort(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        raise AssertionError

    async def rpc_error(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        return super().rpc_error(request, context)

    async def identify(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        return super().identify(request, context)

    async def whoami(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        return super().whoami(request, context)

    async def meet(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        phtrack.tag("call", request.decode())
        self.inside += 1
        if self.inside == TOGETHER:
            self.met.set()
        await asyncio.wait_for(self.met.wait(), HANG)
        return super().whoami(request, context)

    async def outgoing(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        async with grpc.aio.insecure_channel(self.other) as channel:
            return await channel.unary_unary("/shop.Shop/abort")(b"", timeout=HANG)  # type: ignore[no-any-return]

    async def stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:  # type: ignore[override]
        for one in super().stream(request, context):
            await asyncio.sleep(0)
            yield one

    async def stream_abort(self, request: bytes, context: Any) -> AsyncIterator[bytes]:  # type: ignore[override]
        yield b"one"
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")

    async def endless(self, request: bytes, context: Any) -> AsyncIterator[bytes]:  # type: ignore[override]
        try:
            while True:
                yield b"x" * 1_000
                await asyncio.sleep(0)
        finally:
            self.over.set()

    async def no_iterator(self, request: bytes, context: Any) -> Any:
        """The other way to stream: by writing."""
        await context.write(b"one")
        raise Boom("after writing")

    async def collect(self, requests: Any, context: Any) -> bytes:  # type: ignore[override]
        number = 0
        async for _ in requests:
            number += 1
            if number == 2:
                raise Boom("second message")
        return b"done"

    async def listen(self, requests: Any, context: Any) -> bytes:  # type: ignore[override]
        self.listening.set()
        try:
            return b"".join([one async for one in requests])
        finally:
            self.over.set()

    async def chat(self, requests: Any, context: Any) -> AsyncIterator[bytes]:  # type: ignore[override]
        async for request in requests:
            if request == b"boom":
                raise Boom("in a chat")
            yield b"you said " + request


# --- servers ---------------------------------------------------------------------------------------------------------


def handlers(service: Service) -> Any:
    methods = {}
    for name in [name for name in vars(Service) if not name.startswith("_")]:
        kinds = ("stream" if streaming else "unary" for streaming in STREAMING.get(name, (False, False)))
        make = getattr(grpc, f"{'_'.join(kinds)}_rpc_method_handler")
        methods[name] = make(getattr(service, name))
    return grpc.method_handlers_generic_handler("shop.Shop", methods)


@contextmanager
def sync_server(service: Service, *interceptors: Any) -> Iterator[str]:
    pool = ThreadPoolExecutor(TOGETHER + 5)
    server = grpc.server(pool, interceptors=interceptors) if interceptors else grpc.server(pool)
    server.add_generic_rpc_handlers((handlers(service),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
        pool.shutdown()


@contextmanager
def asyncio_server(service: Service, *interceptors: Any) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    pool = ThreadPoolExecutor(TOGETHER + 5)

    async def start() -> tuple[Any, int]:
        made = grpc.aio.server(pool, None, interceptors)  # by position
        made.add_generic_rpc_handlers((handlers(service),))
        port = made.add_insecure_port("127.0.0.1:0")
        await made.start()
        return made, port

    server, port = asyncio.run_coroutine_threadsafe(start(), loop).result(HANG)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(0), loop).result(HANG)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        pool.shutdown()


KINDS: dict[str, tuple[Any, type[Service]]] = {
    "sync": (sync_server, Service),
    "asyncio": (asyncio_server, AsyncService),
    "plain-on-asyncio": (asyncio_server, Service),
}


class Kind:
    """One way to serve; `serving` is the only thing that a test needs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.serve, self.make = KINDS[name]
        self.service: Any = None
        self.flawed = {"endless", "stream_abort"} if name == "plain-on-asyncio" else set()
        """Methods that gRPC has trouble with by itself."""

    @contextmanager
    def serving(self, watched: Watched | None, *interceptors: Any, **options: Any) -> Iterator[Any]:
        """A channel to a new server, made with phtrack installed, unless *watched* is None."""
        undo = integration.install(HttpOptions(client=watched.client, **options)) if watched else None
        self.service = self.make()
        try:
            with self.serve(self.service, *interceptors) as address:
                self.service.other = address
                with grpc.insecure_channel(address) as channel:
                    yield channel
        finally:
            if undo is not None:
                undo()
