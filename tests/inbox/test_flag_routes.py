"""Flags from a file over real HTTP: `phtrack inbox --flags`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phtrack import _guard
from phtrack.inbox import serve_in_thread
from tests.inbox.conftest import Http


@pytest.fixture
def flags(tmp_path: Path) -> Path:
    """A file with one flag that is on."""
    path = tmp_path / "flags.json"
    path.write_text(json.dumps({"flags": {"new-nav": True, "old": False}}))
    return path


@pytest.fixture
def http(flags: Path) -> Iterator[Http]:
    """An inbox that answers from the file."""
    with serve_in_thread(flags=flags) as inbox:
        http = Http(inbox)
        yield http
        http.session.close()


def enabled(http: Http) -> dict[str, Any]:
    """The flags of a user, as the endpoint for SDKs answers."""
    answer = http.post("/flags/?v=2", json={"api_key": "k", "distinct_id": "u1"})
    assert answer.status_code == 200
    return {key: record["enabled"] for key, record in answer.json()["flags"].items()}


def rewrite(path: Path, content: str) -> None:
    """Change the file, with a time of change that every file system tells apart."""
    path.write_text(content)
    os.utime(path, ns=(1, hash(content) % 10**15))


def test_both_endpoints_answer_from_the_file(http: Http) -> None:
    """Remote evaluation gives values, local evaluation the definitions, also at the older address."""
    assert enabled(http) == {"new-nav": True, "old": False}
    for path in ("/flags/definitions", "/flags/definitions/", "/api/feature_flag/local_evaluation/"):
        answer = http.get(path + "?token=k&send_cohorts", headers={"Authorization": "Bearer phx_any"})
        assert [flag["key"] for flag in answer.json()["flags"]] == ["new-nav", "old"]
        assert "etag" not in answer.json()


def test_unchanged_definitions_are_not_sent_again(http: Http, flags: Path) -> None:
    """A poll with the last ETag is answered 304 until the file changes."""
    etag = http.get("/flags/definitions").headers["ETag"]
    assert http.get("/flags/definitions", headers={"If-None-Match": etag}).status_code == 304
    rewrite(flags, '{"flags": {"new-nav": false}}')
    answer = http.get("/flags/definitions", headers={"If-None-Match": etag})
    assert answer.status_code == 200 and answer.headers["ETag"] != etag


def test_a_changed_file_counts_at_once_and_a_broken_one_does_not(
    http: Http, flags: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Trying flags means editing the file; while it is half written or gone, the last good one stands, with one warning."""
    rewrite(flags, '{"flags": {"new-nav": false}}')
    assert enabled(http) == {"new-nav": False}
    rewrite(flags, '{"flags": {"new-n')
    assert enabled(http) == enabled(http) == {"new-nav": False}
    assert [record.name for record in caplog.records if "flags.json" in record.getMessage()] == [_guard.LOGGER_NAME]
    flags.unlink()
    assert enabled(http) == {"new-nav": False}
    rewrite(flags, '{"flags": {"new-nav": 100}}')
    assert enabled(http) == {"new-nav": True}


@pytest.mark.parametrize("body", [b"{", b"[]", b"7"])
def test_a_malformed_question_is_the_callers_mistake(http: Http, body: bytes) -> None:
    """400, and the next question is answered."""
    assert http.post("/flags/?v=2", data=body).status_code == 400
    assert enabled(http)


def test_dates_in_a_toml_file_are_sent_as_text(tmp_path: Path) -> None:
    """A date needs no quotes in TOML; it must not break the answer."""
    pytest.importorskip("tomllib", reason="needs Python 3.11")
    path = tmp_path / "flags.toml"
    path.write_text("[flags.new]\nwhen = [{ joined = { is_date_after = 2024-05-01 } }]\n")
    with serve_in_thread(flags=path) as inbox:
        http = Http(inbox)
        (flag,) = http.get("/flags/definitions").json()["flags"]
        http.session.close()
    assert flag["filters"]["groups"][0]["properties"][0]["value"] == "2024-05-01"


def test_a_broken_file_is_told_at_the_start(flags: Path) -> None:
    """Whoever starts the inbox with a wrong file learns it at once, and nothing is left listening."""
    flags.write_text('{"flags": {"new-nav": 250}}')
    with pytest.raises(ValueError, match="250"):
        serve_in_thread(flags=flags)
