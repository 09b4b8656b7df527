"""phtrack behind OpenFeature's own client and API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.track import TrackingEventDetails
from phtrack.integrations.openfeature import PhtrackProvider

import phtrack
from phtrack import context
from phtrack.async_client import AsyncPosthog
from phtrack.testing import RecordingTransport
from tests.flags.conftest import MakeClient
from tests.flags.definitions import condition, flag, prop, variants
from tests.flags.server import Answer, FlagServer, definitions, record, remote

PRO = flag("pro", condition(prop("plan", "pro")), version=3)
BLUE = flag("blue", filters={"multivariate": variants(blue=100)})
COMPANY = flag("company", condition(prop("size", 5, "gte")), filters={"aggregation_group_type_index": 0})


@pytest.fixture(autouse=True)
def _no_provider() -> Iterator[None]:
    yield
    api.clear_providers()


def values(*payloads: Any) -> list[Any]:
    import json

    return [flag(f"p{n}", filters={"payloads": {"true": json.dumps(one)}}) for n, one in enumerate(payloads)]


def test_values_through_the_standard_client(server: FlagServer, client: MakeClient) -> None:
    """Targeting key, person properties, groups: evaluated locally, reported once."""
    server.definitions = definitions(PRO, BLUE, COMPANY, flag("off", active=False))
    watched = client(local=True)
    api.set_provider_and_wait(PhtrackProvider(watched))
    assert server.loads == 1
    flags = api.get_client()
    pro = EvaluationContext("u1", {"plan": "pro"})
    assert flags.get_boolean_value("pro", False, pro) is True
    assert flags.get_boolean_value("pro", True, EvaluationContext("u1", {"plan": "free"})) is False
    assert flags.get_string_value("blue", "x", pro) == "blue"
    assert flags.get_boolean_value("blue", False, pro) is True
    grouped = {"groups": {"company": "acme"}, "group_properties": {"company": {"size": 9}}}
    assert flags.get_boolean_value("company", False, EvaluationContext("u1", grouped)) is True
    assert flags.get_string_value("off", "fallback", pro) == "fallback"
    details = flags.get_boolean_details("pro", False, pro)
    assert (details.reason, details.error_code) == (Reason.TARGETING_MATCH, None)
    assert dict(details.flag_metadata) == {"locally_evaluated": True, "id": 1, "version": 3}
    details = flags.get_string_details("blue", "x", pro)
    assert (details.reason, details.variant) == (Reason.SPLIT, "blue")
    assert flags.get_boolean_details("off", True, pro).reason == Reason.DEFAULT
    assert server.asked == []
    called = [(one["$feature_flag"], one["$feature_flag_response"]) for one in watched.called()]
    assert called == [("pro", True), ("pro", False), ("blue", "blue"), ("company", True), ("off", False)]


def test_kinds_of_values(server: FlagServer, client: MakeClient) -> None:
    """Numbers, objects and text come from payloads; what is of another kind is a type mismatch with the default."""
    server.definitions = definitions(
        *values(5, 2.5, {"a": [1]}, [1], "text", True), flag("v7", filters={"multivariate": variants(**{"7": 100})})
    )
    api.set_provider_and_wait(PhtrackProvider(client(local=True)))
    flags, user = api.get_client(), EvaluationContext("u1")
    assert flags.get_integer_value("p0", 0, user) == 5
    assert flags.get_float_value("p1", 0.0, user) == 2.5
    assert flags.get_object_value("p2", {}, user) == {"a": [1]}
    assert flags.get_object_value("p3", [], user) == [1]
    assert flags.get_string_value("p4", "", user) == "text"
    assert flags.get_integer_value("v7", 0, user) == 7
    for key, read, default in [
        ("p1", flags.get_integer_details, 3), ("p5", flags.get_integer_details, 3), ("p4", flags.get_object_details, {}), ("p0", flags.get_string_details, "d"),
    ]:  # fmt: skip
        details = read(key, default, user)  # type: ignore[operator]
        assert (details.value, details.error_code) == (default, ErrorCode.TYPE_MISMATCH)


def test_errors_give_the_default_and_say_why(server: FlagServer, client: MakeClient) -> None:
    """Unknown flag, no user, server down: the default, and OpenFeature's word for it."""
    watched = client(flag_fallback_cache_url="memory://local/")
    api.set_provider_and_wait(PhtrackProvider(watched))
    flags, user = api.get_client(), EvaluationContext("u1")
    assert flags.get_boolean_details("nobody", True, user).error_code == ErrorCode.FLAG_NOT_FOUND
    assert flags.get_boolean_details("f", True).error_code == ErrorCode.TARGETING_KEY_MISSING
    server.flags = remote(record("f", False))
    assert flags.get_boolean_value("f", True, user) is False
    server.flags = Answer(status=500)
    stale = flags.get_boolean_details("f", True, user)
    assert (stale.value, stale.reason) == (False, Reason.STALE)
    failed = flags.get_boolean_details("g", True, user)
    assert (failed.value, failed.error_code, failed.error_message) == (True, ErrorCode.GENERAL, "api_error_500")


def test_the_context_names_the_user(server: FlagServer, client: MakeClient) -> None:
    """Without a targeting key the user is the phtrack context's."""
    server.definitions = definitions(BLUE)
    api.set_provider_and_wait(PhtrackProvider(client(local=True), send_feature_flag_events=False))
    with context.new_context():
        context.identify_context("ctx")
        assert api.get_client().get_string_value("blue", "x") == "blue"


def test_the_default_client(server: FlagServer) -> None:
    """Without a client, the provider uses whatever the default client is when it is asked."""
    outbox = RecordingTransport()
    provider = PhtrackProvider()
    phtrack.init("phc_key", server.url, transport=outbox)  # type: ignore[call-arg]
    server.flags = remote(record("f"))
    api.set_provider_and_wait(provider)
    assert api.get_client().get_boolean_value("f", False, EvaluationContext("u1")) is True
    phtrack.shutdown()


def test_tracking_is_an_event(server: FlagServer, client: MakeClient) -> None:
    """OpenFeature's `track` captures an event for the targeting key."""
    watched = client()
    provider = PhtrackProvider(watched)
    provider.track("ordered", EvaluationContext("u1"), TrackingEventDetails(9.5, {"sku": "x"}))
    provider.track("seen", EvaluationContext("u1", {"groups": {"company": "a"}}))
    (ordered,), (seen,) = watched.events("ordered"), watched.events("seen")
    assert ordered["distinct_id"] == "u1"
    assert (ordered["properties"]["value"], ordered["properties"]["sku"]) == (9.5, "x")
    assert seen["properties"]["$groups"] == {"company": "a"}


@pytest.mark.parametrize("face", [False, True])
def test_async_resolution(server: FlagServer, face: bool) -> None:
    """The async calls of OpenFeature, over a plain and over an async client."""
    server.definitions = definitions(PRO, BLUE, *values(5, {"a": 1}))
    server.flags = remote(record("pro"))

    async def program() -> None:
        async with AsyncPosthog(
            "phc_key", server.url, transport=RecordingTransport(), secret_key="s", poll_interval=3600
        ) as posthog:
            provider = PhtrackProvider(posthog if face else posthog.client)
            user = EvaluationContext("u1")
            assert (await provider.resolve_string_details_async("blue", "x", user)).value == "blue"
            assert (await provider.resolve_boolean_details_async("pro", False, user)).value is True
            assert (await provider.resolve_integer_details_async("p0", 0, user)).value == 5
            assert (await provider.resolve_float_details_async("p0", 0.0, user)).value == 5
            assert (await provider.resolve_object_details_async("p1", {}, user)).value == {"a": 1}

    asyncio.run(program())
    assert len(server.asked) == 1
