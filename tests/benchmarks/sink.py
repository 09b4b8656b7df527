"""
A server that takes whatever an SDK sends, says yes, and counts: ``python -m tests.benchmarks.sink`` prints its port.

It runs in a process of its own, so that its work is not counted as theirs, and does as little as it can. `GET /count`
answers how many events have come in and how many bytes they took on the wire.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import subprocess
import sys
import urllib.request
import zlib
from pathlib import Path
from typing import Any


class Sink:
    """``with Sink() as url: ...`` starts the process and ends it."""

    def __enter__(self) -> str:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.sink"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        port = self._process.stdout.readline().strip()  # type: ignore[union-attr]
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def count(url: str) -> dict[str, int]:
    """`events`, `bytes` (on the wire) and `requests` so far."""
    with urllib.request.urlopen(f"{url}/count", timeout=30) as answer:
        counts: dict[str, int] = json.load(answer)
    return counts


class _Taker(asyncio.Protocol):
    """One connection. Only what SDKs send: HTTP/1.1 with a Content-Length."""

    counts = {"events": 0, "bytes": 0, "requests": 0}
    _length = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
    _encoding = re.compile(rb"(?i)\r\ncontent-encoding: *(\w+)")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, rest = self._buffer[:end], self._buffer[end + 4 :]
            found = self._length.search(head)
            length = int(found[1]) if found else 0
            if len(rest) < length:
                return
            body, self._buffer = rest[:length], rest[length:]
            if head.startswith(b"GET /count"):
                self._answer(json.dumps(self.counts).encode())
            else:
                self._answer(b'{"status":1,"id":"0123456789abcdef0123456789abcdef"}')
                self._take(head, body)

    def _answer(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)

    def _take(self, head: bytes, body: bytes) -> None:
        self.counts["requests"] += 1
        self.counts["bytes"] += len(body)
        encoding = self._encoding.search(head)
        if encoding and encoding[1] == b"gzip":
            body = gzip.decompress(body)
        elif encoding and encoding[1] == b"deflate":
            body = zlib.decompress(body)
        elif encoding and encoding[1] == b"br":  # sentry-sdk's choice where brotli is installed
            import brotli

            body = brotli.decompress(body)
        path = head.split(b" ", 2)[1]
        if b"/envelope" in path:
            for header in re.findall(rb'^\{[^\n]*"type" ?: ?"(?:event|transaction|log)"[^\n]*', body, re.MULTILINE):
                many = re.search(rb'"item_count" ?: ?(\d+)', header)  # an envelope's item holds many logs
                self.counts["events"] += int(many[1]) if many else 1
        elif b"/batch" in path or b"/i/" in path or b"/capture" in path:
            content = json.loads(body)
            self.counts["events"] += len(content.get("batch", [content])) if isinstance(content, dict) else len(content)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Taker, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
