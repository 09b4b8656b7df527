"""Reads that the definitions answer, and where local and remote meet."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from phtrack import context
from phtrack.flags.values import FeatureFlagEvaluationRuntime, FeatureFlagResult
from tests.flags.conftest import MakeClient
from tests.flags.definitions import condition, flag, prop, variants
from tests.flags.server import Answer, FlagServer, definitions, record, remote

PRO = flag("pro", condition(prop("plan", "pro")), filters={"payloads": {"true": '{"a":1}'}}, version=4)
BLUE = flag("blue", filters={"multivariate": variants(blue=100), "payloads": {"blue": '"b"'}})
OFF = flag("off", active=False)
COMPANY = flag("company", filters={"aggregation_group_type_index": 0})
STICKY = flag("sticky", ensure_experience_continuity=True)


def test_a_local_value_needs_no_request(server: FlagServer, client: MakeClient) -> None:
    """With a secret key the definitions are loaded once, and reads that they answer stay in the process."""
    server.definitions = definitions(PRO, BLUE, OFF)
    phtrack = client(local=True)
    assert phtrack.get_feature_flag("pro", "u1", person_properties={"plan": "pro"}) is True
    assert phtrack.get_feature_flag("blue", "u1") == "blue"
    assert phtrack.feature_enabled("off", "u1") is False
    assert phtrack.get_feature_flag_result("pro", "u1", person_properties={"plan": "pro"}) == FeatureFlagResult(
        "pro", True, None, {"a": 1}, None
    )
    assert phtrack.get_feature_flag_payload("blue", "u1") == "b"
    assert (server.loads, server.asked) == (1, [])
    (load,) = server.to("/flags/definitions")
    assert load.query == {"token": ["phc_key"], "send_cohorts": [""]}
    assert load.headers["authorization"] == "Bearer phs_secret"
    assert "if-none-match" not in load.headers


def test_the_event_of_a_local_read(server: FlagServer, client: MakeClient) -> None:
    """A local read is reported with the definition's id, version and payload, and no request id."""
    server.definitions = definitions({**PRO, "has_experiment": False})
    phtrack = client(local=True)
    phtrack.get_feature_flag("pro", "u1", person_properties={"plan": "pro"})
    phtrack.get_feature_flag("pro", "u1", person_properties={"plan": "pro"})
    (properties,) = phtrack.called()
    assert {key: value for key, value in properties.items() if "feature" in key or key == "locally_evaluated"} == {
        "$feature_flag": "pro",
        "$feature_flag_response": True,
        "$feature/pro": True,
        "locally_evaluated": True,
        "$feature_flag_payload": {"a": 1},
        "$feature_flag_id": 1,
        "$feature_flag_version": 4,
        "$feature_flag_has_experiment": False,
    }


@pytest.mark.parametrize(("experiment", "small"), [(False, True), (True, False), (None, False)])
def test_minimal_events_by_the_definitions(
    server: FlagServer, client: MakeClient, experiment: Any, small: bool
) -> None:
    """The definitions' gate holds for local reads, also after a 304."""
    server.definitions = definitions(
        {**BLUE, "has_experiment": experiment}, minimal_flag_called_events=True, etag='"1"'
    )
    phtrack = client(local=True, super_properties={"team": "web"})
    phtrack.load_feature_flags()
    server.definitions = Answer(status=304)
    phtrack.load_feature_flags()
    phtrack.get_feature_flag("blue", "u1")
    phtrack.evaluate_flags("u2").get_flag("blue")
    assert [("team" not in properties) for properties in phtrack.called()] == [small, small]


def test_what_is_inconclusive_is_asked(server: FlagServer, client: MakeClient) -> None:
    """A missing property, an unknown key, a group that isn't given: one request with that key."""
    server.definitions = definitions(PRO, COMPANY, STICKY)
    server.flags = remote(record("pro", "r"), record("company", "r"), record("sticky", "r"), record("new", "r"))
    phtrack = client(local=True)
    for key in ("pro", "company", "sticky", "new"):
        assert phtrack.get_feature_flag(key, "u1") == "r"
    assert [body["flag_keys_to_evaluate"] for body in server.asked] == [["pro"], ["company"], ["sticky"], ["new"]]


def test_only_locally_never_asks(server: FlagServer, client: MakeClient) -> None:
    """`only_evaluate_locally` answers None where the definitions don't suffice, and says why in the event."""
    server.definitions = definitions(PRO)
    phtrack = client(local=True)
    assert phtrack.get_feature_flag("pro", "u1", only_evaluate_locally=True) is None
    assert phtrack.get_feature_flag("new", "u1", only_evaluate_locally=True) is None
    assert phtrack.get_all_flags("u1", only_evaluate_locally=True) == {}
    assert client().get_all_flags("u1", only_evaluate_locally=True) is None
    assert server.asked == []
    errors = [properties["$feature_flag_error"] for properties in phtrack.called()]
    assert errors == ["local_evaluation_inconclusive", "flag_missing"]


def test_without_a_secret_key_the_server_is_asked(
    server: FlagServer, client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """No secret key: no definitions, one warning, remote values."""
    server.flags = remote(record("f"))
    phtrack = client()
    for _ in range(3):
        assert phtrack.get_feature_flag("f", "u1") is True
    assert (server.loads, len(server.asked)) == (0, 3)
    assert sum("secret_key" in line for line in caplog.messages) == 1
    assert phtrack.poller is None


def test_local_evaluation_can_be_switched_off(server: FlagServer, client: MakeClient) -> None:
    """With `enable_local_evaluation=False` nothing is loaded or polled, secret key or not."""
    server.flags = remote(record("f"))
    phtrack = client(local=True, enable_local_evaluation=False)
    assert phtrack.get_feature_flag("f", "u1") is True
    phtrack.load_feature_flags()
    assert server.loads == 0
    assert phtrack.poller is None


def test_all_flags_are_local_only_if_all_are(server: FlagServer, client: MakeClient) -> None:
    """Bulk getters: local if everything resolves, else the server's answer in place of it."""
    server.definitions = definitions(PRO, BLUE)
    server.flags = remote(record("blue", "other"))
    phtrack = client(local=True)
    both = {"featureFlags": {"pro": True, "blue": "blue"}, "featureFlagPayloads": {"pro": '{"a":1}', "blue": '"b"'}}
    assert phtrack.get_all_flags_and_payloads("u1", person_properties={"plan": "pro"}) == both
    assert server.asked == []
    assert phtrack.get_all_flags("u1") == {"blue": "other"}
    assert phtrack.get_all_flags("u1", only_evaluate_locally=True) == {"blue": "blue"}
    assert phtrack.get_all_flags("u1", flag_keys_to_evaluate=["blue"]) == {"blue": "blue"}
    server.flags = Answer(status=500)
    assert phtrack.get_all_flags("u1") == {"blue": "blue"}


def test_a_key_that_nobody_knows_is_asked_once_per_refresh(server: FlagServer, client: MakeClient) -> None:
    """A typo doesn't cost a request per read; after the next load of the definitions it is asked again."""
    server.definitions = definitions(BLUE, etag='"1"')
    phtrack = client(local=True)
    for _ in range(3):
        assert phtrack.get_feature_flag("typo", "u1") is None
    assert len(server.asked) == 1
    server.definitions = Answer(status=304)
    phtrack.load_feature_flags()
    phtrack.get_feature_flag("typo", "u1")
    assert len(server.asked) == 2


def test_a_missing_key_in_an_incomplete_answer_is_asked_again(server: FlagServer, client: MakeClient) -> None:
    """What is missing because the server had trouble is not taken for absent."""
    server.definitions = definitions(BLUE)
    server.flags = remote(errorsWhileComputingFlags=True)
    phtrack = client(local=True)
    for _ in range(2):
        phtrack.get_feature_flag("new", "u1")
    assert len(server.asked) == 2
    assert phtrack.called()[0]["$feature_flag_error"] == "errors_while_computing_flags,flag_missing"


def test_the_payload_of_a_given_value(server: FlagServer, client: MakeClient) -> None:
    """`match_value` asks for the payload of that value, whoever the user is."""
    server.definitions = definitions(PRO)
    phtrack = client(local=True)
    assert phtrack.get_feature_flag_payload("pro", "u1", match_value=True) == {"a": 1}
    assert server.asked == []


def test_payloads_are_new_objects(server: FlagServer, client: MakeClient) -> None:
    """Changing a payload that was handed out changes nobody else's."""
    server.definitions = definitions(PRO)
    phtrack = client(local=True)
    phtrack.get_feature_flag_payload("pro", "u1", match_value=True)["a"] = 2
    assert phtrack.get_feature_flag_payload("pro", "u1", match_value=True) == {"a": 1}


def test_device_and_properties_of_the_context(server: FlagServer, client: MakeClient) -> None:
    """The context's device, groups and properties serve local evaluation as well."""
    device = flag("device", bucketing_identifier="device_id")
    server.definitions = definitions(PRO, COMPANY, device)
    phtrack = client(local=True)
    with context.new_context():
        context.identify_context("ctx")
        context.set_context_device_id("d")
        context.tag("$groups", {"company": 5})
        phtrack.set_person_properties_for_flags({"plan": "pro"})
        values = phtrack.get_all_flags(only_evaluate_locally=True)
    assert values == {"pro": True, "company": True, "device": True}


# --- definitions -----------------------------------------------------------------------------------------------------


def test_what_users_can_see_of_the_definitions(server: FlagServer, client: MakeClient) -> None:
    """Definitions, mapping, cohorts and runtimes are readable under the names they always had."""
    one = {**BLUE, "evaluation_runtime": "client"}
    server.definitions = definitions(one, {**PRO, "evaluation_runtime": "server"}, OFF, cohorts={"1": {}})
    phtrack = client(local=True)
    assert phtrack.feature_flag_definitions() is None
    phtrack.load_feature_flags()
    assert (
        phtrack.feature_flag_definitions()
        == phtrack.feature_flags
        == [one, {**PRO, "evaluation_runtime": "server"}, OFF]
    )
    assert phtrack.feature_flags_by_key["blue"] == one
    assert phtrack.group_type_mapping == {"0": "company", "1": "team"}
    assert phtrack.cohorts == {"1": {}}
    assert phtrack.get_feature_flag_evaluation_runtime("blue") is FeatureFlagEvaluationRuntime.CLIENT
    assert phtrack.get_feature_flag_evaluation_runtime("off") is FeatureFlagEvaluationRuntime.ALL
    assert phtrack.get_feature_flag_evaluation_runtime("nobody") is None
    assert phtrack.get_feature_flag_keys_by_evaluation_runtime("client") == ["blue", "off"]
    assert phtrack.get_feature_flag_keys_by_evaluation_runtime(FeatureFlagEvaluationRuntime.ALL) == ["off"]
    with pytest.raises(ValueError, match="browser"):
        phtrack.get_feature_flag_keys_by_evaluation_runtime("browser")


def test_definitions_can_be_set_by_hand(server: FlagServer, client: MakeClient) -> None:
    """Tests of applications put definitions in place without a server."""
    phtrack = client(enable_local_evaluation=False)
    phtrack.feature_flags = [BLUE, COMPANY]
    phtrack.group_type_mapping = {"0": "company"}
    phtrack.cohorts = {}
    assert phtrack.get_feature_flag("blue", "u1") == "blue"
    assert phtrack.get_feature_flag("company", "u1", groups={"company": "a"}) is True
    assert server.requests == []


def test_one_load_for_many_first_callers(server: FlagServer, client: MakeClient) -> None:
    """Threads that read their first flag at the same time wait for the same load."""
    gate = threading.Event()
    server.definitions = definitions(BLUE)
    server.definitions.hold = gate
    phtrack = client(local=True)
    values: list[Any] = []
    threads = [
        threading.Thread(target=lambda: values.append(phtrack.get_feature_flag("blue", "u1"))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    server.wait_for("/flags/definitions", 1)
    gate.set()
    for thread in threads:
        thread.join()
    assert values == ["blue"] * 20
    assert (server.loads, server.asked) == (1, [])


def test_flags_that_always_need_the_server_are_named_once(
    server: FlagServer, client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """After a load the log says which definitions can't be evaluated here, and why, once per version."""
    caplog.set_level("INFO", logger="phtrack")
    server.definitions = definitions(STICKY, {**STICKY, "key": "browser", "evaluation_runtime": "client"}, BLUE)
    phtrack = client(local=True)
    for _ in range(2):
        phtrack.load_feature_flags()
    lines = [line for line in caplog.messages if "evaluated locally" in line]
    assert lines == ["feature flag 'sticky' can't be evaluated locally: experience_continuity"]
