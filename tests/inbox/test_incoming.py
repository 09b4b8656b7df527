"""Bytes of a request to events: what is read, what is repaired, what is refused."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from phtrack.inbox.incoming import (
    MAX_BODY,
    Refused,
    canonical_uuid,
    decompress,
    events_v0,
    events_v1,
    parse,
    timestamp_of,
)
from tests.inbox import events as make

NOW = 1_800_000_000.0


def refusal(call: object, *arguments: object) -> tuple[int, str]:
    """Status and code that *call* refuses with."""
    with pytest.raises(Refused) as refused:
        call(*arguments)  # type: ignore[operator]
    return refused.value.status, refused.value.code


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("", bytes), ("identity", bytes), ("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress),
        ("", gzip.compress),
    ],
)  # fmt: skip
def test_bodies_are_decompressed(encoding: str, pack: object) -> None:
    """Every encoding an SDK uses by default is undone, gzip also where the header was forgotten."""
    assert decompress(pack(b'{"a": 1}'), encoding) == b'{"a": 1}'  # type: ignore[operator]


def test_zstd_is_undone_where_the_package_is_installed() -> None:
    """Without `zstandard` the answer names it; with it the body is read, within the limit."""
    try:
        import zstandard
    except ImportError:
        assert refusal(decompress, b"\x28\xb5\x2f\xfd", "zstd") == (415, "request_decoding_error")
        return
    assert decompress(zstandard.compress(b"[]"), "zstd") == b"[]"
    assert refusal(decompress, zstandard.compress(bytes(MAX_BODY + 1)), "zstd")[0] == 413
    assert refusal(decompress, b"nonsense", "zstd")[0] == 400


def test_a_decompression_bomb_is_stopped_at_the_limit() -> None:
    """A small body that grows past the limit is too large, and is not unpacked further."""
    assert refusal(decompress, gzip.compress(bytes(MAX_BODY + 1)), "gzip") == (413, "payload_too_large")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_broken_compression_is_refused(encoding: str) -> None:
    """Cut or wrong bytes are a broken request, not an error of the inbox."""
    assert refusal(decompress, b"no such thing", encoding) == (400, "request_decoding_error")
    assert refusal(decompress, gzip.compress(b"x" * 1000)[:-12], "gzip") == (400, "request_decoding_error")


def test_an_unknown_encoding_is_named() -> None:
    """What can't be read is said to be unsupported, so that the SDK doesn't retry it."""
    assert refusal(decompress, b"x", "br") == (415, "request_decoding_error")


@pytest.mark.parametrize("body", [b"{", b"nonsense", b"\xff\xfe", b'{"a": }'])
def test_no_json_is_refused(body: bytes) -> None:
    """A body that is no JSON is the sender's mistake."""
    assert refusal(parse, body) == (400, "request_parsing_error")


def test_an_empty_body_is_refused() -> None:
    """An empty body has a code of its own."""
    assert refusal(parse, b" \n") == (400, "empty_body")


def test_what_json_cannot_hold_becomes_text() -> None:
    """Whatever was parsed can be written as strict JSON in UTF-8 again."""
    digits = b"7" * 10_000
    body = b'\xef\xbb\xbf{"a": NaN, "b": [1e999, -Infinity], "c": ' + digits + b', "d\\ud800": "\\udfff \xff"}'
    value = parse(body)
    assert value == {"a": "NaN", "b": ["1e999", "-Infinity"], "c": digits.decode(), "d\\ud800": "\\udfff \ufffd"}
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize("depth", [150, 900])
def test_deep_nesting_is_cut(depth: int) -> None:
    """JSON nested deeper than any event arrives without what is too deep."""
    value = parse(b"[" * depth + b"1" + b"]" * depth)
    assert "nested too deeply" in json.dumps(value)


def test_absurd_nesting_is_refused() -> None:
    """Nesting that the parser itself can't follow is a broken request."""
    assert refusal(parse, b"[" * 200_000 + b"]" * 200_000) == (400, "request_parsing_error")


def test_all_forms_of_protocol_v0_are_read() -> None:
    """A batch, a list and a single event give the same events, without the project's key."""
    event = {**make.ordinary(), "api_key": "phc_x"}
    for payload in ({"batch": [event], "api_key": "phc_x"}, [event], event):
        (read,) = events_v0(payload, NOW)
        assert (read.uuid, read.name, read.distinct_id) == (event["uuid"], "order placed", "u1")
        assert "api_key" not in read.body
    assert events_v0({"batch": []}, NOW) == []


@pytest.mark.parametrize("payload", [{}, {"batch": "x"}, 7, "x", None])
def test_what_holds_no_event_is_refused(payload: object) -> None:
    """JSON without anything that could be an event is the sender's mistake."""
    assert refusal(events_v0, payload, NOW) == (400, "invalid_payload")


def test_wrong_types_cost_the_field_and_not_the_event() -> None:
    """An event arrives with whatever could be read of it; what is no event among events is left out."""
    odd = {"event": 7, "distinct_id": {"a": 1}, "uuid": [], "timestamp": "yesterday", "properties": "none"}
    read = events_v0([None, "x", odd, []], NOW)
    assert [(each.name, each.distinct_id, each.timestamp, each.body) for each in read] == [("7", '{"a": 1}', NOW, odd)]
    assert canonical_uuid(read[0].uuid) == read[0].uuid


def test_protocol_v1_reads_like_v0() -> None:
    """What protocol v1 moved out of the properties, and the SDK's name from its header, are back in them."""
    event = {
        **make.ordinary(total=3),
        "session_id": "s-1",
        "options": {"process_person_profile": False, "disable_skew_correction": True},
    }
    (read,) = events_v1({"batch": [event]}, NOW, sdk="phtrack/1.2")
    assert read.complaint is None
    assert read.body["properties"] == {
        "total": 3, "$session_id": "s-1", "$process_person_profile": False, "$ignore_sent_at": True, "$lib": "phtrack",
        "$lib_version": "1.2",
    }  # fmt: skip
    assert "session_id" not in read.body and "options" not in read.body


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        ("event", "missing_event_name"), ("distinct_id", "missing_distinct_id"), ("uuid", "missing_event_uuid"),
        ("timestamp", "invalid_event_timestamp"), ("properties", "malformed_event_properties"),
    ],
)  # fmt: skip
def test_protocol_v1_says_what_is_missing(field: str, complaint: str) -> None:
    """The developer learns here what PostHog would have refused."""
    event = make.ordinary()
    del event[field]
    assert [each.complaint for each in events_v1({"batch": [event]}, NOW)] == [complaint]


def test_protocol_v1_needs_a_batch() -> None:
    """No batch and an empty one have the codes of the protocol."""
    assert refusal(events_v1, {"events": []}, NOW) == (400, "invalid_batch")
    assert refusal(events_v1, {"batch": []}, NOW) == (400, "empty_batch")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2025-01-01T00:00:00Z", 1735689600.0), ("2025-01-01T00:00:00.5+00:00", 1735689600.5),
        ("2025-01-01T00:00:00.123456789Z", 1735689600.123456), ("2025-01-01T01:00:00+01:00", 1735689600.0),
        ("2025-01-01T00:00:00", 1735689600.0), (1735689600, 1735689600.0), (1735689600000, 1735689600.0),
        ("", None), ("x" * 100_000, None), (None, None), (True, None), (-5, None), (10**300, None), ({}, None),
    ],
)  # fmt: skip
def test_timestamps_are_read_or_given_up(value: object, seconds: float | None) -> None:
    """ISO-8601 in all common spellings and epoch numbers are understood; anything else is None."""
    assert timestamp_of(value) == seconds


def test_a_clock_that_is_ahead_does_not_stay_on_top() -> None:
    """An event from the future counts as received now, or its issue would lead the list for years."""
    assert events_v0({**make.ordinary(), "timestamp": "2199-01-01T00:00:00Z"}, NOW)[0].timestamp == NOW


def test_uuids_are_compared_in_one_spelling() -> None:
    """Upper case and braces are the same id; what is no UUID is none."""
    assert canonical_uuid("{0190A000-0000-7000-8000-000000000001}") == "0190a000-0000-7000-8000-000000000001"
    assert canonical_uuid("nonsense") is None and canonical_uuid(5) is None
