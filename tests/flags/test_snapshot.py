"""`evaluate_flags`: one look at a user's flags, then no network."""

from __future__ import annotations

import pytest

from phtrack.flags.values import UnresolvedFlagReason
from tests.flags.conftest import MakeClient
from tests.flags.definitions import condition, flag, prop, variants
from tests.flags.server import Answer, FlagServer, definitions, record, remote

PRO = flag("pro", condition(prop("plan", "pro")), filters={"payloads": {"true": '{"a":1}'}})
BLUE = flag("blue", filters={"multivariate": variants(blue=100)})
OFF = flag("off", active=False)
STICKY = flag("sticky", ensure_experience_continuity=True)


def test_local_values_are_kept_and_the_server_fills_gaps(server: FlagServer, client: MakeClient) -> None:
    """One request for what is unresolved; a local value is never overwritten by the server's."""
    server.definitions = definitions(PRO, BLUE, OFF, STICKY)
    server.flags = remote(record("blue", "other"), record("pro", "r"), record("sticky", True), record("extra", "x"))
    phtrack = client(local=True)
    flags = phtrack.evaluate_flags("u1")
    assert repr(flags) == "<FeatureFlagEvaluations of 5 flags>"
    assert [flags.get_flag(key) for key in ("blue", "off", "pro", "sticky", "extra", "nobody")] == [
        "blue",
        False,
        "r",
        True,
        "x",
        None,
    ]
    assert sorted(flags.keys) == ["blue", "extra", "off", "pro", "sticky"]
    assert dict(flags.unresolved_flags) == {
        "pro": UnresolvedFlagReason.MISSING_CONTEXT,
        "sticky": UnresolvedFlagReason.EXPERIENCE_CONTINUITY,
    }
    assert len(server.asked) == 1
    assert "flag_keys_to_evaluate" not in server.asked[0]


def test_what_resolves_locally_makes_no_request(server: FlagServer, client: MakeClient) -> None:
    """All local: no request. Keys that are wanted and not defined: one, with the caller's list as it was."""
    server.definitions = definitions(BLUE, OFF, STICKY)
    phtrack = client(local=True)
    assert phtrack.evaluate_flags("u1", flag_keys=["blue", "off"]).keys == ["blue", "off"]
    assert phtrack.evaluate_flags("u1", only_evaluate_locally=True).keys == ["blue", "off"]
    assert phtrack.evaluate_flags("u1", flag_keys=[]).keys == []
    assert server.asked == []
    phtrack.evaluate_flags("u1", flag_keys=["blue", "new"])
    assert [body["flag_keys_to_evaluate"] for body in server.asked] == [["blue", "new"]]


def test_reads_are_reported_like_single_ones(server: FlagServer, client: MakeClient) -> None:
    """The event says whether the value was local, carries the answer's request id, and is sent once over all snapshots."""
    server.definitions = definitions(BLUE, STICKY)
    server.flags = remote(record("sticky", "s"))
    phtrack = client(local=True)
    for _ in range(2):
        flags = phtrack.evaluate_flags("u1", groups={"company": "a"})
        assert flags.is_enabled("blue") is True
        flags.get_flag("sticky")
        flags.get_flag("nobody")
    local, server_side, missing = phtrack.called()
    assert (local["locally_evaluated"], local["$feature_flag_reason"]) == (True, "Evaluated locally")
    assert local["$feature_flag_request_id"] == "req-1"
    assert "$feature_flag_evaluated_at" not in local
    assert (server_side["locally_evaluated"], server_side["$feature_flag_evaluated_at"]) == (False, 1700000000123)
    assert (missing["$feature_flag_response"], missing["$feature_flag_error"]) == (None, "flag_missing")
    assert local["$groups"] == {"company": "a"}
    assert "$feature_flag_evaluated_at" in missing


def test_making_a_snapshot_reports_nothing(server: FlagServer, client: MakeClient) -> None:
    """Neither making one nor payloads nor silent reads send events."""
    server.flags = remote(record("f", payload="[1]"))
    phtrack = client()
    flags = phtrack.evaluate_flags("u1")
    assert flags.get_flag_payload("f") == [1]
    assert flags.get_flag_payload("nobody") is None
    assert flags.get_flag("f", send_feature_flag_events=False) is True
    assert flags.is_enabled("f", send_feature_flag_events=False) is True
    assert phtrack.called() == []


def test_defaults(server: FlagServer, client: MakeClient) -> None:
    """A value that is there wins over the default, False included; missing and failed flags take it."""
    server.flags = remote(record("off", False), {**record("failed"), "failed": True})
    flags = client().evaluate_flags("u1")
    assert flags.is_enabled("off", True) is False
    assert flags.is_enabled("failed", True) is True
    assert flags.is_enabled("nobody", default_value=True) is True
    assert flags.is_enabled("nobody") is False
    assert flags.get_flag("failed") is None
    assert flags.get_flag_payload("failed") is None
    assert flags.keys == ["off"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(status=503), "api_error_503"),
        (remote(quotaLimited=["feature_flags"]), "quota_limited"),
        (Answer(raw=b"<html>"), "unknown_error"),
        (remote(errorsWhileComputingFlags=True), "errors_while_computing_flags,flag_missing"),
        (remote(), "flag_missing"),
        (remote({**record("sticky"), "failed": True}), "evaluation_failed"),
        (remote({**record("sticky"), "failed": True}, errorsWhileComputingFlags=True), "errors_while_computing_flags,evaluation_failed"),
    ],
)  # fmt: skip
def test_why_a_flag_has_no_value(server: FlagServer, client: MakeClient, answer: Answer, error: str) -> None:
    """What went wrong when the snapshot was made is in the event of the read, not a general 'missing'."""
    server.definitions = definitions(STICKY)
    server.flags = answer
    phtrack = client(local=True)
    assert phtrack.evaluate_flags("u1").get_flag("sticky") is None
    assert phtrack.called()[0]["$feature_flag_error"] == error


def test_inconclusive_without_asking(server: FlagServer, client: MakeClient) -> None:
    """Only local and not resolved: the event says so."""
    server.definitions = definitions(STICKY)
    phtrack = client(local=True)
    assert phtrack.evaluate_flags("u1", only_evaluate_locally=True).get_flag("sticky") is None
    assert phtrack.called()[0]["$feature_flag_error"] == "local_evaluation_inconclusive"


def test_a_snapshot_does_not_change(server: FlagServer, client: MakeClient) -> None:
    """New definitions and answers leave it as it was."""
    server.definitions = definitions(BLUE)
    phtrack = client(local=True)
    flags = phtrack.evaluate_flags("u1")
    server.definitions = definitions(flag("blue", active=False))
    phtrack.load_feature_flags()
    assert flags.get_flag("blue") == "blue"
    assert phtrack.get_feature_flag("blue", "u1") is False
    with pytest.raises(TypeError):
        flags.unresolved_flags["x"] = UnresolvedFlagReason.MISSING_CONTEXT  # type: ignore[index]


def test_parts_of_a_snapshot(server: FlagServer, client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    """`only` keeps what it is told and knows, `only_accessed` what was read; both keep their own books."""
    server.flags = remote(record("a"), record("b", "v"), record("c", False))
    phtrack = client()
    flags = phtrack.evaluate_flags("u1")
    assert flags.only_accessed().keys == []
    flags.get_flag("a")
    flags.is_enabled("c")
    flags.get_flag_payload("b")
    flags.get_flag("nobody")
    assert sorted(flags.only_accessed().keys) == ["a", "c"]
    part = flags.only(["b", "nobody", "nothing"])
    assert part.keys == ["b"]
    assert part.get_flag("a") is None
    assert part.only_accessed().keys == []
    part.get_flag("b")
    assert part.only_accessed().keys == ["b"]
    assert sorted(flags.only_accessed().keys) == ["a", "c"]
    assert sum("nobody, nothing" in line for line in caplog.messages) == 1


def test_reasons_are_on_the_original_only(server: FlagServer, client: MakeClient) -> None:
    """A part is about values; why others have none is asked of the whole."""
    server.definitions = definitions(STICKY, BLUE)
    flags = client(local=True).evaluate_flags("u1", only_evaluate_locally=True)
    assert list(flags.unresolved_flags) == ["sticky"]
    assert dict(flags.only(["blue"]).unresolved_flags) == {}
    assert dict(flags.only_accessed().unresolved_flags) == {}


def test_flags_on_an_event(server: FlagServer, client: MakeClient) -> None:
    """`capture(flags=...)` adds every value and the enabled keys, asks nobody, reports no read; the caller's properties win."""
    server.flags = remote(record("b", "v"), record("a"), record("c", False))
    phtrack = client()
    flags = phtrack.evaluate_flags("u1", groups={"company": "acme"})
    phtrack.capture("e", distinct_id="u1", flags=flags, properties={"$feature/a": "mine"})
    phtrack.capture("e", distinct_id="u1", flags=flags.only(["c"]))
    first, second = [event["properties"] for event in phtrack.events("e")]
    assert (first["$feature/a"], first["$feature/b"], first["$feature/c"]) == ("mine", "v", False)
    assert first["$active_feature_flags"] == ["a", "b"]
    assert "$groups" not in first
    assert second["$feature/c"] is False
    assert "$active_feature_flags" not in second
    assert phtrack.called() == []
    assert len(server.asked) == 1


def test_flags_win_over_send_feature_flags(server: FlagServer, client: MakeClient) -> None:
    """Given both, the snapshot is used, and nobody is asked."""
    server.flags = remote(record("a"))
    phtrack = client()
    flags = phtrack.evaluate_flags("u1")
    with pytest.warns(DeprecationWarning):
        phtrack.capture("e", distinct_id="u1", flags=flags, send_feature_flags=True)
    assert phtrack.events("e")[0]["properties"]["$feature/a"] is True
    assert len(server.asked) == 1


def test_a_snapshot_after_the_end_of_its_client(server: FlagServer, client: MakeClient) -> None:
    """Values stay readable; there is nobody left to report to."""
    server.flags = remote(record("a"))
    phtrack = client()
    flags = phtrack.evaluate_flags("u1")
    phtrack.shutdown()
    assert flags.get_flag("a") is True
    assert phtrack.called() == []
