"""The protocol and its compression as enumerations, for code that prefers them to the words."""

from __future__ import annotations

from enum import Enum


class CaptureMode(str, Enum):
    """Values of the option `capture_mode`."""

    V0 = "v0"
    V1 = "v1"


class CaptureCompression(str, Enum):
    """Values of the option `capture_compression`; `zstd` and `br` need their packages."""

    NONE = "none"
    GZIP = "gzip"
    DEFLATE = "deflate"
    ZSTD = "zstd"
    BR = "br"
