"""A server on loopback that takes what a client sends and keeps it: for tests that only ask what arrived."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Sink:
    """
    ``with Sink() as sink: ...; sink.wait(1)``. Answers every POST with 200.

    `events` holds all events in the order of arrival, `requests` each request's path, headers and decoded body.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self._arrived = threading.Condition()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                sink._take(self.path, dict(self.headers), json.loads(body))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Sink:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, path: str, headers: dict[str, str], body: Any) -> None:
        with self._arrived:
            self.requests.append((path, headers, body))
            self.events += body.get("batch", [body]) if isinstance(body, dict) else body
            self._arrived.notify_all()

    def wait(self, count: int, seconds: float = 20.0) -> list[dict[str, Any]]:
        """All events, once there are *count* of them; fails when they don't arrive in time."""
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self.events) >= count, seconds)
            assert arrived, f"{len(self.events)} of {count} events arrived: {[one.get('event') for one in self.events]}"
            return list(self.events)

    def exceptions(self) -> list[dict[str, Any]]:
        """The properties of all `$exception` events so far."""
        with self._arrived:
            return [one["properties"] for one in self.events if one["event"] == "$exception"]
