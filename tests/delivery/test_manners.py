"""Manners in the network and towards the rest of the process: hosts, proxies, certificates, sockets, and silence about ourselves."""

from __future__ import annotations

import logging
import os
import select
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

import phtrack
from phtrack import auto, http
from phtrack.delivery import Delivery
from phtrack.options import DeliveryOptions
from phtrack.seams import Envelope
from phtrack.tally import Tally
from tests.delivery.server import Answer, Server

KEY = "phc_the_key_that_stays_at_home"


class Proxy:
    """A proxy: passes requests with a whole address on, tunnels CONNECT, and remembers the request lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                data = client.recv(65536)
                if not data:
                    return
                head += data
            line, _, rest = head.partition(b"\r\n")
            self.lines.append(line.decode())
            method, target, version = line.split(b" ")
            tunnel = method == b"CONNECT"
            where, slash, path = target.removeprefix(b"http://").partition(b"/")
            host, _, port = where.decode().partition(":")
            with socket.create_connection((host, int(port or 80))) as server:
                if tunnel:
                    client.sendall(b"HTTP/1.1 200 Tunnel\r\n\r\n")
                else:
                    server.sendall(b" ".join([method, slash + path, version]) + b"\r\n" + rest)
                while True:
                    for one in select.select([client, server], [], [])[0]:
                        data = one.recv(65536)
                        if not data:
                            return
                        (server if one is client else client).sendall(data)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No proxy or bundle of this machine, and the settings of sockets as they were."""
    for name in (*os.environ,):
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(http, "_reuse", True)
    yield
    http.set_socket_options(None)


@pytest.fixture
def make() -> Iterator[Callable[..., Delivery]]:
    """Deliveries that are closed at the end; a failure is not tried again unless asked for."""
    made: list[Delivery] = []

    def make(url: str, **options: Any) -> Delivery:
        delivery = Delivery(
            DeliveryOptions(**{"max_retries": 0, "timeout": 5.0, **options}), api_key=KEY, host=url, tally=Tally()
        )
        made.append(delivery)
        return delivery

    yield make
    for delivery in made:
        delivery.close(1.0)


_number = iter(range(10**9))


def send(delivery: Delivery, count: int = 1) -> dict[str, int]:
    """Put *count* events, flush, and read the counters."""
    for _ in range(count):
        uuid = f"00000000-0000-7000-8000-{next(_number):012d}"
        assert delivery.put(Envelope(uuid, "e", b'{"event":"e","uuid":"%s","properties":{}}' % uuid.encode()))
    assert delivery.flush(30)
    return delivery._tally.read()


def sockets_to(server: Server) -> list[socket.socket]:
    """This process's ends of the connections to *server*, as duplicates."""
    found = []
    for name in os.listdir("/dev/fd"):
        try:
            one = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        try:
            if one.getpeername()[1] == int(server.url.rpartition(":")[2]):
                found.append(one)
                continue
        except (OSError, IndexError):
            pass
        one.close()
    return found


def option_of(server: Server, level: int, name: int) -> int:
    """A socket option of the only connection to *server*."""
    ours = sockets_to(server)
    try:
        assert len(ours) == 1
        return ours[0].getsockopt(level, name)
    finally:
        for one in ours:
            one.close()


# --- hosts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("mode", ["v0", "v1"])
def test_a_redirect_to_another_host_gets_nothing(status: int, mode: str, make: Callable[..., Delivery]) -> None:
    """Neither a connection nor the key; the events are lost, counted with the status, and the error names the place."""
    with Server() as other, Server(always=Answer(status, {"Location": f"{other.url}/batch/"})) as server:
        errors: list[Any] = []
        delivery = make(server.url, capture_mode=mode, on_error=lambda error, batch: errors.append(error))
        assert send(delivery)[f"dropped:http_{status}.events"] == 1
        assert len(server.requests) == 1 and other.connections == 0
        assert other.url in str(errors[0]) and KEY not in str(errors[0])


def test_sessions_follow_redirects_at_home_only() -> None:
    """What else phtrack asks for (flags) goes through sessions that take a key to no other host or port."""
    with Server() as other, Server(Answer(307, {"Location": "/there"}), 200) as server:
        session = http.new_session()
        headers = {"Authorization": f"Bearer {KEY}"}
        assert session.post(server.url + "/here", data=b"body", headers=headers).status_code == 200
        assert [request.path for request in server.requests] == ["/here", "/there"]
        for target in (other.url, other.url.removeprefix("http:"), "https:elsewhere"):
            server.script.append(Answer(307, {"Location": target}))
            assert session.post(server.url, data=KEY.encode(), headers=headers).status_code == 307
        assert other.connections == 0
        session.close()


# --- proxies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["option", "environment"])
def test_events_go_through_a_proxy(how: str, make: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch) -> None:
    """`proxies=` and HTTP_PROXY, as requests takes them; the connection to the proxy is kept."""
    with Server() as server, Proxy() as proxy:
        options = {}
        if how == "option":
            options["proxies"] = {"http": proxy.url}
        else:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert send(make(server.url, **options), 3)["delivered.events"] == 3
        assert proxy.lines == [f"POST {server.url}/batch/ HTTP/1.1"]


def test_the_option_wins_over_the_environment(
    make: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Explicit is explicit: HTTP_PROXY and REQUESTS_CA_BUNDLE don't displace `proxies=` and `verify=`."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Server() as server, Proxy() as proxy:
        assert send(make(server.url, proxies={"http": proxy.url}))["delivered.events"] == 1
        session = http.new_session(proxies={"http": proxy.url})
        assert session.get(server.url).status_code == 200
        session.close()
        assert len(proxy.lines) == 2
    monkeypatch.delenv("HTTP_PROXY")
    authority, wrong = trustme.CA(), trustme.CA()
    wrong.cert_pem.write_to_path(tmp_path / "wrong.pem")
    authority.cert_pem.write_to_path(tmp_path / "right.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "wrong.pem"))
    with Server(tls=_tls(authority)) as server:
        assert send(make(server.url, verify=str(tmp_path / "right.pem")))["delivered.events"] == 1


def test_no_proxy_is_heeded(make: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch) -> None:
    """A host in NO_PROXY is asked directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        assert send(make(server.url))["delivered.events"] == 1


def test_https_goes_through_a_tunnel(
    make: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The proxy sees a CONNECT and nothing else; the certificate is the server's."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with Server(tls=_tls(authority)) as server, Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert send(make(server.url, verify=str(tmp_path / "ca.pem")))["delivered.events"] == 1
        assert [line.split()[:2] for line in proxy.lines] == [["CONNECT", server.url.removeprefix("https://")]]


# --- certificates ---------------------------------------------------------------------------------------------------


def _tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("how", ["option", "environment", "off"])
def test_a_certificate_of_the_companys_own(
    how: str, make: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Trusted by `verify=path` or REQUESTS_CA_BUNDLE, or not looked at with `verify=False`; refused without."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with Server(tls=_tls(authority)) as server:
        stranger = make(server.url)
        assert send(stranger)["dropped:retries_exhausted.events"] == 1
        assert "certificate verify failed" in stranger.stats()["last_error"].lower()
        assert server.requests == []
        options: dict[str, Any] = {}
        if how == "environment":
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        else:
            options["verify"] = str(tmp_path / "ca.pem") if how == "option" else False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # urllib3 warns of verify=False, rightly
            assert send(make(server.url, **options))["delivered.events"] == 1


# --- sockets --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_waits")
def test_many_batches_travel_over_one_connection(make: Callable[..., Delivery]) -> None:
    """Kept alive, also after refusals and retries."""
    with Server(200, 400, 503, 413, 429) as server:
        delivery = make(server.url, max_retries=2)
        for _ in range(20):
            send(delivery)
        assert len(server.requests) >= 20
        assert server.connections == 1


def test_connections_are_not_reused_when_told_so(make: Callable[..., Delivery]) -> None:
    """`disable_connection_reuse` holds also for a client that has a connection already, and if the server keeps its end open."""
    with Server(closes=False) as server:
        delivery = make(server.url)
        send(delivery)
        phtrack.disable_connection_reuse()
        for _ in range(3):
            send(delivery)
        assert server.connections == 4
        assert len(server.count()) == 4
        assert [request.headers.get("connection") for request in server.requests] == [None, "close", "close", "close"]


@pytest.mark.parametrize("way", ["direct", "proxy"])
def test_socket_options_reach_the_socket(way: str, make: Callable[..., Delivery]) -> None:
    """`enable_keep_alive` and `set_socket_options` change the sockets of the next connections, to a proxy as well."""
    keep_alive = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    with Server() as server, Proxy() as proxy:
        near: Any = server if way == "direct" else proxy
        options = {} if way == "direct" else {"proxies": {"http": proxy.url}}
        delivery = make(server.url, **options)
        send(delivery)
        assert option_of(near, *keep_alive) == 0
        delivery.close()

        phtrack.enable_keep_alive()
        delivery = make(server.url, **options)
        send(delivery)
        assert option_of(near, *keep_alive) != 0
        assert option_of(near, socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert option_of(near, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        delivery.close()

        phtrack.set_socket_options([(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)])
        delivery = make(server.url, **options)
        send(delivery)
        assert option_of(near, socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0


@pytest.mark.parametrize("wrong", [[(1, 2)], ["abc"], [(1, 2, "3")]])
def test_a_wrong_socket_option_is_refused_at_once(wrong: Any) -> None:
    """The message shows the value."""
    with pytest.raises(TypeError, match=r"level, name, value"):
        phtrack.set_socket_options(wrong)


# --- silence about ourselves ----------------------------------------------------------------------------------------


class Heard(logging.Handler):
    """Remembers which loggers spoke."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.names.append(record.name)


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger at DEBUG, put back afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.setLevel(logging.DEBUG)
    yield root
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("sync_mode", [False, True])
def test_our_own_requests_and_logs_never_become_events_or_steps(sync_mode: bool, root: logging.Logger) -> None:
    """A thousand events against a faulty server, everything observed that can be: the server gets them and nothing else."""
    many = 50 if sync_mode else 1000
    heard = Heard()
    with Server(200, 503, "reset", 429) as server:
        client = phtrack.Posthog(
            KEY,
            host=server.url,
            enable_exception_autocapture=True,
            sync_mode=sync_mode,
            max_retries=4,
            flush_interval=0.1,
            max_queue_size=5000,
        )
        auto.enable(["requests", "urllib"])
        root.addHandler(heard)
        root.addHandler(phtrack.PosthogLoggingHandler(level="DEBUG", client=client))
        try:
            with phtrack.new_context():
                for n in range(many):
                    assert client.capture("ordinary", distinct_id=str(n))
                client.get_feature_flag("no-such-flag", "someone")
                assert client.flush(60)
                # The same means do see what the application does: its request is a step.
                requests.get(server.url + "/application", timeout=10)
                try:
                    raise ValueError("the end")
                except ValueError as error:
                    client.capture_exception(error)
            assert client.flush(60)
        finally:
            client.shutdown()
            auto.disable()
        batches = [event for request in server.requests if "batch" in request.path for event in request.events]
        accepted = [event for event in batches if event["event"] not in ("ordinary", "$feature_flag_called")]
        crashes = {event["properties"]["$exception_list"][0]["value"]: event for event in accepted}
        # urllib3 logs at DEBUG what the application's own request does, which the handler is there to capture.
        assert [text for text in crashes if "/batch/" in text or "/flags" in text or "Retry(" in text] == []
        assert [text for text in crashes if "/application" in text] != []
        last = crashes["the end"]
        steps = str(last["properties"].get("$exception_steps", ""))
        assert "/application" in steps
        assert "/batch/" not in steps and "/flags" not in steps and "phtrack" not in steps
        arrived = {event["uuid"] for event in batches if event["event"] == "ordinary"}
        assert len(arrived) == many
    assert "urllib3.connectionpool" in heard.names  # there was something to hear
