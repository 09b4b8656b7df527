"""Flags from a file: its short forms, and that the inbox and a client agree about every user."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phtrack.flags.remote import read_answer
from phtrack.flags.ruleset import Ruleset
from phtrack.flags.verdicts import Unresolved
from phtrack.inbox.app import create_app
from phtrack.inbox.flags import FlagFile, _toml, load
from phtrack.inbox.store import Store
from tests.flags.conftest import MakeClient
from tests.flags.definitions import cohort, condition, dependency, flag, prop, variants
from tests.flags.server import Answer, FlagServer

EXAMPLE = """
group_type_mapping = ["team"]

[flags]
new-nav = true
old = false
checkout = 25
theme = "blue"

[flags.search]
description = "the new search"
rollout = 100
variants = { control = 0, fast = 100 }
payloads = { fast = { limit = 5 } }
when = [{ plan = "pro" }, { email = { icontains = "@acme.com", is_not = "x@acme.com" }, variant = "control" }]

[flags.seats]
group = "company"
when = { size = { gte = 10 } }
payload = [1, 2]

[flags.exact]
filters = { groups = [{ properties = [], rollout_percentage = 100 }] }

[persons.u1]
plan = "pro"

[groups.company.acme]
size = 12
"""


def file_of(words: str) -> FlagFile:
    return FlagFile(_toml().loads(words))


def ask(file: FlagFile, user: str = "u1", **body: Any) -> dict[str, Any]:
    """Values of the file's flags for a user."""
    answer = read_answer(json.loads(json.dumps(file.evaluate({"distinct_id": user, **body}))))
    return {key: one.get_value() for key, one in answer.flags.items()}


def test_the_short_forms() -> None:
    """On, off, a percentage, a variant, conditions, groups: what a person would write by hand."""
    file = file_of(EXAMPLE)
    values = ask(file, groups={"company": "acme"})
    assert values.pop("checkout") in (True, False)
    assert values == {"new-nav": True, "old": False, "theme": "blue", "search": "fast", "seats": True, "exact": True}
    assert ask(file, "u2")["search"] is False
    assert ask(file, "u2", person_properties={"email": "jo@acme.com"})["search"] == "control"
    assert ask(file, "u2", person_properties={"email": "x@acme.com"})["search"] is False
    assert ask(file, person_properties={"plan": "free", "email": ""})["search"] is False
    assert ask(file, flag_keys_to_evaluate=["theme", "nobody"]) == {"theme": "blue"}
    share = sum(ask(file, f"u{n}", flag_keys_to_evaluate=["checkout"])["checkout"] for n in range(400))
    assert 60 < share < 140


def test_records_say_why_and_bring_payloads() -> None:
    """The answer has reasons, ids and payloads like the server's."""
    records = file_of(EXAMPLE).evaluate({"distinct_id": "u1", "groups": {"company": "acme"}})["flags"]
    assert records["search"]["metadata"]["payload"] == '{"limit":5}'
    assert records["search"]["metadata"]["description"] == "the new search"
    assert records["seats"]["metadata"]["payload"] == "[1,2]"
    assert records["old"]["reason"]["code"] == "flag_disabled"
    assert records["theme"]["reason"]["code"] == "condition_match"
    assert file_of(EXAMPLE).evaluate({"distinct_id": "u1"})["flags"]["seats"]["reason"]["code"] == "no_group_type"


def test_the_server_form_is_taken_as_it_is() -> None:
    """Definitions copied from the server work, as JSON; those that rules don't support are marked as failed."""
    file = FlagFile(
        {"flags": [flag("a"), flag("b", filters={"super_groups": [1]}), flag("c", ensure_experience_continuity=True)]}
    )
    answer = file.evaluate({"distinct_id": "u"})
    assert answer["flags"]["b"]["failed"] is True
    assert answer["errorsWhileComputingFlags"] is True
    assert ask(file) == {"a": True, "b": False, "c": True}
    assert file.definitions()["flags"][2]["ensure_experience_continuity"] is True


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("flag = {}", "unknown key 'flag'"), ("flags = 5", "flags must be a table, got 5"), ("[flags.a]\nroll = 5", "flags.a has an unknown key 'roll'"),
        ("[flags]\na = 101", "percentage from 0 to 100, got 101"), ("[flags]\na = [1]", r"got \[1\]"), ("[flags.a]\nvariant = 'x'", "'x' is none of its variants"),
        ("[flags.a]\nwhen = 5", "when must be a table"), ("[flags.a]\nvariants = {x = 'y'}", "percentage from 0 to 100, got 'y'"),
        ("[flags.a]\ngroup = 5", "must be a group type, got 5"), ("[flags.a]\nactive = 'no'", "true or false, got 'no'"),
        ("group_type_mapping = 'x'", "list of names"), ("[flags.a]\nwhen = { plan = {} }", "no operator"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_named(words: str, complaint: str) -> None:
    """The message has the place and the value."""
    with pytest.raises(ValueError, match=complaint):
        file_of(words)


def test_loading(tmp_path: Path) -> None:
    """TOML and JSON by suffix; what is neither is a ValueError, what isn't there an OSError."""
    toml, plain = tmp_path / "flags.toml", tmp_path / "flags.json"
    toml.write_text("[flags]\na = true\n", encoding="utf-8")
    plain.write_text('{"flags": {"a": true}}', encoding="utf-8")
    assert load(toml).definitions() == load(plain).definitions()
    plain.write_text("[]", encoding="utf-8")
    with pytest.raises(ValueError, match="table"):
        load(plain)
    toml.write_text("= =", encoding="utf-8")
    with pytest.raises(ValueError):
        load(toml)
    with pytest.raises(OSError):
        load(tmp_path / "nothing.toml")


def test_the_etag_changes_with_the_flags() -> None:
    """Clients that poll get a 304 until the file says something else."""
    assert file_of("[flags]\na = 5").definitions()["etag"] == file_of("[flags]\na = 5").definitions()["etag"]
    assert file_of("[flags]\na = 5").definitions()["etag"] != file_of("[flags]\na = 6").definitions()["etag"]


# --- two paths, one truth --------------------------------------------------------------------------------------------

texts = st.sampled_from(
    ["a", "A", "b", "1", "1.5", "true", "false", "2024-01-01", "-3d", "1.2.3", "v1.2", "", "é", "null", "x@acme.com"]
)
scalars = st.one_of(texts, st.booleans(), st.integers(-3, 3), st.floats(-2, 2), st.none())
values = st.one_of(scalars, st.lists(scalars, max_size=3))
operators = st.sampled_from(
    ["exact", "is_not", "icontains", "not_icontains", "starts_with", "ends_with", "gt", "gte", "lt", "lte", "is_set", "is_not_set", "regex", "not_regex",
     "is_date_before", "is_date_after", "semver_eq", "semver_gt", "semver_tilde", "semver_caret", "semver_wildcard", "in", None]
)  # fmt: skip
names = st.sampled_from(["p", "q", "r", "distinct_id", "$group_key"])
filters = st.one_of(
    st.builds(prop, names, values, operators),
    st.builds(cohort, st.sampled_from([1, 2, 9]), operator=st.sampled_from(["in", "not_in", "exact"])),
    st.builds(dependency, st.sampled_from(["f0", "f1", "gone"]), st.sampled_from([True, False, "a"])),
)
shares = st.sampled_from([None, 0, 10, 33.3, 50, 90, 100])
conditions = st.builds(
    lambda found, rollout, variant, index: condition(*found, rollout=rollout, variant=variant, aggregation_group_type_index=index),
    st.lists(filters, max_size=2), shares, st.sampled_from([None, "a", "zz"]), st.sampled_from([None, None, 0, 1]),
)  # fmt: skip
members = st.recursive(
    st.builds(prop, names, values, operators, negation=st.booleans()),
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["AND", "OR"]), "values": st.lists(inner, max_size=2)}
    ),
    max_leaves=4,
)
cohorts = st.fixed_dictionaries({"type": st.sampled_from(["AND", "OR"]), "values": st.lists(members, max_size=2)})


@st.composite
def flags(draw: Any, key: str) -> dict[str, Any]:
    more: dict[str, Any] = {
        "early_exit": draw(st.booleans()),
        "aggregation_group_type_index": draw(st.sampled_from([None, None, 0])),
    }
    if draw(st.booleans()):
        more["multivariate"] = variants(a=draw(st.sampled_from([0, 20, 50])), b=draw(st.sampled_from([0, 30, 50])))
    if draw(st.booleans()):
        more["holdout"] = {"id": 3, "exclusion_percentage": draw(st.sampled_from([0, 20, 100]))}
    if draw(st.booleans()):
        more["payloads"] = {"true": "1", "a": '"a"'}
    top = {
        "active": draw(st.sampled_from([True, True, True, False])),
        "bucketing_identifier": draw(st.sampled_from([None, "distinct_id", "device_id"])),
    }
    return flag(key, *draw(st.lists(conditions, min_size=1, max_size=3)), filters=more, **top)


bodies = st.fixed_dictionaries(
    {
        "distinct_id": st.sampled_from(["u1", "u2", "ünï", "用户-7"]),
        "person_properties": st.dictionaries(st.sampled_from(["p", "q", "r"]), values, max_size=3),
        "groups": st.dictionaries(st.sampled_from(["company", "team"]), st.sampled_from(["acme", "x"]), max_size=2),
        "group_properties": st.dictionaries(st.sampled_from(["company", "team"]), st.dictionaries(st.sampled_from(["p", "q"]), values), max_size=2),
        "device_id": st.sampled_from([None, "d1"]),
    }
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "inbox.db")
    yield store
    store.close()


async def both_answers(inbox: Any, body: Any) -> tuple[Any, Any]:
    """What the inbox answers about a user, and its definitions."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(inbox), base_url="http://127.0.0.1") as client:
        remote = await client.post("/flags/?v=2", json=body)
        definitions = await client.get("/flags/definitions?token=phc_k&send_cohorts")
        return remote.json(), definitions.json()


@settings(suppress_health_check=list(HealthCheck))
@given(flags("f0"), flags("f1"), flags("f2"), cohorts, cohorts, bodies, st.sampled_from([1, 2]))
def test_local_and_remote_agree(
    tmp_path: Path, store: Store, f0: Any, f1: Any, f2: Any, one: Any, two: Any, body: Any, version: int
) -> None:
    """For any definitions and any user, what a client evaluates itself is what the inbox answers it over HTTP."""
    path = tmp_path / "flags.json"
    data = {
        "flags": [f0, f1, f2], "group_type_mapping": {"0": "company", "1": "team"}, "cohorts": {"1": one, "2": two}, "property_matching_version": version,
    }  # fmt: skip
    path.write_text(json.dumps(data), encoding="utf-8")
    remote, definitions = asyncio.run(both_answers(create_app(store, flags=path), {"api_key": "phc_k", **body}))
    answer, rules = read_answer(remote), Ruleset(definitions)
    run = rules.run(
        body["distinct_id"], device_id=body["device_id"], person=body["person_properties"], groups=body["groups"], group_properties=body["group_properties"],
    )  # fmt: skip
    local, unresolved = rules.evaluate(run)
    assert set(answer.flags) == {"f0", "f1", "f2"} == set(local) | set(unresolved)
    for key, value in local.items():
        assert answer.flags[key].get_value() == value
        assert answer.flags[key].metadata.payload == rules.flags[key].payload(value)
        assert answer.flags[key].failure is None
    assert all(isinstance(reason, Unresolved) for reason in unresolved.values())


def test_a_client_reads_the_file_through_the_inbox(server: FlagServer, client: MakeClient) -> None:
    """Local and remote reads of two clients, answered from one file over real HTTP, agree for every user and flag."""
    file = file_of(EXAMPLE)
    etag = file.definitions()["etag"]
    server.flags = lambda request: Answer(file.evaluate(request.body))
    server.definitions = Answer({**file.definitions()}, headers={"ETag": etag})
    near, far = client(local=True), client()
    about: dict[str, Any] = {
        "groups": {"company": "acme"},
        "group_properties": {"company": {"size": 12}},
        "person_properties": {"plan": "pro", "email": "a@b.c"},
    }
    for n in range(30):
        local = near.get_all_flags(f"user-{n}", only_evaluate_locally=True, **about)
        assert local == far.get_all_flags(f"user-{n}", **about)
        assert near.evaluate_flags(f"user-{n}", **about).values() == local
    assert len(server.asked) == 30
