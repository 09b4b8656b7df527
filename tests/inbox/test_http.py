"""The endpoints over real HTTP: what SDKs send, what they are answered, and who is not answered."""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from phtrack.inbox import serve_in_thread
from phtrack.inbox.incoming import MAX_BODY
from tests.inbox import events as make
from tests.inbox.conftest import Http


@pytest.mark.parametrize("path", ["/batch/", "/batch", "/capture/", "/e/", "/i/v0/e/", "/i/v0/e", "/i/v0/ai/batch/"])
def test_all_addresses_of_protocol_v0_take_events(http: Http, path: str) -> None:
    """Old and new SDKs find the address they know, with batches and single events, with and without a slash."""
    for body in ({"api_key": "k", "batch": [make.exception()]}, {"api_key": "k", **make.exception()}):
        answer = http.post(path, json=body)
        assert (answer.status_code, answer.json()) == (200, {"status": 1})
    assert http.inbox.issues()[0]["count"] == 2


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), (None, gzip.compress)]
)
def test_compressed_bodies_are_read(http: Http, encoding: str | None, pack: Any) -> None:
    """As SDKs send them, and gzip also without its header."""
    headers = {"Content-Type": "application/json", **({"Content-Encoding": encoding} if encoding else {})}
    body = pack(json.dumps({"batch": [make.exception()]}).encode())
    assert http.post("/batch/", data=body, headers=headers).status_code == 200
    assert len(http.inbox.issues()) == 1


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"", 400), (b"[[[", 400), (b"7", 400), (b"{}", 400)])
def test_what_is_no_batch_is_the_senders_mistake(http: Http, body: bytes, status: int) -> None:
    """The answer is 400 with a reason, which no SDK retries."""
    for path in ("/batch/", "/i/v1/analytics/events"):
        answer = http.post(path, data=body)
        assert answer.status_code == status and answer.json()["error"] and answer.json()["detail"]


def test_too_large_bodies_are_refused(http: Http) -> None:
    """413 makes an SDK split its batch; it comes for plain and for compressed bodies."""
    huge = b'{"batch": ["' + b"x" * MAX_BODY + b'"]}'
    assert http.post("/batch/", data=huge).status_code == 413
    assert http.post("/batch/", data=gzip.compress(huge), headers={"Content-Encoding": "gzip"}).status_code == 413
    assert http.inbox.issues() == []


def test_an_event_is_stored_once(http: Http) -> None:
    """At-least-once delivery becomes exactly-once in the inbox, across protocols."""
    event = make.exception()
    for _ in range(3):
        http.send(event)
    http.post("/i/v1/analytics/events", json={"batch": [event]})
    assert [issue["count"] for issue in http.inbox.issues()] == [1]


def test_protocol_v1_answers_for_each_event(http: Http) -> None:
    """Results stand under the sender's uuids, doubtful events with a warning; the request id comes back."""
    good, odd = make.exception(), {**make.ordinary(), "distinct_id": ""}
    headers = {
        "Authorization": "Bearer phc_any", "PostHog-Sdk-Info": "phtrack/9.9", "PostHog-Attempt": "1",
        "PostHog-Request-Id": "r-1", "PostHog-Request-Timestamp": "2025-01-01T00:00:00Z",
    }  # fmt: skip
    good["uuid"] = good["uuid"].upper()
    for path in ("/i/v1/analytics/events", "/i/v1/analytics/events/", "/i/v1/ai/events"):
        answer = http.post(path, json={"created_at": "2025-01-01T00:00:00Z", "batch": [good, odd]}, headers=headers)
        assert answer.status_code == 200 and answer.headers["PostHog-Request-Id"] == "r-1"
        assert answer.json() == {
            "results": {
                good["uuid"]: {"result": "ok"},
                odd["uuid"]: {"result": "warning", "details": "missing_distinct_id"},
            }
        }
    (issue,) = http.inbox.issues()
    event = http.get(f"/issues/{issue['id']}.json").json()["event"]
    assert event["body"]["properties"]["$lib_version"] == "9.9" and issue["count"] == 1


def test_without_a_file_there_are_no_flags(http: Http) -> None:
    """SDKs that ask for flags get the shapes they expect, empty."""
    answer = http.post("/flags/?v=2", json={"api_key": "k", "distinct_id": "u1"}).json()
    assert (answer["flags"], answer["errorsWhileComputingFlags"], answer["quotaLimited"]) == ({}, False, [])
    assert isinstance(answer["requestId"], str) and isinstance(answer["evaluatedAt"], int)
    for path in ("/flags/definitions?token=k&send_cohorts", "/api/feature_flag/local_evaluation/?token=k"):
        assert http.get(path).json() == {"flags": [], "group_type_mapping": {}, "cohorts": {}}
    assert http.post("/flags/", data=b"{").status_code == 400


def test_foreign_hosts_are_refused(http: Http) -> None:
    """A website that points its own name at this machine (DNS rebinding) reads and sends nothing."""
    port = http.inbox.url.rsplit(":", 1)[1]
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[",
        "a b.c",
    ):
        assert http.get("/issues.json", headers={"Host": host}).status_code == 403, host
        assert http.post("/batch/", json=[make.exception()], headers={"Host": host}).status_code == 403, host
    for host in (
        "localhost",
        f"LOCALHOST:{port}",
        "shop.localhost",
        "[::1]:80",
        "192.168.1.7",
        "inbox:8970",
        "host.docker.internal",
    ):
        assert http.get("/issues.json", headers={"Host": host}).status_code == 200, host
    assert http.inbox.issues() == []


def test_foreign_sites_are_refused(http: Http) -> None:
    """A page of another site in the developer's browser can't fill the inbox; one served from this machine may."""
    for origin, status in (
        ("https://evil.example", 403),
        ("null", 403),
        ("http://[", 403),
        ("http://localhost:3000", 200),
    ):
        answer = http.post("/batch/", json={"batch": []}, headers={"Origin": origin})
        assert answer.status_code == status, origin


@pytest.mark.parametrize("path", ["/issues", "/events", "/issues.json", "/nothing", "/static/inbox.js", "/about.json"])
def test_every_answer_forbids_what_a_page_does_not_need(http: Http, path: str) -> None:
    """Should escaping ever fail, the browser still loads and runs nothing but our two files."""
    headers = http.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "http" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"


def test_what_does_not_exist_is_said_in_the_form_that_was_asked_for(http: Http) -> None:
    """A page for people, JSON for programs, and the right status for both."""
    for path in ("/nothing", "/issues/77", "/events/77", "/issues/1/events/5"):
        assert http.get(path).status_code == 404 and "<h1>404</h1>" in http.get(path).text
        assert http.get(path + ".json").status_code == 404 and http.get(path + ".json").json()["error"]
    assert http.get("/batch/").status_code == 405
    assert http.post("/issues").status_code == 405
    assert http.get("/issues/99999999999999999999999").status_code == 404


def test_a_sender_that_hangs_up_leaves_no_trace(http: Http) -> None:
    """A connection that ends within the body stores nothing, and the next request is answered."""
    host, port = http.inbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b'POST /batch/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"batch": [')
    http.send(make.exception())
    assert len(http.inbox.issues()) == 1


def test_many_senders_at_once(http: Http) -> None:
    """Eight connections with batches of a hundred: everything is counted."""

    def send(_: int) -> None:
        sender = Http(http.inbox)
        sender.send(*(make.exception(**{"$exception_fingerprint": str(n % 5)}) for n in range(100)))
        sender.session.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(16)))
    assert [issue["count"] for issue in http.inbox.issues()] == [320] * 5


def test_it_runs_beside_others_and_stops_cleanly() -> None:
    """Two inboxes in one process keep apart; after the block nothing listens."""
    with serve_in_thread() as one, serve_in_thread() as other:
        http = Http(one)
        http.send(make.exception())
        http.session.close()
        assert len(one.issues()) == 1 and other.issues() == []
    host, port = one.url.removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)
    one.stop()


def test_it_starts_from_any_thread(tmp_path: Any) -> None:
    """A demo or a test runner may start it where it likes; the file survives it."""

    def run() -> int:
        with serve_in_thread(db=tmp_path / "inbox.db") as inbox:
            http = Http(inbox)
            http.send(make.exception())
            http.session.close()
            return len(inbox.issues())

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(run).result(timeout=60) == 1
    with serve_in_thread(db=tmp_path / "inbox.db") as inbox:
        assert len(inbox.issues()) == 1


def test_a_store_that_fails_is_said_and_retried() -> None:
    """When the file can't be read or written, SDKs get a 503, which they retry, and people a page that says so."""
    with serve_in_thread() as inbox:
        http = Http(inbox)
        inbox.store.close()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("phtrack._guard.STRICT", False)
            answer = http.post("/batch/", json=[make.exception()])
        assert (answer.status_code, answer.json()["error"]) == (503, "overloaded")
        page = http.get("/issues")
        assert page.status_code == 503 and "read its file" in page.text
        assert http.get("/issues.json").status_code == 503
        http.session.close()


def test_it_listens_on_ipv6() -> None:
    """The address is written as a URL wants it."""
    try:
        inbox = serve_in_thread(host="::1")
    except OSError:
        pytest.skip("needs Linux with IPv6 on loopback")
    with inbox:
        assert inbox.url.startswith("http://[::1]:")
        http = Http(inbox)
        http.send(make.exception())
        http.session.close()
        assert len(inbox.issues()) == 1


def test_an_address_in_use_raises() -> None:
    """The caller learns at once, and nothing is left running or open."""
    with serve_in_thread() as inbox:
        port = int(inbox.url.rsplit(":", 1)[1])
        with pytest.raises(OSError):
            serve_in_thread(port=port)
