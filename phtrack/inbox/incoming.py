"""
What an SDK sent: the bytes of a request in, events out. Pure; no HTTP and no database here.

Reads protocol v0 (a batch, a list, or one event) and v1. As much as can be read arrives: a field that is missing or of
the wrong type costs that field, not the event. Only a body that is no JSON, or holds no event at all, is refused.
"""

from __future__ import annotations

import json
import math
import re
import uuid as uuids
import zlib
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib import import_module
from typing import Any

from phtrack.inbox.text import as_dict, as_text, readable_json

MAX_BODY = 20 * 1024 * 1024
"""Bytes of a request body, compressed and decompressed each; PostHog's own limit."""


class Refused(Exception):
    """A request that can't be taken, with the HTTP status and the machine-readable code of the answer."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Incoming:
    """One event as received."""

    uuid: str
    """The sender's, in canonical form; made here if it sent none that is a UUID."""
    name: str
    """`event` of the event, or `(no name)`."""
    distinct_id: str
    timestamp: float
    """Seconds since the epoch: the sender's, else (and never later than) when it was received."""
    received: float
    body: dict[str, Any]
    """The event object as sent, without the project's key."""
    complaint: str | None = None
    """What PostHog would have complained about, as its protocol v1 calls it."""


def decompress(body: bytes, encoding: str) -> bytes:
    """
    Undo `Content-Encoding`. A gzip body without the header is recognised.

    Raises:
        Refused: 415 for an encoding that is unknown here, 400 for a broken body, 413 for one that grows past `MAX_BODY`.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        encoding = "gzip" if body[:2] == b"\x1f\x8b" else ""
    try:
        if encoding in ("gzip", "x-gzip"):
            return _inflate(body, 16 + zlib.MAX_WBITS)
        if encoding == "deflate":
            return _inflate(body, zlib.MAX_WBITS)
        if encoding == "zstd":
            return _unzstd(body)
    except zlib.error as error:
        raise Refused(400, "request_decoding_error", f"The body is not valid {encoding}: {error}") from error
    if encoding:
        raise Refused(415, "request_decoding_error", f"Content-Encoding {encoding!r} is not supported by the inbox")
    return body


def _inflate(body: bytes, wbits: int) -> bytes:
    inflater = zlib.decompressobj(wbits)
    plain = inflater.decompress(body, MAX_BODY + 1)
    if len(plain) > MAX_BODY:
        raise _too_large()
    if not inflater.eof:
        raise zlib.error("it ends too early")
    return plain


def _unzstd(body: bytes) -> bytes:
    try:
        zstandard = import_module("zstandard")
    except ImportError:
        detail = "The inbox needs the package 'zstandard' to read zstd"
        raise Refused(415, "request_decoding_error", detail) from None
    try:
        with zstandard.ZstdDecompressor().stream_reader(body) as reader:
            plain: bytes = reader.read(MAX_BODY + 1)
    except zstandard.ZstdError as error:
        raise Refused(400, "request_decoding_error", f"The body is not valid zstd: {error}") from error
    if len(plain) > MAX_BODY:
        raise _too_large()
    return plain


def _too_large() -> Refused:
    return Refused(413, "payload_too_large", f"The body is larger than {MAX_BODY // 2**20} MiB")


def parse(body: bytes) -> Any:
    """
    The JSON value in *body*, always one that can be written as JSON again.

    Numbers that JSON or Python can't hold (`NaN`, `1e999`, ten thousand digits) become text, bytes that are not UTF-8
    become replacement characters, lone surrogates are written out, and what is nested absurdly deep is cut.

    Raises:
        Refused: 400, it is no JSON.
    """
    if not body.strip():
        raise Refused(400, "empty_body", "The body is empty")
    text = body.decode("utf-8-sig", "replace")
    try:
        return readable_json(json.loads(text, parse_int=_int, parse_float=_float, parse_constant=str))
    except RecursionError:
        raise Refused(400, "request_parsing_error", "The JSON is nested too deeply") from None
    except ValueError as error:
        raise Refused(400, "request_parsing_error", f"The body is not JSON: {error}") from None


def _int(digits: str) -> int | str:
    return int(digits) if len(digits) <= 300 else digits


def _float(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


def events_v0(payload: Any, received: float) -> list[Incoming]:
    """
    The events in a body of protocol v0: ``{"batch": [...]}``, ``[...]``, or one event. What is no object is left out.

    Raises:
        Refused: 400, there is nothing in it that could be an event.
    """
    items = payload
    if isinstance(payload, dict):
        items = payload["batch"] if isinstance(payload.get("batch"), list) else [payload]
        if items == [payload] and "event" not in payload:
            raise Refused(400, "invalid_payload", "The body has neither 'batch' nor 'event'")
    if not isinstance(items, list):
        raise Refused(400, "invalid_payload", "The body must be a JSON object or array of events")
    return [_incoming(item, received) for item in items if isinstance(item, dict)]


def events_v1(payload: Any, received: float, sdk: str = "") -> list[Incoming]:
    """
    The events in a body of protocol v1.

    Args:
        sdk: The header `PostHog-Sdk-Info`, ``name/version``; it becomes `$lib` and `$lib_version`, as at PostHog.

    Raises:
        Refused: 400, there is no batch, or nothing in it.
    """
    batch = as_dict(payload).get("batch")
    if not isinstance(batch, list):
        raise Refused(400, "invalid_batch", "The body has no array 'batch'")
    if not batch:
        raise Refused(400, "empty_batch", "The batch is empty")
    lib, _, version = sdk.partition("/")
    moved = {"$lib": lib.strip(), "$lib_version": version.strip()}
    events = [_incoming(item, received) for item in batch if isinstance(item, dict)]
    return [replace(event, body=_unfold(event.body, moved)) for event in events]


def _unfold(event: dict[str, Any], properties: dict[str, str]) -> dict[str, Any]:
    """Put back into `properties` what protocol v1 moved out, so that both protocols read alike."""
    back: dict[str, Any] = {key: value for key, value in properties.items() if value}
    for field in ("session_id", "window_id"):
        if event.get(field):
            back["$" + field] = event[field]
    for option, value in as_dict(event.get("options")).items():
        back["$ignore_sent_at" if option == "disable_skew_correction" else "$" + option] = value
    rest = {key: value for key, value in event.items() if key not in ("session_id", "window_id", "options")}
    return {**rest, "properties": {**back, **as_dict(event.get("properties"))}}


def _incoming(event: dict[str, Any], received: float) -> Incoming:
    body = {key: value for key, value in event.items() if key not in ("api_key", "token", "sent_at")}
    name = event.get("event")
    properties = as_dict(event.get("properties"))
    distinct_id = event.get("distinct_id")
    if distinct_id is None:
        distinct_id = event.get("$distinct_id", properties.get("distinct_id"))
    when = timestamp_of(event.get("timestamp"))
    uuid = canonical_uuid(event.get("uuid"))
    complaints: dict[str, bool] = {
        "missing_event_name": not isinstance(name, str) or not name,
        "missing_distinct_id": distinct_id in (None, ""),
        "missing_event_uuid": uuid is None,
        "invalid_event_timestamp": when is None,
        "malformed_event_properties": not isinstance(event.get("properties"), dict),
    }
    return Incoming(
        uuid=uuid or str(uuids.uuid4()),
        name=as_text(name, 200) or "(no name)",
        distinct_id=as_text(distinct_id, 200),
        timestamp=received if when is None else min(when, received),
        received=received,
        body=body,
        complaint=next((complaint for complaint, holds in complaints.items() if holds), None),
    )


def canonical_uuid(value: Any) -> str | None:
    """*value* in the usual spelling of a UUID, or None if it is none."""
    if not isinstance(value, str) or len(value) > 50:
        return None
    try:
        return str(uuids.UUID(value))
    except ValueError:
        return None


_FRACTION = re.compile(r"\.(\d+)")


def timestamp_of(value: Any) -> float | None:
    """Seconds since the epoch for an ISO-8601 text (without an offset: UTC) or a number of (milli)seconds, else None."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value / 1000 if abs(value) > 1e11 else value
        return float(seconds) if 0 <= seconds < 1e11 else None
    if not isinstance(value, str) or len(value) > 64:
        return None
    text = value.strip()
    text = text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text
    # Before 3.11 only fractions of three or six digits are understood.
    text = _FRACTION.sub(lambda found: "." + found.group(1)[:6].ljust(6, "0"), text, count=1)
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None
