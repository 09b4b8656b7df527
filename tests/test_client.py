"""The public calls: what they put on the wire, what they return, and that they never hurt."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import phtrack
from phtrack.testing import FakeClock, RecordingTransport

Make = Callable[..., phtrack.Posthog]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes clients that record instead of sending, and shuts them down."""
    made: list[phtrack.Posthog] = []

    def make(key: str | None = "phc_test", **options: Any) -> phtrack.Posthog:
        client = phtrack.Posthog(key, transport=RecordingTransport(), clock=FakeClock(), **options)
        made.append(client)
        return client

    yield make
    for client in made:
        client.shutdown()


def events(client: phtrack.Posthog) -> list[dict[str, Any]]:
    client.flush()
    recorded: list[dict[str, Any]] = client._delivery._transport.events  # type: ignore[attr-defined]
    return recorded


# --- capture -----------------------------------------------------------------------------------------------------------


def test_an_event_has_what_the_server_needs(make: Make) -> None:
    """Name, id, uuid, UTC time, and the facts of the program; the caller's properties untouched."""
    client = make()
    given = {"total": 3, "at": "2025-01-02T08:34:05+05:30"}
    sent = client.capture("order placed", distinct_id="u1", properties=given)
    (event,) = events(client)
    assert event["event"] == "order placed"
    assert event["distinct_id"] == "u1"
    assert event["uuid"] == sent
    assert dt.datetime.fromisoformat(event["timestamp"]).utcoffset() == dt.timedelta(0)
    properties = event["properties"]
    assert properties["total"] == 3
    assert properties["at"] == "2025-01-02T08:34:05+05:30"
    assert properties["$lib"] == "phtrack"
    assert properties["$lib_version"] == phtrack.VERSION
    assert properties["$is_server"] is True
    assert properties["$geoip_disable"] is True
    assert {"$python_runtime", "$python_version", "$os", "$os_version"} <= set(properties)
    assert "$process_person_profile" not in properties
    assert "$context_tags" not in properties
    assert given == {"total": 3, "at": "2025-01-02T08:34:05+05:30"}


def test_without_an_id_an_event_is_personless(make: Make) -> None:
    """Nobody is made up: a random id, and no person profile; the caller may say otherwise."""
    client = make()
    client.capture("a")
    client.capture("b", properties={"$process_person_profile": True})
    client.capture("c", distinct_id=0)
    first, second, third = events(client)
    assert first["properties"]["$process_person_profile"] is False
    assert uuid.UUID(first["distinct_id"])
    assert second["properties"]["$process_person_profile"] is True
    assert third["distinct_id"] == "0"
    assert "$process_person_profile" not in third["properties"]


def test_a_context_fills_in_and_arguments_win(make: Make) -> None:
    """Explicit argument over property over context over generated."""
    client = make()
    with client.new_context():
        client.identify_context("u1")
        client.set_context_session("s1")
        client.tag("plan", "pro")
        client.tag("a", 1)
        client.capture("x", properties={"plan": "free"})
        client.capture("y", distinct_id="u2", properties={"$session_id": "s2"})
    first, second = events(client)
    assert (first["distinct_id"], first["properties"]["$session_id"]) == ("u1", "s1")
    assert first["properties"]["plan"] == "free"
    assert first["properties"]["$context_tags"] == ["a", "plan"]
    assert (second["distinct_id"], second["properties"]["$session_id"]) == ("u2", "s2")
    assert second["properties"]["plan"] == "pro"


def test_values_are_frozen_at_the_call(make: Make) -> None:
    """What the program changes afterwards is not in the event."""
    client = make()
    cart = ["apple"]
    client.capture("x", distinct_id="u", properties={"cart": cart})
    cart.append("pear")
    assert events(client)[0]["properties"]["cart"] == ["apple"]


def test_super_properties_win_but_not_over_ours(make: Make) -> None:
    """They override the caller's, never what says which SDK sent it."""
    client = make(super_properties={"env": "prod", "$lib": "x", "$is_server": False, "$exception_level": "x"})
    client.capture("x", distinct_id="u", properties={"env": "dev"})
    client.set(distinct_id="u", properties={"a": 1})
    first, second = events(client)
    assert first["properties"]["env"] == second["properties"]["env"] == "prod"
    assert first["properties"]["$lib"] == "phtrack"
    assert first["properties"]["$is_server"] is True
    assert "$exception_level" not in first["properties"]


def test_geoip_and_server_marks_follow_the_options(make: Make) -> None:
    """Off means absent, and a call's argument wins over the client's option."""
    client = make(disable_geoip=False, is_server=False)
    client.capture("a", distinct_id="u")
    client.capture("b", distinct_id="u", disable_geoip=True)
    first, second = events(client)
    assert "$geoip_disable" not in first["properties"]
    assert "$is_server" not in first["properties"]
    assert second["properties"]["$geoip_disable"] is True


def test_ids_and_times_of_the_caller_are_kept(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A valid uuid goes out verbatim, an invalid one is replaced and told; times become UTC."""
    client = make()
    mine = "018f0000-0000-7000-8000-00000000000A"
    assert client.capture("a", distinct_id="u", uuid=mine, timestamp=dt.date(2025, 1, 2)) == mine
    other = client.capture("b", distinct_id="u", uuid="nonsense")
    first, second = events(client)
    assert first["uuid"] == mine
    assert first["timestamp"] == "2025-01-02T00:00:00+00:00"
    assert second["uuid"] == other != "nonsense"
    assert "nonsense" in caplog.text


def test_groups_travel_with_the_event(make: Make) -> None:
    """`groups` becomes `$groups`."""
    client = make()
    client.capture("a", distinct_id="u", groups={"company": "acme"})
    assert events(client)[0]["properties"]["$groups"] == {"company": "acme"}


@pytest.mark.parametrize("name", [None, ""])
def test_an_event_needs_a_name(make: Make, name: Any) -> None:
    """Without one nothing is sent, and nothing raised."""
    client = make()
    assert client.capture(name) is None
    assert events(client) == []


def test_odd_input_costs_neither_the_event_nor_its_neighbours(make: Make) -> None:
    """Surrogates, odd keys, cycles and huge numbers leave a valid event."""
    client = make()
    loop: dict[Any, Any] = {}
    loop["self"] = loop
    odd = {"s": "a\ud800", (1, 2): 1, "c": 1j, "n": 10**5000, "loop": loop, "o": object()}
    assert client.capture("odd", distinct_id="u", properties=odd)
    assert client.capture("e" * 500, distinct_id="u", properties="not a dict")  # type: ignore[arg-type]
    assert client.capture("next", distinct_id="u")
    first, second, third = events(client)
    assert first["properties"]["(1, 2)"] == 1
    assert first["properties"]["n"] == "<int>"
    assert len(second["event"]) == 200
    assert third["event"] == "next"


def test_an_event_over_the_limit_is_dropped_and_counted(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """More than 900 KiB is told by name and size, without content."""
    client = make()
    assert client.capture("big", distinct_id="u", properties={"x": "secret" * 200_000}) is None
    assert client.stats()["counters"]["dropped:too_large"] == 1
    assert "big" in caplog.text
    assert "secret" not in caplog.text
    assert client.capture_ai("$ai_generation", distinct_id="u", properties={"x": "y" * 1_200_000})


# --- persons and groups ------------------------------------------------------------------------------------------------


def test_set_sends_only_the_persons_properties(make: Make) -> None:
    """Context tags and the session are not written into the person."""
    client = make()
    with client.new_context():
        client.identify_context("u1")
        client.tag("request", 1)
        client.set_context_session("s")
        assert client.set(properties={"plan": "pro"})
        assert client.set_once(properties={"first": 1})
    first, second = events(client)
    assert (first["event"], first["distinct_id"], first["$set"]) == ("$set", "u1", {"plan": "pro"})
    assert (second["event"], second["$set_once"]) == ("$set_once", {"first": 1})
    assert set(first["properties"]) >= {"$lib", "$lib_version", "$is_server", "$geoip_disable"}
    assert not {"request", "$context_tags", "$session_id", "$python_version"} & set(first["properties"])


def test_set_needs_an_id_and_properties(make: Make) -> None:
    """Otherwise nothing is sent."""
    client = make()
    assert client.set(properties={"a": 1}) is None
    assert client.set(distinct_id="u", properties={}) is None
    assert client.set_once(distinct_id="u") is None
    assert events(client) == []


def test_alias_names_both_ids(make: Make) -> None:
    """The event belongs to the previous id."""
    client = make()
    client.alias("anon-1", "u1")
    assert client.alias(None, "u1") is None
    (event,) = events(client)
    assert event["event"] == "$create_alias"
    assert event["distinct_id"] == "anon-1"
    assert event["properties"]["distinct_id"] == "anon-1"
    assert event["properties"]["alias"] == "u1"


def test_a_group_makes_up_no_person(make: Make) -> None:
    """Without an id the event belongs to the group's own."""
    client = make()
    client.group_identify("company", "acme", {"name": "Acme"})
    client.group_identify("company", 5, distinct_id="u1")
    assert client.group_identify("", "x") is None
    first, second = events(client)
    assert first["distinct_id"] == "$company_acme"
    assert first["properties"]["$group_type"] == "company"
    assert first["properties"]["$group_key"] == "acme"
    assert first["properties"]["$group_set"] == {"name": "Acme"}
    assert (second["distinct_id"], second["properties"]["$group_key"]) == ("u1", "5")


# --- before_send -------------------------------------------------------------------------------------------------------


def test_before_send_sees_the_whole_event_and_may_change_it(make: Make) -> None:
    """Hooks run in order on the cleaned event; the uuid that was set is the one returned."""
    seen: list[dict[str, Any]] = []
    mine = "018f0000-0000-7000-8000-000000000001"

    def first(event: dict[str, Any]) -> dict[str, Any]:
        seen.append(dict(event))
        event["uuid"] = mine
        event["properties"]["odd"] = {1, 2}
        return event

    def second(event: dict[str, Any]) -> dict[str, Any]:
        assert event["uuid"] == mine
        event["properties"].pop("secret")
        return event

    client = make(before_send=[first, second])
    assert client.capture("x", distinct_id="u", properties={"secret": 1, "t": (1,)}) == mine
    (event,) = events(client)
    assert seen[0]["properties"]["t"] == [1]
    assert seen[0]["properties"]["$lib"] == "phtrack"
    assert event["properties"]["odd"] == [1, 2]
    assert "secret" not in event["properties"]


def test_before_send_drops_and_fails_closed(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """None drops silently; an error or a wrong answer drops with a warning; all are counted."""

    def decide(event: dict[str, Any]) -> Any:
        if event["event"] == "raise":
            raise RuntimeError("no")
        return {"drop": None, "wrong": 5}.get(event["event"], event)

    client = make(before_send=decide)
    assert client.capture("drop") is client.capture("raise") is client.capture("wrong") is None
    assert client.capture("keep")
    assert [event["event"] for event in events(client)] == ["keep"]
    counters = client.stats()["counters"]
    assert counters["dropped:before_send"] == 1
    assert counters["dropped:before_send_failed"] == 2
    assert "RuntimeError" in caplog.text


def test_before_send_sees_exceptions_and_persons(make: Make) -> None:
    """Every kind of event passes it, exceptions fully rendered."""
    seen: list[dict[str, Any]] = []

    def look(event: dict[str, Any]) -> dict[str, Any]:
        seen.append(event)
        return event

    client = make(before_send=look)
    client.set(distinct_id="u", properties={"a": 1})
    try:
        {}["x"]
    except KeyError as error:
        assert client.capture_exception(error)
    client.flush()
    assert [one["event"] for one in seen] == ["$set", "$exception"]
    assert seen[1]["properties"]["$exception_list"][0]["type"] == "KeyError"


# --- modes -------------------------------------------------------------------------------------------------------------


def test_a_blank_key_disables_with_one_line(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """No exception: the program runs on without phtrack."""
    for key in ("", "  ", None):
        client = make(key)
        assert client.disabled
        assert client.capture("x", distinct_id="u") is None
        assert client.capture_exception(ValueError()) is None
        assert client.set(distinct_id="u", properties={"a": 1}) is None
        client.flush()
    assert len([record for record in caplog.records if "project_api_key" in record.message]) == 1


def test_disabled_can_be_switched_at_run_time(make: Make) -> None:
    """`client.disabled = True` stops everything until it is taken back."""
    client = make()
    client.disabled = True
    assert client.capture("a") is None
    client.disabled = False
    assert client.capture("b")
    assert [event["event"] for event in events(client)] == ["b"]


def test_opting_out_is_silent(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Opted out, every call answers None and says nothing."""
    client = make()
    client.opt_out()
    assert client.is_opted_out()
    assert client.capture("a") is None
    client.opt_in()
    assert client.capture("b")
    assert not caplog.records


def test_send_false_does_everything_but_send(make: Make) -> None:
    """The uuid is returned, nothing leaves."""
    client = make(send=False)
    assert client.capture("a", distinct_id="u")
    assert events(client) == []


def test_sync_mode_sends_at_once(make: Make) -> None:
    """Each event is one request, made before the call returns."""
    client = make(sync_mode=True)
    client.capture("a", distinct_id="u")
    assert len(client._delivery._transport.requests) == 1  # type: ignore[attr-defined]


def test_after_shutdown_nothing_is_captured(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Later captures answer None with a warning; flush and shutdown do nothing."""
    client = make()
    client.capture("a", distinct_id="u")
    client.shutdown()
    assert client.capture("b") is None
    client.shutdown()
    assert client.flush() is True
    assert "shutdown" in caplog.text
    assert [event["event"] for event in client._delivery._transport.events] == ["a"]  # type: ignore[attr-defined]


def test_debug_raises_what_is_otherwise_swallowed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An internal error shows itself to a developer, and only to one."""
    from phtrack import _guard

    monkeypatch.setattr(_guard, "STRICT", False)

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("inside")

    calm, loud = make(), make(debug=True)
    monkeypatch.setattr(calm._pipeline, "event", broken)
    monkeypatch.setattr(loud._pipeline, "event", broken)
    assert calm.capture("a") is None
    assert calm.stats()["counters"]["dropped:internal_error"] == 1
    with pytest.raises(RuntimeError, match="inside"):
        loud.capture("a")


def test_a_second_client_for_the_same_project_is_told(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """One warning; both work."""
    first, second = make(), make()
    assert first.capture("a") and second.capture("b")
    assert len([record for record in caplog.records if "another client" in record.message]) == 1


# --- module functions ----------------------------------------------------------------------------------------------------


def test_module_functions_act_on_the_default_client() -> None:
    """`init` makes it, `capture` uses it, `shutdown` ends it."""
    transport = RecordingTransport()
    client = phtrack.init("phc_test", transport=transport, clock=FakeClock())  # type: ignore[call-arg]
    assert phtrack.default_client is client
    assert phtrack.capture("a", distinct_id="u")
    assert phtrack.set(distinct_id="u", properties={"a": 1})
    phtrack.flush()
    assert [event["event"] for event in transport.events] == ["a", "$set"]
    phtrack.shutdown()
    assert phtrack.capture("b") is None


def test_module_settings_make_a_client_at_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the `posthog` package: set names on the module, then call."""
    monkeypatch.setattr(phtrack, "api_key", "phc_module")
    monkeypatch.setattr(phtrack, "host", "http://127.0.0.1:9")
    monkeypatch.setattr(phtrack, "flush_at", 7, raising=False)
    monkeypatch.setattr(phtrack, "send", False, raising=False)
    assert phtrack.capture("a", distinct_id="u")
    client = phtrack.default_client
    assert client is not None
    assert (client.api_key, client.host, client.options.delivery.flush_at) == ("phc_module", "http://127.0.0.1:9", 7)


def test_module_switches_apply_at_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """`phtrack.disabled` and `phtrack.before_send` are read at every call."""
    transport = RecordingTransport()
    phtrack.init("phc_test", transport=transport, clock=FakeClock())  # type: ignore[call-arg]
    monkeypatch.setattr(phtrack, "disabled", True)
    assert phtrack.capture("a") is None
    monkeypatch.setattr(phtrack, "disabled", False)
    monkeypatch.setattr(phtrack, "before_send", lambda event: None)
    assert phtrack.capture("b") is None
    monkeypatch.setattr(phtrack, "before_send", None)
    assert phtrack.capture("c")
    phtrack.flush()
    assert [event["event"] for event in transport.events] == ["c"]


def test_without_a_key_module_calls_do_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A program that imports phtrack and sets nothing up runs as before."""
    assert phtrack.capture("a") is None
    assert "project_api_key" in caplog.text


def test_every_public_name_is_there() -> None:
    """`__all__` is exactly what the tables of lazy names hold, and importing all of it works."""
    assert set(phtrack.__all__) == {
        "VERSION",
        "__version__",
        "init",
        "setup",
        "shutdown",
        *phtrack._NAMES,
        *phtrack._CALLS,
    }
    for name in phtrack.__all__:
        assert getattr(phtrack, name) is not None
    with pytest.raises(AttributeError):
        phtrack.no_such_name  # noqa: B018


def test_option_names_and_types_agree() -> None:
    """`ClientOptions` lists exactly the options there are (and the key's alias)."""
    from phtrack.arguments import ClientOptions
    from phtrack.options import GROUP_OF

    assert set(ClientOptions.__annotations__) == (set(GROUP_OF) - {"project_api_key", "host"}) | {"api_key"}


def test_posthogs_positional_order_is_kept(make: Make) -> None:
    """Code that passes the first options by position keeps working."""
    client = phtrack.Posthog("k", "http://127.0.0.1:9", False, 77, False)
    assert (client.debug, client.options.delivery.max_queue_size, client.send) == (False, 77, False)
    client.shutdown()
