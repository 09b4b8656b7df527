"""A real HTTP server for flags that answers, misbehaves and remembers as it is told."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Answer:
    """What to do with a request."""

    data: Any = None
    """Sent as JSON, unless `raw` is given."""
    status: int = 200
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None
    """Answer when it is set; at the end of the test at the latest."""
    drip: bool = False
    """Send the body byte by byte, for as long as anybody listens."""
    hang_up: bool = False
    """Close the connection without an answer."""


@dataclass
class Request:
    """What came in."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


Script = Callable[[Request], Answer]


class FlagServer:
    """Answers `/flags/` from `flags`, `/flags/definitions` from `definitions`, anything else from `other`."""

    def __init__(self) -> None:
        self.flags: Answer | Script = Answer({"flags": {}})
        self.definitions: Answer | Script = Answer({"flags": [], "group_type_mapping": {}, "cohorts": {}})
        self.other: Answer | Script = Answer(status=200, data={})
        self.requests: list[Request] = []
        self.connections = 0
        self.keeps_its_end = False
        self.arrived = threading.Condition()
        self.over = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            wbufsize = -1  # head and body in one packet

            def setup(self) -> None:
                super().setup()
                server.connections += 1

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                server._serve(self)
                if server.keeps_its_end:
                    self.close_connection = False

            do_POST = do_GET

        class Http(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: Any) -> None:
                """A client that hangs up is part of the tests."""

        self._http = Http(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and let go of held answers."""
        self.over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def to(self, path: str) -> list[Request]:
        """Requests to *path* so far."""
        with self.arrived:
            return [one for one in self.requests if one.path == path]

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Bodies of the requests for remote evaluation."""
        return [one.body for one in self.to("/flags/")]

    @property
    def loads(self) -> int:
        """Requests for definitions."""
        return len(self.to("/flags/definitions"))

    def wait_for(self, path: str, count: int, timeout: float = 20.0) -> None:
        """Until *count* requests to *path* have arrived."""
        with self.arrived:
            done = self.arrived.wait_for(lambda: sum(one.path == path for one in self.requests) >= count, timeout)
        assert done, f"{count} requests to {path} were expected, got {[one.path for one in self.requests]}"

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = Request(
            handler.command,
            parts.path,
            parse_qs(parts.query, keep_blank_values=True),
            {name.lower(): value for name, value in handler.headers.items()},
            json.loads(body) if body else None,
        )
        script = {"/flags/": self.flags, "/flags/definitions": self.definitions}.get(parts.path, self.other)
        with self.arrived:
            self.requests.append(request)
            self.arrived.notify_all()
        answer = script if isinstance(script, Answer) else script(request)
        if answer.hold is not None:
            while not answer.hold.wait(0.01) and not self.over.is_set():
                pass
        if answer.hang_up:
            handler.close_connection = True
            return
        content = json.dumps(answer.data).encode() if answer.raw is None else answer.raw
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(10**6 if answer.drip else len(content)))
        handler.end_headers()
        if answer.status == 304:
            return
        if not answer.drip:
            handler.wfile.write(content)
        while answer.drip and not self.over.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()


def record(key: str, value: Any = True, **metadata: Any) -> dict[str, Any]:
    """A v2 record of a flag."""
    return {
        "key": key,
        "enabled": value is not False,
        "variant": value if isinstance(value, str) else None,
        "reason": {"code": "condition_match", "condition_index": 0, "description": "Matched condition set 1"},
        "metadata": {"id": 12, "version": 9, "description": "", "payload": None, **metadata},
    }


def remote(*records: dict[str, Any], **more: Any) -> Answer:
    """The answer with these records."""
    return Answer(
        {
            "flags": {one["key"]: one for one in records},
            "errorsWhileComputingFlags": False,
            "requestId": "req-1",
            "evaluatedAt": 1700000000123,
            **more,
        }
    )


def definitions(*flags: Any, etag: str | None = None, **more: Any) -> Answer:
    """The answer with these definitions."""
    data = {"flags": list(flags), "group_type_mapping": {"0": "company", "1": "team"}, "cohorts": {}, **more}
    return Answer(data, headers={"ETag": etag} if etag else {})
