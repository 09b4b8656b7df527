"""
A server on loopback that misbehaves on command: raw sockets, one thread per connection, a script of answers.

    with Server(503, "reset", Answer(429, {"Retry-After": "1"})) as server: ...    then 200 for ever

A step of the script is a status, an `Answer`, or the name of a fault; each request takes one.
"""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import threading
import time
import zlib
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

FAULTS = ("blackhole", "reset", "reset_mid_answer", "garbage", "hang_up", "drip")


@dataclass
class Answer:
    """One HTTP answer."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    delay: float = 0.0
    """Seconds before it is given."""


@dataclass
class Request:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    raw: bytes
    at: float
    """Monotonic seconds."""
    step: Any
    """What it was answered with."""

    @property
    def body(self) -> Any:
        """The decoded JSON."""
        encoding = self.headers.get("content-encoding")
        data = self.raw
        if encoding == "gzip":
            data = gzip.decompress(data)
        elif encoding == "deflate":
            data = zlib.decompress(data)
        elif encoding == "zstd":
            import zstandard

            data = zstandard.ZstdDecompressor().decompress(data, max_output_size=50_000_000)
        elif encoding == "br":
            import brotli

            data = brotli.decompress(data)
        return json.loads(data)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events it carried."""
        batch: list[dict[str, Any]] = self.body["batch"]
        return batch


class Server:
    """Listens on 127.0.0.1; see the module."""

    def __init__(
        self,
        *script: Any,
        always: Any = 200,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        closes: bool = True,
    ) -> None:
        self.script: deque[Any] = deque(script)
        self.always = always
        """The answer when the script is used up; may be a function of the `Request`."""
        self.requests: list[Request] = []
        self.connections = 0
        self._port = port
        self._tls = tls
        self._closes = closes
        """Whether it does so when a request says ``Connection: close``."""
        self._news = threading.Condition()
        self._released = threading.Event()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None

    # --- life ---

    def __enter__(self) -> Server:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self._released.set()
        for connection in list(self._open):
            _close(connection)

    def listen(self) -> None:
        """Accept connections (again), on the same port."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        listener.listen(100)
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def refuse(self) -> None:
        """Stop listening: connections are refused, those that are open are cut."""
        listener, self._listener = self._listener, None
        if listener is not None:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
        for connection in list(self._open):
            _close(connection)

    @property
    def url(self) -> str:
        """The address to use as host."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    # --- what arrived ---

    @property
    def accepted(self) -> list[dict[str, Any]]:
        """Events of requests that were answered with success."""
        return [event for request in list(self.requests) if _is_success(request.step) for event in request.events]

    def count(self) -> Counter[str]:
        """uuid -> how often it was accepted."""
        return Counter(event["uuid"] for event in self.accepted)

    def wait(self, requests: int = 0, events: int = 0, timeout: float = 20.0) -> None:
        """Until at least so many *requests* came and *events* were accepted."""
        end = time.monotonic() + timeout
        with self._news:
            while len(self.requests) < requests or (events and len(self.accepted) < events):
                left = end - time.monotonic()
                assert left > 0, f"only {len(self.requests)} requests, {len(self.accepted)} events after {timeout} s"
                self._news.wait(left)

    # --- serving ---

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        buffer = b""
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.add(connection)
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = connection.recv(65536)
                    if not data:
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
                }
                length = int(headers.get("content-length", 0))
                pieces, have = [buffer], len(buffer)
                while have < length:
                    data = connection.recv(1 << 20)
                    if not data:
                        return
                    pieces.append(data)
                    have += len(data)
                data = b"".join(pieces)
                body, buffer = data[:length], data[length:]
                request = Request(lines[0].split(" ")[1], headers, body, time.monotonic(), None)
                if not self._answer(connection, request):
                    return
        except OSError:
            pass
        finally:
            self._open.discard(connection)
            _close(connection)

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        """Do what the script says; False ends the connection."""
        with self._news:
            step = self.script.popleft() if self.script else self.always
        if callable(step):
            step = step(request)
        request.step = step
        with self._news:
            self.requests.append(request)
            self._news.notify_all()
        if step == "blackhole":
            self._released.wait(60)
            return False
        if step == "hang_up":
            return False
        if step == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if step == "reset_mid_answer":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if step == "garbage":
            connection.sendall(b"\x00\xff this is no HTTP \r\n\r\n" * 5)
            return False
        if step == "drip":
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}":
                connection.sendall(bytes([byte]))
                if self._released.wait(0.02):
                    return False
            return True
        answer = Answer(step) if isinstance(step, int) else step
        if answer.delay and self._released.wait(answer.delay):
            return False
        body = b"" if answer.status == 204 else answer.body
        lines = [f"HTTP/1.1 {answer.status} Scripted", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return not self._closes or request.headers.get("connection", "").lower() != "close"


def _is_success(step: Any) -> bool:
    status = step if isinstance(step, int) else getattr(step, "status", 0)
    return 200 <= status < 300 or step == "drip"


def _close(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()
