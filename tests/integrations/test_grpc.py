"""gRPC servers, sync and asyncio, over a real socket: one event for an error, one context per call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import phtrack
from phtrack.testing import FakeClock, RecordingTransport

grpc = pytest.importorskip("grpc", reason="needs grpcio")

from phtrack.integrations import grpc as integration  # noqa: E402 - skipped without the library
from phtrack.integrations._http import HttpOptions  # noqa: E402


class Service:
    """The methods of a test service: text in, text out."""

    def ok(self, request: bytes, context: Any) -> bytes:
        return b"ok"

    def boom(self, request: bytes, context: Any) -> bytes:
        secret_total = 3
        raise KeyError(secret_total)

    def abort(self, request: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        raise AssertionError

    def whoami(self, request: bytes, context: Any) -> bytes:
        phtrack.tag("call", request.decode())
        return f"{phtrack.get_context_distinct_id()} {phtrack.get_tags()['call']}".encode()

    def stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        yield b"one"
        raise ValueError("mid stream")


class AsyncService:
    """The same for asyncio."""

    async def ok(self, request: bytes, context: Any) -> bytes:
        return b"ok"

    async def boom(self, request: bytes, context: Any) -> bytes:
        raise KeyError(3)

    async def abort(self, request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        raise AssertionError

    async def whoami(self, request: bytes, context: Any) -> bytes:
        phtrack.tag("call", request.decode())
        await asyncio.sleep(0.005)
        return f"{phtrack.get_context_distinct_id()} {phtrack.get_tags()['call']}".encode()

    async def stream(self, request: bytes, context: Any) -> Any:
        yield b"one"
        raise ValueError("mid stream")


def handlers(service: Any) -> Any:
    unary = {
        name: grpc.unary_unary_rpc_method_handler(getattr(service, name)) for name in ("ok", "boom", "abort", "whoami")
    }
    unary["stream"] = grpc.unary_stream_rpc_method_handler(service.stream)
    return grpc.method_handlers_generic_handler("shop.Shop", unary)


@pytest.fixture
def client() -> Iterator[phtrack.Posthog]:
    client = phtrack.Posthog("phc_test", transport=RecordingTransport(), clock=FakeClock())
    yield client
    client.shutdown()


@pytest.fixture(params=["sync", "asyncio"])
def channel(request: pytest.FixtureRequest, client: phtrack.Posthog) -> Iterator[Any]:
    """A channel to a server that was made with the integration installed."""
    undo = integration.install(HttpOptions(client=client))
    if request.param == "sync":
        server = grpc.server(ThreadPoolExecutor(8))
        server.add_generic_rpc_handlers((handlers(Service()),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as one:
            yield one
        server.stop(0).wait()
    else:
        import threading

        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()

        async def start() -> tuple[Any, int]:
            made = grpc.aio.server()
            made.add_generic_rpc_handlers((handlers(AsyncService()),))
            port = made.add_insecure_port("127.0.0.1:0")
            await made.start()
            return made, port

        server, port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as one:
            yield one
        asyncio.run_coroutine_threadsafe(server.stop(0), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    undo()


def call(channel: Any, name: str, request: bytes = b"", **metadata: str) -> bytes:
    answer: bytes = channel.unary_unary(f"/shop.Shop/{name}")(
        request, timeout=10, metadata=[(key.replace("_", "-"), value) for key, value in metadata.items()]
    )
    return answer


def events(client: phtrack.Posthog) -> list[dict[str, Any]]:
    client.flush()
    found: list[dict[str, Any]] = client._delivery._transport.events  # type: ignore[attr-defined]
    return found


def test_an_error_in_a_method_is_one_event(channel: Any, client: phtrack.Posthog) -> None:
    """Unhandled, with the method as its route and the caller's ids; the caller gets UNKNOWN as ever."""
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "boom", x_posthog_distinct_id="u1", x_posthog_session_id="s1")
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    (event,) = events(client)
    properties = event["properties"]
    assert event["distinct_id"] == "u1"
    assert properties["$session_id"] == "s1"
    assert properties["$exception_type"] == "KeyError"
    assert properties["$exception_source"] == "grpc.interceptor"
    assert properties["$request_route"] == "/shop.Shop/boom"
    assert properties["$ip"] == "127.0.0.1"
    mechanism = properties["$exception_list"][0]["mechanism"]
    assert (mechanism["type"], mechanism["handled"]) == ("middleware", False)


def test_success_and_abort_are_no_events(channel: Any, client: phtrack.Posthog) -> None:
    """`abort` is an answer with a status, and reaches the caller as one."""
    assert call(channel, "ok") == b"ok"
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "abort")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "no such thing"
    assert events(client) == []


def test_an_error_in_a_stream_is_one_event(channel: Any, client: phtrack.Posthog) -> None:
    """What was sent before it arrives."""
    answers = channel.unary_stream("/shop.Shop/stream")(b"", timeout=10)
    assert next(answers) == b"one"
    with pytest.raises(grpc.RpcError):
        next(answers)
    assert [event["properties"]["$exception_type"] for event in events(client)] == ["ValueError"]


def test_concurrent_calls_never_mix(channel: Any) -> None:
    """Fifty calls at once each see their own user and tags."""
    with ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(lambda n: call(channel, "whoami", str(n).encode(), x_posthog_distinct_id=f"u{n}"), range(50))
        )
    assert answers == [f"u{n} {n}".encode() for n in range(50)]


def test_hostile_metadata_does_no_harm(channel: Any) -> None:
    """Long values are cut; a call without ids has no user."""
    assert call(channel, "whoami", b"1", x_posthog_distinct_id="u" * 5_000) == b"u" * 1_000 + b" 1"
    assert call(channel, "whoami", b"1") == b"None 1"


def test_undo_restores_everything() -> None:
    """Servers made after it have no interceptor of ours; installing twice is harmless."""
    before = (grpc.server, grpc.aio.server)
    undo = integration.install()
    integration.install()
    assert grpc.server is not before[0]
    undo()
    assert (grpc.server, grpc.aio.server) == before
