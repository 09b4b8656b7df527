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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack.seams import Batch

GZIP_LEVEL = 1
"""Measured on batches of 100 events of 1 KB: level 1 costs 3 to 4 microseconds an event, level 6 twice that for 2 to 4 % fewer
bytes, level 9 six times. See `tests/benchmarks/bench_delivery.py compress`."""
_GZIP, _ZLIB = 31, 15
"""`wbits` of the gzip and the zlib container."""


class Payload:
    """The body of one batch over all its attempts."""

    __slots__ = ("_compress_end", "_fixed", "_stamp_before")

    def __init__(self, fixed: bytes, stamp_before: bytes | None, compress_end: Callable[[bytes], bytes] | None) -> None:
        self._fixed = fixed
        self._stamp_before = stamp_before
        self._compress_end = compress_end

    def chunks(self, sent_at: str) -> list[bytes]:
        """The body, in pieces to be sent in order. *sent_at* is used by protocol v0 only."""
        if self._stamp_before is None:
            return [self._fixed]
        end = self._stamp_before + sent_at.encode() + b'"}'
        return [self._fixed, end if self._compress_end is None else self._compress_end(end)]


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
        whole = b'%s"batch":[%s]}' % (head, bodies)
        return Payload(_compressed(whole, compression), None, None)
    fixed = b'{"api_key":%s,"historical_migration":%s,"batch":[%s' % (
        json.dumps(api_key).encode(),
        b"true" if historical else b"false",
        bodies,
    )
    before = b'],"sent_at":"'
    if compression is None:
        return Payload(fixed, before, None)
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    start = compressor.compress(fixed)

    def compress_end(end: bytes) -> bytes:
        copy = compressor.copy()
        return copy.compress(end) + copy.flush()

    return Payload(start, before, compress_end)


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
