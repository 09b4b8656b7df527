"""gRPC servers over a real socket: sync, asyncio, and asyncio with methods that are plain functions."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .behaviours import HANG, Boom, Watched

grpc = pytest.importorskip("grpc", reason="needs grpcio")

from phtrack.integrations import grpc as integration  # noqa: E402 - skipped without the library
from phtrack.integrations._http import HttpOptions  # noqa: E402

from .grpc_services import KINDS, STREAMING, TOGETHER, Kind, Service, sync_server  # noqa: E402


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return Kind(request.param)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """gRPC logs the errors that the tests make."""
    logging.getLogger("grpc").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("grpc").setLevel(logging.NOTSET)


def call(channel: Any, name: str, *requests: bytes, **metadata: str | bytes) -> dict[str, Any]:
    """One call, and all that its caller gets to see."""
    sends, receives = STREAMING.get(name, (False, False))
    invoke = getattr(channel, f"{'stream' if sends else 'unary'}_{'stream' if receives else 'unary'}")
    given: Any = iter(requests) if sends else (requests or (b"",))[0]
    meta = [(key.replace("_", "-"), value) for key, value in metadata.items()]
    seen: dict[str, Any] = {"messages": []}
    method = invoke(f"/shop.Shop/{name}")
    try:
        if receives:
            outcome: Any = method(given, timeout=HANG, metadata=meta)
            seen["messages"] += outcome
        else:
            message, outcome = method.with_call(given, timeout=HANG, metadata=meta)
            seen["messages"].append(message)
    except grpc.RpcError as error:
        outcome = error
    seen.update(
        code=outcome.code(),
        details=outcome.details(),
        initial=sorted(outcome.initial_metadata() or ()),
        trailing=sorted(outcome.trailing_metadata() or ()),
    )
    return seen


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
        "route": told["$request_route"],
        "status": told["$grpc_status"],
    }


def unhandled(name: str, type_: str = "Boom", status: str = "UNKNOWN") -> dict[str, Any]:
    return {
        "type": type_,
        "level": "error",
        "mechanism": "middleware",
        "handled": False,
        "source": "grpc.interceptor",
        "route": f"/shop.Shop/{name}",
        "status": status,
    }


# --- errors ----------------------------------------------------------------------------------------------------------


def test_an_error_in_a_method_is_one_event(kind: Kind, watched: Watched) -> None:
    """Unhandled, with the method as its route, the status that the caller gets, and the frame that failed on top."""
    with kind.serving(watched) as channel:
        assert call(channel, "boom")["code"] is grpc.StatusCode.UNKNOWN
    event = watched.the_exception()
    assert described(event) == unhandled("boom")
    told = event["properties"]
    assert (told["$request_path"], told["$ip"], told["plan"]) == ("/shop.Shop/boom", "127.0.0.1", "pro")
    assert told["$user_agent"].startswith("grpc-python")
    frames = told["$exception_list"][0]["stacktrace"]["frames"]
    assert frames[-1]["function"].endswith("boom")
    assert not [
        frame for frame in frames if "integrations/grpc.py" in (frame.get("filename") or "") and frame["in_app"]
    ]


@pytest.mark.parametrize("name", ["stream", "collect", "chat"])
def test_an_error_in_a_stream_is_one_event(kind: Kind, watched: Watched, name: str) -> None:
    """Whoever streams; in the call's context, and what was sent before it arrives."""
    with kind.serving(watched) as channel:
        seen = call(channel, name, b"hello", b"boom", x_posthog_distinct_id="u1")
    assert seen["code"] is grpc.StatusCode.UNKNOWN
    assert seen["messages"] == {"stream": [b"one"], "collect": [], "chat": [b"you said hello"]}[name]
    event = watched.the_exception()
    assert described(event) == unhandled(name)
    assert event["distinct_id"] == "u1"
    assert event["properties"].get("chunk") == (2 if name == "stream" else None)


def test_an_error_with_a_status(kind: Kind, watched: Watched) -> None:
    """A method may choose the status before it fails; the event says so where gRPC lets us know."""
    with kind.serving(watched) as channel:
        seen = call(channel, "boom_with_code")
    assert seen["code"] is grpc.StatusCode.DATA_LOSS
    known = kind.name != "plain-on-asyncio"
    assert described(watched.the_exception()) == unhandled("boom_with_code", status="DATA_LOSS" if known else "UNKNOWN")


def test_a_bare_exception_is_an_error_like_any_other(kind: Kind, watched: Watched) -> None:
    """Although the sync `abort` raises one as well."""
    with kind.serving(watched) as channel:
        call(channel, "bare")
    assert described(watched.the_exception()) == unhandled("bare", "Exception")


def test_a_failed_call_of_another_service_is_an_error(kind: Kind, watched: Watched) -> None:
    """Nobody handles the `RpcError` of an outgoing call: the caller gets UNKNOWN, and we one event."""
    with kind.serving(watched) as channel:
        assert call(channel, "outgoing")["code"] is grpc.StatusCode.UNKNOWN
    about = described(watched.the_exception())
    expected = "AioRpcError" if kind.name == "asyncio" else "_InactiveRpcError"
    assert about == unhandled("outgoing", expected)


def test_an_error_of_another_interceptor_is_one_event(kind: Kind, watched: Watched) -> None:
    """Of one that fails before there is a method, and of one that wraps it."""

    def broken(details: Any) -> None:
        if details.method.endswith("/ok"):
            raise Boom("interceptor")

    class Sync(grpc.ServerInterceptor):  # type: ignore[misc]
        def intercept_service(self, continuation: Any, details: Any) -> Any:
            broken(details)
            return continuation(details)

    class Async(grpc.aio.ServerInterceptor):  # type: ignore[misc]
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            broken(details)
            return await continuation(details)

    other = Sync() if kind.name == "sync" else Async()
    with kind.serving(None, other) as channel:
        bare = call(channel, "ok")
    with kind.serving(watched, other) as channel:
        assert call(channel, "ok", x_posthog_distinct_id="u1") == bare
        assert call(channel, "handled")["messages"] == [b"sorry"]
    event = watched.the_exception()
    assert described(event) == unhandled("ok")
    assert event["distinct_id"] == "u1"


# --- no errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ok", "handled", "refused", "abort", "stream_abort", "rpc_error", "nowhere"])
def test_answers_are_no_events(kind: Kind, watched: Watched, name: str) -> None:
    """Success, what the method handles itself, `abort`, a chosen status, gRPC's own control flow, and no such method."""
    if name in kind.flawed:
        pytest.skip("gRPC's own race: its abort may find the message before still on its way")
    with kind.serving(watched) as channel:
        seen = call(channel, name)
    expected = {
        "ok": grpc.StatusCode.OK,
        "handled": grpc.StatusCode.OK,
        "refused": grpc.StatusCode.INVALID_ARGUMENT,
        "abort": grpc.StatusCode.NOT_FOUND,
        "stream_abort": grpc.StatusCode.RESOURCE_EXHAUSTED,
        "rpc_error": grpc.StatusCode.UNKNOWN,
        "nowhere": grpc.StatusCode.UNIMPLEMENTED,
    }
    assert seen["code"] is expected[name]
    assert watched.exceptions() == []


@pytest.mark.parametrize("name", ["endless", "listen"])
def test_a_cancelled_call_is_no_event(kind: Kind, watched: Watched, name: str) -> None:
    """The caller goes away while the server streams, and while it listens; the method ends, and the next call is answered."""
    if name in kind.flawed:
        pytest.skip("gRPC itself keeps a thread waiting for ever then")
    hold = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b"hello"
        hold.wait(HANG)

    with kind.serving(watched) as channel:
        if name == "endless":
            running = channel.unary_stream("/shop.Shop/endless")(b"", timeout=HANG)
            next(running)
        else:
            running = channel.stream_unary("/shop.Shop/listen").future(slowly(), timeout=HANG)
            assert kind.service.listening.wait(HANG)
        running.cancel()
        hold.set()
        assert kind.service.over.wait(HANG)
        assert call(channel, "ok", b"again")["messages"] == [b"ok again"]
    assert watched.exceptions() == []


# --- contexts --------------------------------------------------------------------------------------------------------


def test_ids_and_facts_are_the_callers(kind: Kind, watched: Watched) -> None:
    """Distinct id and session id of the metadata; what the method says itself is on the event."""
    with kind.serving(watched) as channel:
        (answer,) = call(channel, "whoami", x_posthog_distinct_id="u1", x_posthog_session_id="s1")["messages"]
        call(channel, "identify", x_posthog_distinct_id="u1", x_posthog_session_id="s1")
    who, session, tags = json.loads(answer)
    assert (who, session) == ("u1", "s1")
    assert tags["$request_route"] == "/shop.Shop/whoami"
    event = watched.the_exception()
    assert (event["distinct_id"], event["properties"]["$session_id"]) == ("found-in-method", "s1")


def test_metadata_can_be_left_alone(kind: Kind, watched: Watched) -> None:
    """With `capture_tracing_headers=False` it means nothing; with `capture_exceptions=False` there is the context alone."""
    with kind.serving(watched, capture_tracing_headers=False, capture_exceptions=False) as channel:
        (answer,) = call(channel, "whoami", x_posthog_distinct_id="u1")["messages"]
        call(channel, "boom")
    assert json.loads(answer)[0] is None
    assert json.loads(answer)[2]["$request_path"] == "/shop.Shop/whoami"
    assert watched.exceptions() == []


def test_calls_at_the_same_time_never_mix(kind: Kind, watched: Watched) -> None:
    """Fifty calls that are all inside of the method at once each see their own ids and tags; the next one sees none."""
    with kind.serving(watched) as channel, ThreadPoolExecutor(TOGETHER) as pool:

        def ask(number: int) -> Any:
            ids = {"x_posthog_distinct_id": f"u{number}", "x_posthog_session_id": f"s{number}"}
            return json.loads(call(channel, "meet", str(number).encode(), **ids)["messages"][0])

        answers = list(pool.map(ask, range(TOGETHER)))
        (after,) = call(channel, "whoami")["messages"]
    for number, (who, session, tags) in enumerate(answers):
        assert (who, session, tags["call"]) == (f"u{number}", f"s{number}", str(number))
    assert json.loads(after)[:2] == [None, None]
    assert "call" not in json.loads(after)[2]


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        pytest.param("u" * 5_000, "u" * 1_000, id="long"),
        pytest.param("  spaced  ", "spaced", id="spaces"),
        pytest.param("   ", None, id="blank"),
        pytest.param("%0d%0a", "%0d%0a", id="escaped"),
    ],
)
def test_hostile_metadata_does_no_harm(kind: Kind, watched: Watched, value: str, seen: str | None) -> None:
    """Ids are cut, trimmed and printable, whatever the caller says; keys that mean nothing and bytes do no harm."""
    with kind.serving(watched) as channel:
        more: dict[str, str | bytes] = {"junk_bin": b"\x00\xff\r\n" * 500, "x_posthog_session_id_bin": b"\x00s1"}
        (answer,) = call(channel, "whoami", x_posthog_distinct_id=value, **more)["messages"]
        call(channel, "boom", x_posthog_distinct_id=value, **more)
    assert json.loads(answer)[:2] == [seen, None]
    assert watched.the_exception()["properties"]["$exception_type"] == "Boom"


def test_the_first_usable_value_counts(kind: Kind, watched: Watched) -> None:
    """Metadata may have a key more than once."""
    with kind.serving(watched) as channel:
        method = channel.unary_unary("/shop.Shop/whoami")
        answer = method(b"", metadata=[("x-posthog-distinct-id", one) for one in (" ", "u1", "u2")], timeout=HANG)
    assert json.loads(answer)[0] == "u1"


# --- the caller's side, and installing -------------------------------------------------------------------------------


def test_the_caller_sees_the_same(kind: Kind, watched: Watched) -> None:
    """Messages, status, details and metadata of every method, with phtrack and without."""
    names = [name for name in vars(Service) if not name.startswith("_")]
    # These wait for others, or tell of contexts and addresses.
    left_out = {"meet", "endless", "listen", "whoami", "outgoing", *kind.flawed}

    def everything(channel: Any) -> dict[str, Any]:
        return {name: call(channel, name, b"hello", b"boom") for name in [*names, "nowhere"] if name not in left_out}

    with kind.serving(None) as channel:
        bare = everything(channel)
    with kind.serving(watched) as channel:
        assert everything(channel) == bare
    assert bare["ok"]["trailing"] and bare["boom"]["details"]


def test_methods_keep_what_grpc_reads_from_them(watched: Watched) -> None:
    """Such as the mark of a stream that is sent with a callback, as gRPC's own health service has."""
    service = Service()

    def watch(request: bytes, context: Any, send: Callable[[Any], None]) -> None:
        send(b"one")
        send(None)

    watch.experimental_non_blocking = True  # type: ignore[attr-defined]
    service.stream = watch  # type: ignore[assignment]
    undo = integration.install(HttpOptions(client=watched.client))
    try:
        with sync_server(service) as address, grpc.insecure_channel(address) as channel:
            assert call(channel, "stream")["messages"] == [b"one"]
    finally:
        undo()
    assert watched.exceptions() == []


def test_undo_restores_everything(kind: Kind, watched: Watched) -> None:
    """Servers made after it have no interceptor of ours; installing twice is harmless, in both ways at once too."""
    before = (grpc.server, grpc.aio.server)
    undo = integration.install(HttpOptions(client=watched.client))
    assert integration.install() is not None
    given = integration.interceptor if kind.name == "sync" else integration.async_interceptor
    assert grpc.server is not before[0]
    with kind.serve(kind.make(), given(HttpOptions(client=watched.client))) as address:
        with grpc.insecure_channel(address) as channel:
            call(channel, "boom", x_posthog_distinct_id="u1")
        event = watched.the_exception()
    assert (described(event), event["distinct_id"]) == (unhandled("boom"), "u1")
    undo()
    assert (grpc.server, grpc.aio.server) == before
    with kind.serving(None) as channel:
        call(channel, "boom")
        assert json.loads(call(channel, "whoami", x_posthog_distinct_id="u1")["messages"][0]) == [None, None, {}]
    assert len(watched.exceptions()) == 1


def test_an_address_is_told_as_one() -> None:
    """Of the forms that gRPC has for peers."""
    told = {peer: integration._address(peer) for peer in ("ipv4:10.0.0.1:80", "ipv6:%5B::1%5D:80", "ipv6:[::1]:80")}
    assert list(told.values()) == ["10.0.0.1", "::1", "::1"]
    assert integration._address("unix:/run/shop.sock") is None
