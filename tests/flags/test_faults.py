"""A server that is slow, down, mad, or out of quota; a poller that must not get in anybody's way."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
import weakref
from typing import Any

import pytest

from phtrack import http
from phtrack.flags.definitions import Definitions
from phtrack.flags.transport import HttpTransport, Reply
from phtrack.request import APIError
from tests.flags.conftest import MakeClient
from tests.flags.definitions import flag, variants
from tests.flags.server import Answer, FlagServer, definitions, record, remote

BLUE = flag("blue", filters={"multivariate": variants(blue=100)})
STICKY = flag("sticky", ensure_experience_continuity=True)


def closed_port() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


# --- remote reads ----------------------------------------------------------------------------------------------------

FAULTS = [
    (lambda: Answer(hold=threading.Event()), "timeout", 2),
    (lambda: Answer(drip=True), "timeout", 2),
    (lambda: Answer(hang_up=True), "connection_error", 2),
    (lambda: Answer(status=502), "api_error_502", 2),
    (lambda: Answer(status=504), "api_error_504", 2),
    (lambda: Answer(status=500), "api_error_500", 1),
    (lambda: Answer(status=503, headers={"Retry-After": "60"}), "api_error_503", 1),
    (lambda: Answer(status=401), "api_error_401", 1),
    (lambda: Answer(status=402), "api_error_402", 1),
    (lambda: Answer(status=429), "api_error_429", 1),
    (lambda: Answer(status=302, headers={"Location": "/elsewhere"}), "api_error_302", 1),
    (lambda: Answer(raw=b"<html>garbage"), "unknown_error", 1),
    (lambda: Answer(raw=b"\xff\xfe\x00"), "unknown_error", 1),
    (lambda: Answer(raw=b""), "unknown_error", 1),
    (lambda: Answer([1, 2]), "unknown_error", 1),
    (lambda: Answer({"status": 1}), "unknown_error", 1),
    (lambda: Answer({"flags": [1]}), "unknown_error", 1),
    (lambda: Answer(raw=b"x", headers={"Content-Encoding": "gzip"}), "unknown_error", 1),
    (lambda: Answer(raw=b"[" * 100_000), "unknown_error", 1),
    (lambda: remote(quotaLimited=["feature_flags"]), "quota_limited", 1),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "requests"), FAULTS, ids=[f"{n}-{row[1]}" for n, row in enumerate(FAULTS)])
def test_every_fault_is_none_with_its_reason(
    server: FlagServer, client: MakeClient, make: Any, error: str, requests: int
) -> None:
    """Whatever the server does, a read answers None in time, says why, and only what may help is tried again."""
    server.flags = make()
    phtrack = client(feature_flags_request_timeout_seconds=0.2)
    phtrack.flags._remote._pause = lambda _: None
    began = time.monotonic()
    assert phtrack.get_feature_flag("f", "u1") is None
    assert time.monotonic() - began < 10
    server.wait_for("/flags/", requests)
    assert len(server.asked) == requests
    assert phtrack.called()[0]["$feature_flag_error"] == error
    assert phtrack.evaluate_flags("u1").keys == []
    assert phtrack.get_all_flags("u1") is None
    assert phtrack.get_flags_decision("u1") == {"flags": {}}


def test_a_refused_connection_is_not_tried_again(client: MakeClient) -> None:
    """Nobody listens: asking again in a moment helps nobody."""
    phtrack = client(host=closed_port())
    pauses: list[float] = []
    phtrack.flags._remote._pause = pauses.append
    assert phtrack.get_feature_flag("f", "u1") is None
    assert phtrack.called()[0]["$feature_flag_error"] == "connection_error"
    assert pauses == []


def test_retries_and_their_pauses(server: FlagServer, client: MakeClient) -> None:
    """0.3 s, then twice as long; as many as the option says, and a success ends them."""
    answers = iter([Answer(status=502), Answer(status=504), Answer(hang_up=True), remote(record("f"))])
    server.flags = lambda _: next(answers)
    phtrack = client(feature_flags_request_max_retries=5)
    pauses: list[float] = []
    phtrack.flags._remote._pause = pauses.append
    assert phtrack.get_feature_flag("f", "u1") is True
    assert pauses == [0.3, 0.6, 1.2]


def test_no_retries(server: FlagServer, client: MakeClient) -> None:
    """0 switches them off."""
    server.flags = Answer(status=502)
    client(feature_flags_request_max_retries=0).get_feature_flag("f", "u1")
    assert len(server.asked) == 1


def test_partial_answers(server: FlagServer, client: MakeClient) -> None:
    """What an incomplete answer has is used, and marked; what it lacks is missing for a reason."""
    server.flags = remote(record("a", "v"), {**record("b"), "failed": True}, errorsWhileComputingFlags=True)
    phtrack = client()
    assert [phtrack.get_feature_flag(key, "u1") for key in ("a", "b", "c")] == ["v", None, None]
    assert [one["$feature_flag_error"] for one in phtrack.called()] == [
        "errors_while_computing_flags",
        "errors_while_computing_flags,evaluation_failed",
        "errors_while_computing_flags,flag_missing",
    ]


def test_debug_does_not_turn_faults_into_exceptions(server: FlagServer, client: MakeClient) -> None:
    """A server that is down is no mistake of the caller, not even with debug=True."""
    server.flags = Answer(status=500)
    assert client(debug=True).get_feature_flag("f", "u1") is None


# --- stale values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Answer(status=500), "api_error_500"),
        (Answer(raw=b"x"), "unknown_error"),
        (remote(quotaLimited=["feature_flags"]), "quota_limited"),
        (Answer({"flags": {"f": {"enabled": 5}}}), "unknown_error"),
    ],
)  # fmt: skip
def test_the_last_known_value_stands_in(server: FlagServer, client: MakeClient, fault: Answer, error: str) -> None:
    """With a fallback cache a failed read answers what the last good one did, payload included, and reports the failure."""
    server.flags = remote(record("f", "blue", payload="[1]"))
    phtrack = client(flag_fallback_cache_url="memory://local/?ttl=300&size=100")
    assert phtrack.get_feature_flag("f", "u1") == "blue"
    server.flags = fault
    assert phtrack.get_feature_flag("f", "u1", send_feature_flag_events=False) == "blue"
    result = phtrack.get_feature_flag_result("f", "u1")
    assert result is not None
    assert (result.variant, result.payload) == ("blue", [1])
    assert phtrack.get_feature_flag("f", "u2") is (False if error == "unknown_error" and fault.raw is None else None)
    assert phtrack.called()[-1]["$feature_flag_error"] == error


def test_good_answers_are_not_replaced_by_stale_ones(server: FlagServer, client: MakeClient) -> None:
    """The cache is no shortcut: while the server answers, its answer counts, also that a flag is gone or failed."""
    server.flags = remote(record("f", "blue"))
    phtrack = client(flag_fallback_cache_url="memory://local/")
    phtrack.get_feature_flag("f", "u1")
    server.flags = remote()
    assert phtrack.get_feature_flag("f", "u1") is None
    server.flags = remote({**record("f"), "failed": True})
    assert phtrack.get_feature_flag("f", "u1") is None
    server.flags = remote(record("f", False))
    assert phtrack.get_feature_flag("f", "u1") is False
    assert len(server.asked) == 4


def test_local_values_stand_in_too(server: FlagServer, client: MakeClient) -> None:
    """What was evaluated locally is remembered for when the definitions are gone and the server is down."""
    server.definitions = definitions(BLUE)
    phtrack = client(local=True, flag_fallback_cache_url="memory://local/")
    assert phtrack.get_feature_flag("blue", "u1") == "blue"
    server.definitions = Answer(status=402)
    server.flags = Answer(status=500)
    phtrack.load_feature_flags()
    assert phtrack.get_feature_flag("blue", "u1") == "blue"


def test_values_of_older_definitions_do_not_stand_in(server: FlagServer, client: MakeClient) -> None:
    """After the definitions changed, what was known under the old ones is no longer the truth."""
    server.definitions = definitions(STICKY, etag='"1"')
    server.flags = remote(record("sticky", "old"))
    phtrack = client(local=True, flag_fallback_cache_url="memory://local/")
    assert phtrack.get_feature_flag("sticky", "u1") == "old"
    server.flags = Answer(status=500)
    assert phtrack.get_feature_flag("sticky", "u1") == "old"
    server.definitions = definitions({**STICKY, "version": 2}, etag='"2"')
    phtrack.load_feature_flags()
    assert phtrack.get_feature_flag("sticky", "u1") is None


@pytest.mark.parametrize(
    "url", ["memory", "memcached://x", "memory://local/?size=0", "memory://local/?size=x", "redis"]
)
def test_a_bad_cache_url_is_said_and_ignored(client: MakeClient, caplog: pytest.LogCaptureFixture, url: str) -> None:
    """A typo in the URL costs the cache, not the program."""
    phtrack = client(flag_fallback_cache_url=url)
    assert phtrack.flags._stale is None
    assert any("flag_fallback_cache_url" in line for line in caplog.messages)


def test_stale_values_are_bounded_and_grow_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many, and none older than an hour."""
    from phtrack.flags import stale

    now = [1000.0]
    monkeypatch.setattr(stale, "time", lambda: now[0])
    cache = stale.MemoryStale(2)
    for user in ("a", "b", "c"):
        cache.put(user, "f", {"value": True, "payload": None}, None)
    assert [cache.get(user, "f", None) is not None for user in ("a", "b", "c")] == [False, True, True]
    now[0] += stale.MAX_AGE
    assert cache.get("c", "f", None) is not None
    now[0] += 1
    assert cache.get("c", "f", None) is None


# --- definitions -----------------------------------------------------------------------------------------------------


class Script:
    """A transport that answers from a list, and then as before."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.headers: list[dict[str, str]] = []

    def __call__(self, method: str, url: str, *, headers: Any, body: Any, timeout: float) -> Reply:
        self.headers.append(dict(headers))
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def reply(answer: Answer) -> Reply:
    """The reply that an answer of the server becomes."""
    import json

    return Reply(answer.status, json.dumps(answer.data).encode(), answer.headers)


GOOD = reply(definitions(BLUE, etag='"1"'))
UNCHANGED = Reply(304)


def made(*replies: Reply, **options: Any) -> tuple[Definitions, Script]:
    script = Script(*replies)
    options = {"secret_key": "s", "poll_interval": 10.0, **options}
    return Definitions(host="http://h", api_key="k", transport=script, **options), script


def keys(found: Definitions) -> list[str] | None:
    return None if found.current is None else list(found.current.flags)


@pytest.mark.parametrize(
    "fault",
    [Reply(500), Reply(429), Reply(403), Reply(404), Reply(failure="timeout"), Reply(failure="connection_error"), Reply(200, b"<html>"), Reply(200, b"[]"),
     Reply(200, b'{"flags": 5}'), Reply(200, b'{}'), Reply(200, b'{"flags": [], "cohorts": 5}'), Reply(302)],
)  # fmt: skip
def test_a_failed_load_keeps_what_is_there(fault: Reply) -> None:
    """Errors, redirects and nonsense leave the definitions, and the ETag, as they were."""
    found, script = made(GOOD, fault, UNCHANGED)
    for _ in range(3):
        found.step()
    assert keys(found) == ["blue"]
    assert [sent.get("If-None-Match") for sent in script.headers] == [None, '"1"', '"1"']


@pytest.mark.parametrize("status", [401, 402])
def test_a_refusal_throws_the_definitions_away(status: int) -> None:
    """Without the right or the quota there is no local evaluation, and the next load asks from scratch."""
    found, script = made(GOOD, Reply(status), GOOD)
    found.step()
    found.step()
    assert found.current is None
    found.step()
    assert keys(found) == ["blue"]
    assert script.headers[-1].get("If-None-Match") is None


def test_a_refused_key_is_an_error_in_debug(
    server: FlagServer, client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """`load_feature_flags` says it in the log, and with debug=True raises it."""
    server.definitions = Answer(status=401)
    client(local=True).load_feature_flags()
    assert any("secret key was refused" in line for line in caplog.messages)
    with pytest.raises(APIError) as caught:
        client(local=True, debug=True).load_feature_flags()
    assert caught.value.status == 401


def test_the_etag_travels(server: FlagServer, client: MakeClient) -> None:
    """The last ETag is sent along; a 304 keeps everything and may bring a new one."""
    server.definitions = definitions(BLUE, etag='"1"')
    phtrack = client(local=True)
    phtrack.load_feature_flags()
    server.definitions = Answer(status=304, headers={"ETag": '"2"'})
    phtrack.load_feature_flags()
    phtrack.load_feature_flags()
    assert [one.headers.get("if-none-match") for one in server.to("/flags/definitions")] == [None, '"1"', '"2"']
    assert phtrack.get_feature_flag("blue", "u1") == "blue"


def test_a_slow_old_answer_does_not_replace_a_new_one() -> None:
    """Of overlapping loads, the one that began last wins; a late 304 about older definitions counts for nothing."""
    found, script = made(GOOD)
    newer = reply(definitions(flag("new"), etag='"2"'))
    old_generation = 1
    found._generation = 1
    script.replies = [newer]
    found.step()
    assert keys(found) == ["new"]
    found._take_reply(GOOD, old_generation, None)
    assert keys(found) == ["new"]
    published = found.publications
    found._take_reply(Reply(304, headers={"ETag": '"9"'}), 5, '"1"')
    assert (found.publications, found._etag) == (published, '"2"')


def test_polling_backs_off_and_recovers() -> None:
    """Failures double the pause up to five minutes, a success ends that, Retry-After is honoured, and pauses are spread."""
    found, script = made(Reply(500))
    pauses = [found.step() for _ in range(12)]
    for pause, base in zip(pauses, [10, 20, 40, 80, 160, 300, 300, 300]):
        assert base * 0.9 <= pause <= base * 1.1
    assert len(set(pauses)) == len(pauses)
    script.replies = [GOOD]
    assert 9 <= found.step() <= 11
    script.replies = [Reply(429, headers={"Retry-After": "60"})]
    assert 54 <= found.step() <= 66
    script.replies = [Reply(429, headers={"Retry-After": "1000000"})]
    assert found.step() <= 330


def test_polling_brings_new_definitions(server: FlagServer, client: MakeClient) -> None:
    """The thread loads again and again on its own; readers see the new flags without waiting."""
    server.definitions = definitions(BLUE)
    phtrack = client(local=True, poll_interval=0.02)
    assert phtrack.get_feature_flag("blue", "u1") == "blue"
    server.definitions = definitions(flag("blue", active=False))
    server.wait_for("/flags/definitions", server.loads + 2)
    assert phtrack.get_feature_flag("blue", "u1") is False
    assert phtrack.poller.daemon


def test_a_hanging_server_delays_the_first_readers_once(server: FlagServer, client: MakeClient) -> None:
    """The first reads wait for the definitions as long as for a flag request, then go on without; later ones don't wait at all."""
    server.definitions = Answer(hold=threading.Event())
    server.flags = remote(record("f"))
    phtrack = client(local=True, feature_flags_request_timeout_seconds=0.2)
    began = time.monotonic()
    assert phtrack.get_feature_flag("f", "u1") is True
    assert time.monotonic() - began >= 0.2
    waited: list[float] = []
    phtrack.flags.definitions._first_done.wait = waited.append  # type: ignore[method-assign,assignment]
    assert phtrack.get_feature_flag("f", "u1") is True
    assert waited == [0.0]
    assert server.loads == 1


def test_polling_never_blocks_a_read(server: FlagServer, client: MakeClient) -> None:
    """While a poll hangs, reads go on with the definitions that are there."""
    server.definitions = definitions(BLUE)
    phtrack = client(local=True, poll_interval=0.02)
    phtrack.load_feature_flags()
    server.definitions = Answer(hold=threading.Event())
    server.wait_for("/flags/definitions", server.loads + 1)
    for n in range(100):
        assert phtrack.get_feature_flag("blue", f"u{n}") == "blue"
    assert server.asked == []


def test_shutdown_stops_the_polling(server: FlagServer, client: MakeClient) -> None:
    """The thread ends with the client, and doesn't hold its end up, hanging request or not."""
    server.definitions = definitions(BLUE)
    phtrack = client(local=True, poll_interval=0.02)
    phtrack.load_feature_flags()
    phtrack.get_feature_flag("blue", "u1")
    thread = phtrack.poller
    server.wait_for("/flags/definitions", 2)
    server.definitions = Answer(hold=threading.Event())
    server.wait_for("/flags/definitions", server.loads + 1)
    phtrack.shutdown()
    server.over.set()
    thread.join(10)
    assert not thread.is_alive()
    assert phtrack.get_feature_flag("blue", "u1") is None


def test_a_forgotten_client_is_not_kept_alive_by_its_thread() -> None:
    """Letting go of a client without shutdown ends its polling."""
    found, _ = made(GOOD, poll_interval=3600.0)
    found.ensure()
    thread, gone = found.poller, weakref.ref(found)
    del found
    gc.collect()
    assert gone() is None
    assert thread is not None
    thread.join(10)
    assert not thread.is_alive()


def test_without_threads_the_caller_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the interpreter starts no more threads, definitions are loaded where they are needed, once."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    found, script = made(GOOD)
    for _ in range(3):
        found.ensure()
    assert keys(found) == ["blue"]
    assert len(script.headers) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs Linux: os.fork")
def test_a_forked_child_keeps_the_definitions_and_polls_itself(server: FlagServer, client: MakeClient) -> None:
    """After a fork the child reads at once, asks over its own connection, and polls with its own thread."""
    server.definitions = definitions(BLUE, STICKY)
    server.flags = remote(record("sticky", "s"))
    phtrack = client(local=True, poll_interval=0.05)
    assert phtrack.get_feature_flag("blue", "u1") == "blue"
    assert phtrack.get_feature_flag("sticky", "u1") == "s"
    phtrack.flags.definitions._lock.acquire()  # as if the parent were just loading
    child = os.fork()
    if child == 0:
        try:
            before = server.loads
            good = phtrack.get_feature_flag("blue", "u2") == "blue"
            good = good and phtrack.get_feature_flag("sticky", "u2") == "s"
            good = good and phtrack.poller is not None and phtrack.poller.is_alive()
            os._exit(0 if good and before >= 0 else 1)
        finally:
            os._exit(2)
    phtrack.flags.definitions._lock.release()
    loads = server.loads
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    server.wait_for("/flags/definitions", loads + 1)


# --- the transport ---------------------------------------------------------------------------------------------------


def test_flag_requests_never_follow_a_redirect(server: FlagServer) -> None:
    """A key goes to the host it was made for."""
    server.other = Answer(status=307, headers={"Location": "http://127.0.0.1:1/"})
    transport = HttpTransport()
    answer = transport("GET", f"{server.url}/x", headers={}, body=None, timeout=5)
    transport.close()
    assert answer.status == 307


def test_a_netrc_file_adds_no_credentials(server: FlagServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`requests` would send a password found in ~/.netrc; flag requests have no Authorization but ours."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    transport = HttpTransport()
    transport("GET", f"{server.url}/x", headers={}, body=None, timeout=5)
    transport("GET", f"{server.url}/x", headers={"Authorization": "Bearer mine"}, body=None, timeout=5)
    transport.close()
    assert [one.headers.get("authorization") for one in server.requests] == [None, "Bearer mine"]


def test_connections_are_kept(server: FlagServer) -> None:
    """A hundred requests, one connection: no handshake per read."""
    transport = HttpTransport()
    for _ in range(100):
        assert transport("POST", f"{server.url}/flags/", headers={}, body=b"{}", timeout=5).status == 200
    transport.close()
    assert server.connections == 1


def test_connections_are_not_reused_when_told_so(server: FlagServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the server keeps its end open."""
    server.keeps_its_end = True
    monkeypatch.setattr(http, "_reuse", True)
    monkeypatch.setattr(http, "generation", http.generation)
    transport = HttpTransport()
    transport("POST", f"{server.url}/flags/", headers={}, body=b"{}", timeout=5)
    http.disable_connection_reuse()
    for _ in range(3):
        assert transport("POST", f"{server.url}/flags/", headers={}, body=b"{}", timeout=5).status == 200
    transport.close()
    assert server.connections == 4
    assert [one.headers.get("connection") for one in server.requests] == [None, "close", "close", "close"]


def test_importing_flags_loads_no_library() -> None:
    """Neither requests nor redis nor asyncio nor ssl before something needs them."""
    import subprocess
    import sys

    code = "import sys, phtrack.flags, phtrack.flag_calls; print([m for m in ('requests', 'redis', 'asyncio', 'ssl', 'urllib3') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
