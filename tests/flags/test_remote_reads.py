"""Reads that the server answers: what is asked, what is made of the answer, what is reported."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from phtrack import context
from phtrack.flags.values import FeatureFlag, FeatureFlagResult
from tests.flags.conftest import MakeClient
from tests.flags.server import Answer, FlagServer, record, remote

# --- the request -----------------------------------------------------------------------------------------------------


def test_what_a_single_read_asks(server: FlagServer, client: MakeClient) -> None:
    """The body has the contract's fields, only the groups at hand, and exactly the one key; there is no Authorization."""
    server.flags = remote(record("new-nav", "blue"))
    value = client().get_feature_flag(
        "new-nav",
        "u1",
        groups={"company": "acme"},
        person_properties={"plan": "pro", "since": uuid.UUID(int=1)},
        group_properties={"company": {"name": "Acme"}, "team": {"x": 1}},
        device_id="d1",
    )
    (request,) = server.to("/flags/")
    sent_at = request.body.pop("sent_at")
    assert value == "blue"
    assert request.query == {"v": ["2"]}
    assert "authorization" not in request.headers
    assert request.headers["content-type"] == "application/json"
    assert sent_at.endswith("+00:00")
    assert request.body == {
        "api_key": "phc_key",
        "token": "phc_key",
        "distinct_id": "u1",
        "groups": {"company": "acme"},
        "person_properties": {"plan": "pro", "since": str(uuid.UUID(int=1))},
        "group_properties": {"company": {"$group_key": "acme", "name": "Acme"}},
        "geoip_disable": True,
        "device_id": "d1",
        "flag_keys_to_evaluate": ["new-nav"],
    }


def test_what_is_not_given_is_empty_or_absent(server: FlagServer, client: MakeClient) -> None:
    """Maps are empty, never null; keys are absent when all flags are wanted."""
    client().get_all_flags("u1")
    (body,) = server.asked
    assert (body["groups"], body["person_properties"], body["group_properties"]) == ({}, {}, {})
    assert "flag_keys_to_evaluate" not in body
    assert "device_id" not in body


@pytest.mark.parametrize(
    ("option", "argument", "expected"),
    [(True, None, True), (False, None, False), (True, False, False), (False, True, True)],
)
def test_geoip_per_call_then_per_client(
    server: FlagServer, client: MakeClient, option: bool, argument: bool | None, expected: bool
) -> None:
    """A call's `disable_geoip` wins over the client's."""
    client(disable_geoip=option).get_feature_flag("f", "u1", disable_geoip=argument)
    assert server.asked[0]["geoip_disable"] is expected


@pytest.mark.parametrize(("given", "sent"), [(5, "5"), (uuid.UUID(int=2), str(uuid.UUID(int=2))), ("ü", "ü")])
def test_any_id_travels_as_text(server: FlagServer, client: MakeClient, given: Any, sent: str) -> None:
    """Numbers and UUIDs are ids too."""
    client().get_feature_flag("f", given)
    assert server.asked[0]["distinct_id"] == sent


def test_a_compressed_request(server: FlagServer, client: MakeClient) -> None:
    """With `gzip=True` the body is compressed and says so."""
    client(gzip=True).get_feature_flag("f", "u1")
    (request,) = server.to("/flags/")
    assert request.headers["content-encoding"] == "gzip"
    assert request.body["distinct_id"] == "u1"


def test_the_context_fills_what_is_not_given(server: FlagServer, client: MakeClient) -> None:
    """User, device, groups and properties come from the context, in every getter; arguments win."""
    phtrack = client()
    with context.new_context():
        context.identify_context("ctx")
        context.set_context_device_id("dev")
        context.tag("$groups", {"company": "acme"})
        phtrack.set_person_properties_for_flags({"plan": "pro", "age": 5})
        phtrack.set_group_properties_for_flags({"company": {"size": 3}})
        phtrack.get_feature_flag("f")
        phtrack.get_all_flags()
        phtrack.evaluate_flags()
        phtrack.get_feature_variants()
        phtrack.get_feature_flag("f", "arg", person_properties={"age": 6}, groups={}, device_id="other")
        phtrack.reset_person_properties_for_flags()
        phtrack.reset_group_properties_for_flags()
        phtrack.get_feature_flag("f")
    *filled, argued, reset = server.asked
    for body in filled:
        assert (body["distinct_id"], body["device_id"], body["groups"]) == ("ctx", "dev", {"company": "acme"})
        assert body["person_properties"] == {"plan": "pro", "age": 5}
        assert body["group_properties"] == {"company": {"$group_key": "acme", "size": 3}}
    assert len(filled) == 4
    assert (argued["distinct_id"], argued["device_id"], argued["groups"]) == ("arg", "other", {})
    assert argued["person_properties"] == {"plan": "pro", "age": 6}
    assert reset["person_properties"] == {}


def test_without_a_user_nothing_is_asked_and_nothing_sent(server: FlagServer, client: MakeClient) -> None:
    """No id, given or in the context: empty answers."""
    phtrack = client()
    assert phtrack.get_feature_flag("f") is None
    assert phtrack.feature_enabled("f", "") is None
    assert phtrack.get_feature_flag_result("f", None) is None
    assert phtrack.get_feature_flag_payload("f", None) is None
    assert phtrack.get_all_flags(None) is None
    assert phtrack.get_flags_decision() == {"flags": {}}
    assert phtrack.evaluate_flags().keys == []
    assert phtrack.evaluate_flags().is_enabled("f") is False
    assert server.requests == []
    assert phtrack.called() == []


def test_a_disabled_client_asks_nothing(server: FlagServer, client: MakeClient) -> None:
    """Disabled at the start, at run time, or after shutdown: no request."""
    off, late, ended = client(disabled=True, local=True), client(), client(local=True)
    late.disabled = True
    ended.shutdown()
    for phtrack in (off, late, ended):
        assert phtrack.get_feature_flag("f", "u1") is None
        assert phtrack.evaluate_flags("u1").keys == []
        assert phtrack.get_remote_config_payload("f") is None
        phtrack.load_feature_flags()
    assert server.requests == []


def test_nothing_is_asked_before_a_flag_is_read(server: FlagServer, client: MakeClient) -> None:
    """Making a client, capturing and ending it make no flag request."""
    phtrack = client(local=True)
    phtrack.capture("e", distinct_id="u1")
    phtrack.shutdown()
    assert server.requests == []


# --- the answer ------------------------------------------------------------------------------------------------------


def test_a_result_has_value_payload_and_reason(server: FlagServer, client: MakeClient) -> None:
    """What the server says about one flag, decoded."""
    server.flags = remote(
        record("new-nav", "blue", payload='{"x": 1}'), record("old", False), record("on", True, payload="nope")
    )
    phtrack = client()
    result = phtrack.get_feature_flag_result("new-nav", "u1")
    assert result == FeatureFlagResult("new-nav", True, "blue", {"x": 1}, "Matched condition set 1")
    assert result is not None
    assert result.get_value() == "blue"
    assert phtrack.get_feature_flag_result("old", "u1") == FeatureFlagResult(
        "old", False, None, None, "Matched condition set 1"
    )
    assert phtrack.get_feature_flag_result("nobody", "u1") is None
    assert phtrack.get_feature_flag_payload("new-nav", "u1") == {"x": 1}
    assert phtrack.get_feature_flag_payload("on", "u1") is None


def test_enabled_and_its_default(server: FlagServer, client: MakeClient) -> None:
    """Variants count as on; the default stands in for a missing value only."""
    server.flags = remote(record("v", "blue"), record("off", False))
    phtrack = client()
    assert phtrack.feature_enabled("v", "u1") is True
    assert phtrack.feature_enabled("off", "u1") is False
    assert phtrack.feature_enabled("off", "u1", default_value=True) is False
    assert phtrack.feature_enabled("nobody", "u1") is None
    assert phtrack.is_feature_enabled("nobody", "u1", default_value=True) is True


@pytest.mark.parametrize(
    ("text", "decoded"),
    [("null", None), ("NaN", None), ("[Infinity]", None), ("{", None), ('"a"', "a"), ("[1,2.5]", [1, 2.5]), ("12345678901234567890123", 12345678901234567890123)],
)  # fmt: skip
def test_payloads_are_strict_json(server: FlagServer, client: MakeClient, text: str, decoded: Any) -> None:
    """What no JSON parser of another language would read is no payload."""
    server.flags = remote(record("f", payload=text))
    assert client().get_feature_flag_payload("f", "u1") == decoded


def test_all_flags(server: FlagServer, client: MakeClient) -> None:
    """Bulk getters give values, raw payloads, and send no events; a flag the server could not evaluate has no value."""
    server.flags = remote(
        record("a", payload="[1]"), record("b", "v"), record("c", False), {**record("d"), "failed": True}
    )
    phtrack = client()
    values = {"a": True, "b": "v", "c": False}
    assert phtrack.get_all_flags("u1") == values
    assert phtrack.get_all_flags_and_payloads("u1") == {"featureFlags": values, "featureFlagPayloads": {"a": "[1]"}}
    assert phtrack.get_feature_variants("u1") == values
    assert phtrack.get_feature_payloads("u1") == {"a": "[1]"}
    assert phtrack.get_feature_flags_and_payloads("u1")["featureFlags"] == values
    phtrack.get_all_flags("u1", flag_keys_to_evaluate=["a"])
    assert server.asked[-1]["flag_keys_to_evaluate"] == ["a"]
    assert phtrack.called() == []


def test_the_decision_in_full(server: FlagServer, client: MakeClient) -> None:
    """The oldest getter gives records with reason and metadata, and what the answer says about itself."""
    server.flags = remote(record("a", "v", has_experiment=True), errorsWhileComputingFlags=True)
    decision = client().get_flags_decision("u1", {"company": "x"})
    flag = decision["flags"]["a"]
    assert isinstance(flag, FeatureFlag)
    assert (flag.get_value(), flag.metadata.id, flag.metadata.has_experiment) == ("v", 12, True)  # type: ignore[union-attr]
    assert flag.reason is not None
    assert flag.reason.code == "condition_match"
    assert decision["requestId"] == "req-1"
    assert decision["errorsWhileComputingFlags"] is True
    assert decision["evaluatedAt"] == 1700000000123


def test_the_answer_of_older_servers(server: FlagServer, client: MakeClient) -> None:
    """`featureFlags` and `featureFlagPayloads` are read too."""
    server.flags = Answer(
        {"featureFlags": {"a": True, "b": "v", "c": False, "d": 5}, "featureFlagPayloads": {"b": '{"z":1}'}}
    )
    phtrack = client()
    assert phtrack.get_all_flags("u1") == {"a": True, "b": "v", "c": False, "d": False}
    assert phtrack.get_feature_flag_result("b", "u1") == FeatureFlagResult("b", True, "v", {"z": 1}, None)


@pytest.mark.parametrize(
    ("value", "legacy", "payload"),
    [(None, False, None), (False, False, None), (True, True, None), ("v", "v", None), (5, True, 5), (2.5, True, 2.5), ({"a": 1}, True, {"a": 1})],
)  # fmt: skip
def test_typed_values(server: FlagServer, client: MakeClient, value: Any, legacy: Any, payload: Any) -> None:
    """Records of protocol 4 hold a typed value: numbers and objects are on, with the value as payload."""
    server.flags = Answer({"flags": {"f": {"value": value, "failed": False, "metadata": {"id": 1}}}})
    phtrack = client()
    assert phtrack.get_feature_flag("f", "u1") is legacy or phtrack.get_feature_flag("f", "u1") == legacy
    assert phtrack.get_feature_flag_payload("f", "u1") == payload


MALFORMED: list[Any] = [
    5, None, [], {**record("f"), "enabled": "yes"}, {**record("f"), "variant": 5}, {**record("f"), "reason": "x"}, {**record("f"), "metadata": []},
    record("f", id="12"), record("f", version=1.5), record("f", payload={}), record("f", description=5), {"value": []}, {**record("f"), "reason": {"code": 5}},
]  # fmt: skip


@pytest.mark.parametrize("broken", MALFORMED)
def test_a_malformed_record_is_off_and_costs_no_other(server: FlagServer, client: MakeClient, broken: Any) -> None:
    """One bad record is a disabled flag with `unknown_error`; its neighbour has its value."""
    server.flags = Answer({"flags": {"f": broken, "g": record("g", "v")}})
    phtrack = client()
    assert phtrack.get_feature_flag("f", "u1") is False
    assert phtrack.get_feature_flag("g", "u1") == "v"
    assert [one.get("$feature_flag_error") for one in phtrack.called()] == ["unknown_error", None]


def test_what_a_record_may_lack(server: FlagServer, client: MakeClient) -> None:
    """Whole floats count as ints, unknown fields are ignored, an odd `has_experiment` is unknown, the map's key counts."""
    server.flags = Answer(
        {
            "flags": {
                "f": {"key": "other", "enabled": True, "new": [], "metadata": {"id": 2.0, "has_experiment": "yes"}},
                "g": {},
            }
        }
    )
    phtrack = client()
    assert phtrack.get_feature_flag("f", "u1") is True
    assert phtrack.get_feature_flag("g", "u1") is False
    first = phtrack.called()[0]
    assert first["$feature_flag_id"] == 2
    assert "$feature_flag_has_experiment" not in first


# --- the event -------------------------------------------------------------------------------------------------------


def test_the_event_of_a_read(server: FlagServer, client: MakeClient) -> None:
    """`$feature_flag_called` says what was read, by whom, and what the server said."""
    server.flags = remote(record("new-nav", "blue", payload='{"x": 1}', has_experiment=True))
    phtrack = client()
    phtrack.get_feature_flag("new-nav", "u1", groups={"company": "acme"})
    (event,) = phtrack.events()
    properties = {
        key: value
        for key, value in event["properties"].items()
        if "feature" in key or key in ("$groups", "locally_evaluated")
    }
    assert event["distinct_id"] == "u1"
    assert event["properties"]["$lib"] == "phtrack"
    assert event["properties"]["$geoip_disable"] is True
    assert properties == {
        "$feature_flag": "new-nav",
        "$feature_flag_response": "blue",
        "$feature/new-nav": "blue",
        "locally_evaluated": False,
        "$feature_flag_payload": {"x": 1},
        "$feature_flag_id": 12,
        "$feature_flag_version": 9,
        "$feature_flag_reason": "Matched condition set 1",
        "$feature_flag_request_id": "req-1",
        "$feature_flag_evaluated_at": 1700000000123,
        "$feature_flag_has_experiment": True,
        "$groups": {"company": "acme"},
    }


def test_a_missing_flag_is_reported(server: FlagServer, client: MakeClient) -> None:
    """Reading a key that doesn't exist is an event with null and the reason."""
    phtrack = client()
    phtrack.get_feature_flag("typo", "u1")
    (properties,) = phtrack.called()
    assert properties["$feature_flag_response"] is None
    assert properties["$feature/typo"] is None
    assert properties["$feature_flag_error"] == "flag_missing"


def test_reads_are_reported_once_per_user_value_and_groups(server: FlagServer, client: MakeClient) -> None:
    """The same read again is silent; another user, value, key or group is not."""
    answers = iter([record("f"), record("f"), record("f"), record("f", "v"), record("f"), record("f"), record("g")])
    server.flags = lambda _: remote(next(answers))
    phtrack = client()
    for key, user, groups in [
        ("f", "u1", None), ("f", "u1", {}), ("f", "u2", None), ("f", "u1", None), ("f", "u1", {"company": "a"}), ("f", "u1", {"company": "a"}), ("g", "u1", None),
    ]:  # fmt: skip
        phtrack.get_feature_flag(key, user, groups=groups)
    got = [(one["distinct_id"], one["properties"]["$feature_flag_response"]) for one in phtrack.events()]
    assert got == [("u1", True), ("u2", True), ("u1", "v"), ("u1", True), ("u1", True)]
    assert set(phtrack.distinct_ids_feature_flags_reported) == {"u1", "u2"}


def test_reads_without_events_leave_no_mark(server: FlagServer, client: MakeClient) -> None:
    """`send_feature_flag_events=False` and payload reads send nothing, and the next read is still reported."""
    server.flags = remote(record("f", payload="1"))
    phtrack = client()
    phtrack.get_feature_flag("f", "u1", send_feature_flag_events=False)
    phtrack.get_feature_flag_payload("f", "u1")
    phtrack.feature_enabled("f", "u1", send_feature_flag_events=False)
    assert phtrack.called() == []
    phtrack.get_feature_flag("f", "u1")
    assert len(phtrack.called()) == 1


def test_a_payload_read_that_asks_for_events_warns(server: FlagServer, client: MakeClient) -> None:
    """The old way of exposing by payload still works, and says what to use."""
    server.flags = remote(record("f", payload="1"))
    phtrack = client()
    with pytest.warns(DeprecationWarning, match="get_feature_flag_result"):
        assert phtrack.get_feature_flag_payload("f", "u1", send_feature_flag_events=True) == 1
    assert len(phtrack.called()) == 1


def test_the_memory_of_reads_is_bounded(
    server: FlagServer, client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest users and reads give way; nothing is forgotten all at once."""
    monkeypatch.setattr("phtrack.flags.called.MAX_IDS", 3)
    monkeypatch.setattr("phtrack.flags.called.MAX_READS_PER_ID", 2)
    phtrack = client()
    for user in ("a", "b", "c", "d"):
        phtrack.get_feature_flag("f", user)
    assert list(phtrack.distinct_ids_feature_flags_reported) == ["b", "c", "d"]
    for key in ("g", "h"):
        phtrack.get_feature_flag(key, "d")
    assert [place[0] for place in phtrack.distinct_ids_feature_flags_reported["d"]] == ["g", "h"]


def test_an_event_that_before_send_dropped_stays_marked(server: FlagServer, client: MakeClient) -> None:
    """Whoever drops these events doesn't want to be asked again for each read."""
    seen: list[Any] = []
    phtrack = client(before_send=lambda event: seen.append(event["event"]))
    phtrack.get_feature_flag("f", "u1")
    phtrack.get_feature_flag("f", "u1")
    assert seen == ["$feature_flag_called"]


def test_an_event_that_could_not_be_captured_is_tried_again() -> None:
    """A failed enqueue is not remembered as sent."""
    from phtrack.flags.called import CalledEvents, Reading

    answers: list[Any] = [False, RuntimeError("full"), "uuid"]
    sent: list[str] = []

    def capture(event: str, **_: Any) -> Any:
        sent.append(event)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    events = CalledEvents(capture)
    events.report(Reading("f", True), "u1", None, None)
    with pytest.raises(RuntimeError):
        events.report(Reading("f", True), "u1", None, None)
    events.report(Reading("f", True), "u1", None, None)
    events.report(Reading("f", True), "u1", None, None)
    assert len(sent) == 3


def test_an_event_that_found_no_room_is_tried_again(server: FlagServer, client: MakeClient) -> None:
    """With a full queue the read is not taken for reported."""
    server.flags = remote(record("f"))
    phtrack = client(max_queue_size=1, flush_at=1)
    phtrack.capture("first", distinct_id="u1")
    phtrack.get_feature_flag("f", "u1")
    assert phtrack.called() == []
    phtrack.get_feature_flag("f", "u1")
    assert len(phtrack.called()) == 1


def test_concurrent_reads_send_one_event(server: FlagServer, client: MakeClient) -> None:
    """Of many threads that read the same flag for the same user at once, one reports it."""
    import threading

    server.flags = remote(record("f"))
    phtrack = client()
    barrier = threading.Barrier(12)

    def read() -> None:
        barrier.wait()
        phtrack.get_feature_flag("f", "u1")

    threads = [threading.Thread(target=read) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(phtrack.called()) == 1


KEPT = {
    "$feature_flag", "$feature_flag_response", "$feature_flag_has_experiment", "$feature_flag_id", "$feature_flag_version", "$feature_flag_reason",
    "$feature_flag_request_id", "$feature_flag_evaluated_at", "locally_evaluated", "$groups", "$session_id", "$lib", "$lib_version", "$is_server",
    "$geoip_disable", "$os", "$os_version", "$os_distro", "$python_runtime", "$python_version",
}  # fmt: skip


def test_minimal_events(server: FlagServer, client: MakeClient) -> None:
    """Where the server asks for it and the flag has no experiment, the event keeps an allow-list, super properties not among it."""
    server.flags = remote(record("f", has_experiment=False, payload="1"), minimalFlagCalledEvents=True)
    phtrack = client(super_properties={"team": "web"})
    with context.new_context():
        context.tag("t", 1)
        context.set_context_session("s")
        phtrack.get_feature_flag("f", "u1", groups={"company": "a"})
    (properties,) = phtrack.called()
    assert set(properties) <= KEPT
    assert {"$feature_flag", "$groups", "$session_id", "$feature_flag_reason", "$lib", "$is_server"} <= set(properties)


@pytest.mark.parametrize(
    ("gate", "experiment"), [(True, True), (True, None), (False, False), ("true", False), (1, False)]
)
def test_events_are_full_unless_all_is_certain(
    server: FlagServer, client: MakeClient, gate: Any, experiment: Any
) -> None:
    """Any doubt about the gate or the experiment keeps everything."""
    server.flags = remote(record("f", has_experiment=experiment), minimalFlagCalledEvents=gate)
    phtrack = client(super_properties={"team": "web"})
    phtrack.get_feature_flag("f", "u1")
    assert phtrack.called()[0]["team"] == "web"


RULE = "0190a5e0-0000-7000-8000-000000000001"


def typed(code: str, **metadata: Any) -> Answer:
    """An answer of protocol 4 with a rule."""
    about = {
        "id": 3,
        "config_version": 2,
        "rule_type": "experiment",
        "rule_id": RULE,
        "variant_key": "test",
        **metadata,
    }
    flag = {"value": "test", "failed": False, "reason": {"code": code, "description": "because"}, "metadata": about}
    return remote({"key": "f", **flag})


@pytest.mark.parametrize(
    ("code", "metadata", "attributed"),
    [
        ("experiment_split", {}, {"rule_id", "rule_type", "variant_key"}), ("holdout", {}, {"rule_id", "rule_type"}),
        ("targeting_match", {}, set()), ("targeting_match", {"rule_type": "targeted_release"}, {"rule_id", "rule_type"}),
        ("experiment_split", {"rule_id": "12"}, set()), ("rollout_miss", {"rule_type": "percentage_rollout"}, {"rule_id", "rule_type"}),
        ("unheard_of", {}, set()),
    ],
)  # fmt: skip
def test_attribution_of_rules(
    server: FlagServer, client: MakeClient, code: str, metadata: Any, attributed: set[str]
) -> None:
    """Version-2 records say which rule decided, where reason, rule type and id fit together, and drop the reason's text."""
    server.flags = typed(code, **metadata)
    phtrack = client()
    phtrack.get_feature_flag("f", "u1")
    (properties,) = phtrack.called()
    assert properties["$feature_flag_config_version"] == 2
    assert properties["$feature_flag_reason_code"] == code
    assert "$feature_flag_reason" not in properties
    names = ("rule_id", "rule_type", "variant_key")
    assert {name for name in names if f"$feature_flag_{name}" in properties} == attributed


def test_exposure_to_an_experiment(server: FlagServer, client: MakeClient) -> None:
    """A complete split is an exposure, once per user, groups, flag, rule and variant."""
    server.flags = typed("experiment_split")
    phtrack = client()
    for user in ("u1", "u1", "u2"):
        phtrack.get_feature_flag("f", user)
    events = phtrack.events("$experiment_exposure")
    assert [one["distinct_id"] for one in events] == ["u1", "u2"]
    properties = events[0]["properties"]
    assert properties["$feature_flag_rule_id"] == RULE
    assert properties["$feature_flag_variant_key"] == "test"
    assert (properties["$feature_flag_response"], properties["locally_evaluated"]) == ("test", False)
    server.flags = typed("experiment_split", variant_key=None)
    phtrack.get_feature_flag("f", "u3")
    assert len(phtrack.events("$experiment_exposure")) == 2


def test_reads_are_noted_for_exceptions(server: FlagServer, client: MakeClient) -> None:
    """Which flags the code had read is known when it fails."""
    server.flags = remote(record("f", "blue"))
    with context.new_context(fresh=True):
        client().get_feature_flag("f", "u1")
        around = context.surroundings()
        assert around is not None
        assert dict(around.flag_reads) == {"f": "blue"}


# --- remote config ---------------------------------------------------------------------------------------------------


def test_remote_config(server: FlagServer, client: MakeClient) -> None:
    """The decrypted payload is asked for with the secret key, and is the whole answer."""
    server.other = Answer({"a": 1})
    assert client(local=True).get_remote_config_payload("my key/1") == {"a": 1}
    (request,) = server.requests
    assert request.path == "/api/projects/@current/feature_flags/my%20key%2F1/remote_config"
    assert request.query == {"token": ["phc_key"]}
    assert request.headers["authorization"] == "Bearer phs_secret"
    server.other = Answer(status=404, data={})
    assert client(local=True).get_remote_config_payload("k") is None
    server.other = Answer(raw=b"not json")
    assert client(local=True).get_remote_config_payload("k") is None


def test_remote_config_needs_a_secret_key(server: FlagServer, client: MakeClient) -> None:
    """Without one there is a warning, no request, and None."""
    assert client().get_remote_config_payload("k") is None
    assert server.requests == []


# --- other events ----------------------------------------------------------------------------------------------------


def test_send_feature_flags_of_a_capture(server: FlagServer, client: MakeClient) -> None:
    """The deprecated way: one request per event, and its flags on the event; an error leaves the event without."""
    server.flags = remote(record("a", "v"), record("b", False))
    phtrack = client()
    with pytest.warns(DeprecationWarning, match="evaluate_flags"):
        phtrack.capture("e", distinct_id="u1", send_feature_flags=True)
        phtrack.capture(
            "e", distinct_id="u1", send_feature_flags={"flag_keys_filter": ["a"], "person_properties": {"x": 1}}
        )
        phtrack.capture("e", distinct_id="u1", send_feature_flags={"only_evaluate_locally": True})
        server.flags = Answer(status=500)
        phtrack.capture("e", distinct_id="u1", send_feature_flags=True)
    phtrack.capture("e", distinct_id="u1", send_feature_flags=False)
    first, second, *others = [event["properties"] for event in phtrack.events("e")]
    assert (first["$feature/a"], first["$feature/b"], first["$active_feature_flags"]) == ("v", False, ["a"])
    assert second["$feature/a"] == "v"
    assert server.asked[1]["flag_keys_to_evaluate"] == ["a"]
    assert server.asked[1]["person_properties"] == {"x": 1}
    assert not any("feature" in name for event in others for name in event)
    assert len(server.asked) == 3
    assert json.dumps(others)
