"""
A batch as the body of a request: bytes joined, compressed once, stamped per attempt.

    bodies of events -> the part that never changes (joined, compressed) + a short end that does -> chunks for the socket

Protocol v0 stamps `sent_at` per attempt, so that it stands last in the body: a retry makes a new end of some forty bytes and
sends the same chunk before it. With gzip the compressor's state after that chunk is kept and copied, so that only the end is
compressed again. Protocol v1 has no such stamp in the body.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack.seams import Batch

GZIP_LEVEL = 1
"""Measured on batches of 100 events of 1 KB: level 1 costs 3 to 4 microseconds an event, level 6 twice that for 2 to 4 % fewer
bytes, level 9 six times. See `tests/benchmarks/bench_delivery.py compress`."""
_GZIP, _ZLIB = 31, 15
"""`wbits` of the gzip and the zlib container."""


Body = Union[bytes, "list[bytes | memoryview]"]
"""Bytes, or pieces to be sent in order."""


class Payload:
    """The body of one batch over all its attempts. `start` is what comes before the end that differs."""

    __slots__ = ("_compress_end", "_stamped", "_start", "_whole")

    def __init__(self, start: bytes, *, stamped: bool, compress_end: Callable[[bytes], bytes] | None = None) -> None:
        self._start: bytes | memoryview = start
        self._stamped = stamped
        self._compress_end = compress_end
        self._whole = False

    def body(self, sent_at: str) -> Body:
        """The body of the next attempt. *sent_at* is used by protocol v0 only."""
        start = self._start
        if not self._stamped:
            return start  # type: ignore[return-value]  # never a view
        end = b'],"sent_at":"%s"}' % sent_at.encode()
        if self._compress_end is not None:
            return [start, self._compress_end(end)]
        if self._whole:
            return [start, end]
        # The first time, which is nearly always the only one, in one piece: a copy costs less than another write to the socket.
        whole = b"%s%s" % (start, end)
        self._start = memoryview(whole)[: len(start)]
        self._whole = True
        return whole


def build(batch: Batch, *, api_key: str, historical: bool, compression: str | None) -> Payload:
    """
    The payload of *batch*, whose envelopes are sealed.

    Args:
        compression: A `Content-Encoding`, or None.
    """
    bodies = b",".join([envelope.body or b"" for envelope in batch.envelopes])
    if batch.protocol == "v1":
        head = b'{"created_at":"%s",' % rfc3339(batch.created).encode()
        if historical:
            head += b'"historical_migration":true,'
        return Payload(_compressed(b'%s"batch":[%s]}' % (head, bodies), compression), stamped=False)
    start = b'{"api_key":%s,"historical_migration":%s,"batch":[%s' % (
        json.dumps(api_key).encode(),
        b"true" if historical else b"false",
        bodies,
    )
    if compression is None:
        return Payload(start, stamped=True)
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    compressed = compressor.compress(start)

    def compress_end(end: bytes) -> bytes:
        copy = compressor.copy()
        return copy.compress(end) + copy.flush()

    return Payload(compressed, stamped=True, compress_end=compress_end)


def _compressed(body: bytes, encoding: str | None) -> bytes:
    if encoding is None:
        return body
    if encoding == "zstd":
        import zstandard

        return bytes(zstandard.ZstdCompressor(level=1).compress(body))
    if encoding == "br":
        import brotli

        return bytes(brotli.compress(body, quality=1))
    compressor: Any = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP if encoding == "gzip" else _ZLIB)
    return bytes(compressor.compress(body) + compressor.flush())


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as UTC text with microseconds: ``2025-01-01T00:00:01.000000+00:00``."""
    from datetime import datetime, timezone

    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds")
