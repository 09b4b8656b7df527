"""The quick way for plain containers gives what the careful way gives, or nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import example, given, settings
from hypothesis import strategies as st

from phtrack.frames.values import ValueRenderer
from phtrack.frames.values.plain import Plain
from tests.frames.values.taking import SCRUBBER, taken_of

KEY = "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc"


class Point(NamedTuple):
    """A named tuple."""

    x: Any
    token: Any


@dataclass
class Order:
    """An object."""

    id: Any
    note: Any


class NotPlain(Plain):
    """Finds that everything takes a closer look."""

    __slots__ = ()

    def json(self, node: Any) -> str | None:
        """Nothing."""
        return None


_TEXTS = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="aB3_-.=:@/ \n\r\t'\"\\$", max_size=40),
    st.sampled_from(
        (
            "", "ok", "2026-01-02T03:04:05Z", "bob@example.com", "user:hunter2@host", "postgres://u:hunter2@db/x", KEY, f"key {KEY}",
            "password=hunter2", "password: hunter2", "4111111111111111", "4111 1111 1111 1111", "Basic dTpw", "Bearer abcdefgh1234",
            "mysql -u root -phunter2", "xK9f!2mQ#8vLp0Zr", "xK9f2mQ8vLp0ZrT5wYbN", "order_id=7", "a\nb", "\ud800", "é", "…", "pin code 12345",
            "Authorization", "password", "X-Api-Key", "x" * 399, "x" * 401, "word " * 90, "Set-Cookie: a=b", "ﬁ", "İ",
            "{'password': 'hunter2'}", "-----BEGIN PRIVATE KEY-----", "/usr/lib/python3", "eyJhbGciOi.J9eyJz.dWIiOi",
        )
    ),
)  # fmt: skip
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from((4111111111111111, 10**12, 10**12 - 1, -(10**12), 2**53 + 1, 2**63, 2**64, 10**400, 4111111111111111.0)),
    st.floats(),
    st.sampled_from((1e16, 1e-7, 1e22, 0.1, -0.0, 5e-324)),
    _TEXTS,
    st.binary(max_size=8),
    st.sampled_from((Decimal("1.10"), Decimal("4111111111111111"), UUID(int=1), len, int, ValueError("token=hunter2"))),
)  # fmt: skip
_KEYS = st.one_of(
    st.sampled_from(
        ("name", "Name", "key", "value", "id", "password", "api_key", "order_id", "header", "__class__", "…", KEY)
    ),
    _TEXTS,
    st.integers(0, 3),
    st.booleans(),
    st.none(),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=3).map(lambda some: some * 20),
        st.dictionaries(_KEYS, inner, max_size=10),
        st.tuples(inner, inner),
        st.frozensets(_TEXTS, max_size=4),
        st.builds(Point, inner, inner),
        st.builds(Order, inner, inner),
        inner.map(lambda one: {"a": one, "b": [one, one]}),
    ),
    max_leaves=30,
)


@settings(max_examples=300)
@given(st.lists(_VALUES, min_size=1, max_size=4), st.sampled_from(("v", "order_id", "text")))
@example([{"name": "Authorization", "value": "abc"}], "v")
@example([[KEY], {"a": KEY}], "order_id")
@example([{"a": "4111", "b": "1111"}, ["a@b", "c:d"]], "v")
@example([(None, {"\ud800": "\ud800"})], "v")
def test_the_quick_way_gives_what_the_careful_one_gives(values: list[Any], name: str) -> None:
    """The same JSON in both forms, with the same parts hidden by the same rules."""
    taken = taken_of(*values, names=[f"{name}{n}" for n in range(len(values) - 1)] + [name])
    quick, careful = ValueRenderer(SCRUBBER), ValueRenderer(SCRUBBER)
    careful._writer._plain = NotPlain(SCRUBBER)
    one, other = quick.frame(taken), careful.frame(taken)
    assert _pairs(f"[{one.variables}]") == _pairs(f"[{other.variables}]")
    assert _pairs(f"{{{one.code_variables}}}") == _pairs(f"{{{other.code_variables}}}")
    assert one.notes == other.notes
    assert one.rules == other.rules


def _pairs(text: str) -> Any:
    """Every object as the list of its members, in their order; text that is JSON as well."""

    def inside(found: Any) -> Any:
        if isinstance(found, str) and found[:1] in ("{", "["):
            try:
                return json.loads(found, object_pairs_hook=list)
            except ValueError:
                return found
        return found

    return json.loads(text, object_pairs_hook=lambda pairs: [(key, inside(value)) for key, value in pairs])
