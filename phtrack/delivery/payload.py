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
    """
    The body of one batch over all its attempts: what never changes, and a short end that does.

    Bodies of a megabyte are copied once, when the first attempt, which is nearly always the only one, puts them together.
    """

    __slots__ = ("_compress_end", "_pieces", "_stamped", "_start")

    def __init__(
        self,
        start: bytes = b"",
        *,
        pieces: list[bytes] | None = None,
        stamped: bool = True,
        compress_end: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._start: bytes | memoryview = start
        self._pieces = pieces
        """What is still to be joined by commas to make the start; used up."""
        self._stamped = stamped
        self._compress_end = compress_end

    def body(self, sent_at: str) -> Body:
        """The body of the next attempt. *sent_at* is used by protocol v0 only."""
        if not self._stamped:
            return self._start  # type: ignore[return-value]  # never a view
        end = b'],"sent_at":"%s"}' % sent_at.encode()
        if self._compress_end is not None:
            return [self._start, self._compress_end(end)]
        pieces = self._pieces
        if pieces is None:
            return [self._start, end]
        pieces[-1] += end
        whole = b",".join(pieces)
        self._start = memoryview(whole)[: -len(end)]
        self._pieces = None
        return whole


def build(batch: Batch, *, api_key: str, historical: bool, compression: str | None) -> Payload:
    """
    The payload of *batch*, whose envelopes are sealed.

    Args:
        compression: A `Content-Encoding`, or None.
    """
    pieces = [envelope.body or b"" for envelope in batch.envelopes]
    if batch.protocol == "v1":
        mark = b'"historical_migration":true,' if historical else b""
        pieces[0] = b'{"created_at":"%s",%s"batch":[%s' % (rfc3339(batch.created).encode(), mark, pieces[0])
        pieces[-1] += b"]}"
        return Payload(_compressed(b",".join(pieces), compression), stamped=False)
    pieces[0] = b'{"api_key":%s,"historical_migration":%s,"batch":[%s' % (
        json.dumps(api_key).encode(),
        b"true" if historical else b"false",
        pieces[0],
    )
    if compression is None:
        return Payload(pieces=pieces)
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    compressed = compressor.compress(b",".join(pieces))

    def compress_end(end: bytes) -> bytes:
        copy = compressor.copy()
        return copy.compress(end) + copy.flush()

    return Payload(compressed, compress_end=compress_end)


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
