"""
Buckets: where a user falls between 0 and 1 for a flag.

    (flag key, id) -> SHA-1 -> the first 60 bits, as a fraction of the largest

A rollout or a variant is a bound on that fraction. Bounds are turned into bytes once (`bound`), so that the test at run
time is one hash and one comparison of bytes, exactly equal to comparing the fractions. Rules and vectors: wire contract,
flags.md §6.
"""

from __future__ import annotations

try:  # CPython's own implementation: no OpenSSL context per call, and it exists where policy forbids SHA-1 for security
    from _sha1 import sha1  # type: ignore[import-not-found]
except ImportError:
    from hashlib import sha1 as _openssl_sha1

    def sha1(data: bytes) -> object:
        return _openssl_sha1(data, usedforsecurity=False)


__all__ = ["ALL", "SCALE", "bound", "digest", "fraction", "holdout_fraction", "sha1"]

SCALE = 0xFFFFFFFFFFFFFFF
"""The largest 60-bit number: 15 hexadecimal digits."""

_TAIL = b"\xff" * 12

ALL: None = None
"""The bound that everybody is within."""


def digest(data: bytes) -> bytes:
    """The 20 bytes of SHA-1."""
    return sha1(data).digest()  # type: ignore[no-any-return]


def fraction(key: str, value: str, salt: str = "") -> float:
    """Where *value* falls for flag *key*, in [0, 1]."""
    return _fraction(digest(f"{key}.{value}{salt}".encode()))


def holdout_fraction(value: str) -> float:
    """Where *value* falls for holdouts, which are the same for all flags."""
    return _fraction(digest(f"holdout-{value}".encode()))


def _fraction(hashed: bytes) -> float:
    return (int.from_bytes(hashed[:8], "big") >> 4) / SCALE


def bound(limit: float, *, strictly_below: bool = False) -> bytes | None:
    """
    The largest digest whose fraction is within *limit*: ``digest(...) <= bound(x)`` iff ``fraction(...) <= x``.

    With *strictly_below*: iff ``fraction(...) < x``. `ALL` if every digest is within; empty bytes if none is.
    """
    low, high = -1, SCALE  # the largest 60-bit number within the limit lies in [low, high]
    while low < high:
        middle = (low + high + 1) // 2
        part = middle / SCALE
        if part < limit or (part == limit and not strictly_below):
            low = middle
        else:
            high = middle - 1
    if low == SCALE:
        return ALL
    if low < 0:
        return b""
    return (low << 4 | 0xF).to_bytes(8, "big") + _TAIL
