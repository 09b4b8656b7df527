"""
What every event has: an id, a time, and the facts of the program it came from.

Nothing here decides whether or where an event goes. Rules: wire contract, capture.md §5-§8.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from _thread import allocate_lock
from struct import unpack
from time import time_ns

from phtrack import _guard
from phtrack.version import VERSION

LIB = "phtrack"
"""Our own name in `$lib`: the server rewrites the order of exceptions for another SDK's."""

MAX_EVENT_BYTES = 900 * 1024
MAX_AI_EVENT_BYTES = 8 * 1024 * 1024
MAX_NAME = 200

RESERVED = frozenset(
    (
        "$exception_list", "$exception_level", "$exception_source", "$exception_type", "$exception_message", "$debug_images",
        "$exception_handled", "$exception_types", "$exception_values", "$exception_sources", "$exception_functions",
        "$exception_fingerprint_version", "$exception_fingerprint_record", "$exception_proposed_fingerprint",
        "$exception_issue_id", "$exception_release", "$exception_releases", "$cymbal_errors",
    )
)  # fmt: skip
"""Properties that a caller can't set on an exception: phtrack's, or the server's own (exceptions.md §2, §3)."""

_SUSPICIOUS_IDS = frozenset(
    (
        "anonymous", "anonymous-user", "backend", "distinct_id", "distinctid", "email", "false", "guest", "id", "nan", "none",
        "not_authenticated", "null", "[object object]", "system", "true", "undefined", "user", "0",
        "00000000-0000-0000-0000-000000000000",
    )
)  # fmt: skip
"""Ids that the server doesn't treat as a person."""

UTC = dt.timezone.utc
_now = dt.datetime.now


# --- ids -----------------------------------------------------------------------------------------------------------

_lock = allocate_lock()
_last = 0
_noise: list[int] = []
"""Random numbers of 64 bits, fetched together: asking the system for each costs more than all the rest of an id."""


def _more_noise() -> int:
    _noise.extend(unpack("64Q", os.urandom(512)))
    return _noise.pop()


def _after_fork() -> None:
    """A child must not use up the parent's random numbers again."""
    global _lock
    _lock = allocate_lock()
    _noise.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def uuid7(nanos: int | None = None) -> str:
    """
    A UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 bits below them, 62 random bits; later calls sort later.

    Args:
        nanos: Nanoseconds since the epoch; default now.
    """
    global _last
    try:
        noise = _noise.pop()
    except IndexError:
        noise = _more_noise()
    if nanos is None:
        nanos = time_ns()
    # 60 bits of time: milliseconds, and the fraction of one in 1/4096 (4294 / 2**20 is 4096 / 10**6, rounded down).
    millis, rest = divmod(nanos, 1_000_000)
    now = millis << 12 | rest * 4294 >> 20
    if not _lock.locked() or not _meets_itself():
        with _lock:
            if now <= _last:
                now = _last + 1
            _last = now
    value = (now >> 12) << 80 | (0x7000 | now & 0xFFF) << 64 | noise & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000
    text = value.to_bytes(16, "big").hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _meets_itself() -> bool:
    """True in a signal handler that makes an id while its own thread does, and has the lock: its id is no worse without."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code is not uuid7.__code__:
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None


def valid_uuid(value: object) -> str | None:
    """*value* as the text of an RFC 4122 UUID, kept verbatim, or None."""
    if value is None:
        return None
    import uuid

    try:
        text = str(value)
        uuid.UUID(text)
    except Exception:
        return None
    return text if len(text) == 36 else None


def distinct_id_text(value: object) -> str | None:
    """An id as the text that travels: any value's `str`, at most 200 characters; None and the empty string are missing."""
    if value is None:
        return None
    try:
        text = value if type(value) is str else str(value)
    except Exception:
        return None
    if not text:
        return None
    if (len(text) < 20 or text[0] == "0") and text.strip().lower() in _SUSPICIOUS_IDS:
        _guard.once("warning", "distinct id %r is one that PostHog does not treat as a person", text[:40])
    return text[:200]


# --- time ----------------------------------------------------------------------------------------------------------


_second: tuple[int, str] = (0, "")
"""A second since the epoch and its text: most events come within the second of the one before."""


def now_text(nanos: int | None = None) -> str:
    """
    The current time as ISO-8601 in UTC with microseconds and offset.

    Args:
        nanos: Nanoseconds since the epoch, instead of now.
    """
    global _second
    seconds, rest = divmod(time_ns() if nanos is None else nanos, 1_000_000_000)
    known, text = _second
    if known != seconds:
        text = dt.datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        _second = (seconds, text)
    return f"{text}{rest // 1000:06d}+00:00"


def timestamp_text(value: object) -> str:
    """
    A caller's timestamp as ISO-8601 in UTC.

    Args:
        value: None (now), an aware or naive datetime, a date (midnight UTC), an ISO-8601 text with time, or seconds since
            the epoch (above 1e11: milliseconds). A naive datetime within five seconds before now is local time, else UTC.

    Anything else, or what can't be read, is logged and becomes now.
    """
    if value is None:
        return now_text()
    try:
        return _moment(value).astimezone(UTC).isoformat()
    except Exception:
        _guard.say("warning", "timestamp of type %s can't be read; using now", type(value).__name__, every=60)
        return now_text()


def _moment(value: object) -> dt.datetime:
    if isinstance(value, str):
        # Python 3.10 reads neither "Z" nor fractions other than 3 or 6 digits; a date alone is no timestamp.
        if len(value) <= 10:
            raise ValueError(value)
        text = value.strip()
        if text[-1:] in "zZ":
            text = text[:-1] + "+00:00"
        value = dt.datetime.fromisoformat(_six_digits(text))
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            return value
        behind = (_now() - value).total_seconds()
        return value.astimezone() if 0 <= behind <= 5 else value.replace(tzinfo=UTC)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value / 1000 if abs(value) > 1e11 else value
        return dt.datetime.fromtimestamp(seconds, UTC)
    raise TypeError(type(value))


def _six_digits(text: str) -> str:
    """Cut or pad the fraction of a second to six digits."""
    head, dot, tail = text.partition(".")
    if not dot:
        return text
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return f"{head}.{tail[:digits][:6].ljust(6, '0')}{tail[digits:]}"


# --- the program ---------------------------------------------------------------------------------------------------


def _os_release() -> dict[str, str]:
    """The fields of os-release, read as a file."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                pairs = (line.strip().partition("=") for line in file if "=" in line)
                return {name: value.strip("\"'") for name, _, value in pairs}
        except OSError:
            continue
    return {}


def _system() -> dict[str, str]:
    name = {"cpython": "CPython", "pypy": "PyPy"}.get(sys.implementation.name, sys.implementation.name)
    facts = {"$python_runtime": name, "$python_version": ".".join(map(str, sys.version_info[:3]))}
    if sys.platform.startswith("linux"):
        release = _os_release()
        facts["$os"] = "Linux"
        facts["$os_version"] = release.get("VERSION_ID", "")
        if release.get("NAME"):
            facts["$os_distro"] = release["NAME"]
    elif sys.platform == "darwin":
        import platform

        facts["$os"] = "Mac OS X"
        facts["$os_version"] = platform.mac_ver()[0]
    elif sys.platform == "win32":
        version = sys.getwindowsversion()
        facts["$os"] = "Windows"
        facts["$os_version"] = f"{version.major}.{version.minor}.{version.build}"
    else:
        uname = os.uname()
        facts["$os"] = "FreeBSD" if uname.sysname == "FreeBSD" else uname.sysname
        facts["$os_version"] = uname.release
    return facts


_facts: dict[str, str] | None = None


def system_properties() -> dict[str, str]:
    """`$python_runtime`, `$os` and so on. Read once per process, without starting a subprocess. Not to be changed."""
    global _facts
    if _facts is None:
        try:
            _facts = _system()
        except Exception as error:
            _guard.swallowed("reading system facts", error)
            _facts = {}
    return _facts


def release_id() -> str | None:
    """`$release_id` of the environment, or None."""
    return os.environ.get("POSTHOG_RELEASE_ID", "").strip() or None


def lib_properties() -> dict[str, str]:
    """`$lib` and `$lib_version`."""
    return {"$lib": LIB, "$lib_version": VERSION}


def active_span() -> tuple[str, str] | None:
    """Trace id (32 hex digits) and span id (16) of OpenTelemetry's active span, if the application has OpenTelemetry loaded."""
    trace = _guard.loaded("opentelemetry.trace")
    if trace is None:
        return None
    try:
        where = trace.get_current_span().get_span_context()
        return (f"{where.trace_id:032x}", f"{where.span_id:016x}") if where.is_valid else None
    except Exception:
        return None
