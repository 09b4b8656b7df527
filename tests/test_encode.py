"""What becomes of every kind of Python value in JSON, by both encoders and both paths."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import threading
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phtrack import encode


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Order:
    id: int
    _note: object = None


@dataclasses.dataclass(slots=True)
class Slotted:
    id: int


Point = collections.namedtuple("Point", "x y")


class Tattling:
    """Fails the test if any of its methods runs."""

    def _tell(self, *_: object) -> Any:
        raise AssertionError("code of the user ran")

    __repr__ = __str__ = __iter__ = __len__ = __eq__ = __getattr__ = _tell  # type: ignore[assignment]
    __hash__ = object.__hash__


ROWS: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (3, 3),
    (1.5, 1.5),
    (math.nan, None),
    (-math.inf, None),
    ("é\n", "é\n"),
    ("a\ud800b", "a\ufffdb"),
    ("\ud83d\ude00", "\U0001f600"),
    (b"caf\xc3\xa9", "café"),
    (b"\xff", None),
    (bytearray(b"x"), "x"),
    ((1, 2), [1, 2]),
    ({5}, [5]),
    (frozenset((5,)), [5]),
    (collections.deque([1]), [1]),
    (Point(1, 2), [1, 2]),
    ({1: 2, None: 3, (4, 5): 6}, {"1": 2, "None": 3, "(4, 5)": 6}),
    ({"a\udc00": 1}, {"a\ufffd": 1}),
    (collections.OrderedDict(a=1), {"a": 1}),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
    (decimal.Decimal("1.50"), 1.5),
    (decimal.Decimal("NaN"), None),
    (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (dt.datetime(2025, 1, 2, 3, 4, tzinfo=dt.timezone.utc), "2025-01-02T03:04:00+00:00"),
    (dt.datetime(2025, 1, 2, 3, 4), "2025-01-02T03:04:00"),
    (dt.date(2025, 1, 2), "2025-01-02"),
    (dt.time(1, 2), "01:02:00"),
    (dt.timedelta(minutes=1), 60.0),
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (pathlib.PurePosixPath("/a/b"), "/a/b"),
    (Order(1, {2}), {"id": 1, "_note": [2]}),
    (Slotted(1), {"id": 1}),
    (10**30, 10**30),
    (10**5000, "<int>"),
    (1j, None),
    (range(3), None),
    (object(), None),
    (int, None),
    (Tattling(), None),
]


@pytest.fixture(params=["orjson", "json"])
def encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test runs with the fast encoder and with the standard library's."""
    if request.param == "json":
        monkeypatch.setattr(encode, "orjson", None)
    return str(request.param)


@pytest.mark.parametrize(("value", "expected"), ROWS, ids=lambda one: type(one).__name__)
def test_each_value_has_one_form(encoder: str, value: Any, expected: Any) -> None:
    """Alone, in a list and as a dict's value it becomes the same, and `clean` agrees with `dumps`."""
    assert json.loads(encode.dumps(value)) == expected
    assert json.loads(encode.dumps({"a": [value]})) == {"a": [expected]}
    assert encode.clean({"a": [value]}) == {"a": [expected]}


def test_a_generator_is_not_consumed(encoder: str) -> None:
    """Looking must not use up what the program still needs."""
    numbers = (one for one in (1, 2))
    assert encode.dumps([numbers]) == b"[null]"
    assert list(numbers) == [1, 2]


def test_cycles_and_depth_end_in_null(encoder: str) -> None:
    """A container inside itself, and what lies deeper than 64, becomes null instead of an error."""
    loop: list[Any] = [1]
    loop.append(loop)
    assert json.loads(encode.dumps(loop)) == [1, None]
    tree: dict[str, Any] = {}
    tree["self"] = tree
    assert json.loads(encode.dumps(tree)) == {"self": None}
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert encode.dumps(deep) == b"[" * 64 + b"null" + b"]" * 64
    while deep:  # freeing 100,000 levels at once overflows older interpreters
        deep = deep.pop()


def test_the_same_object_twice_is_no_cycle(encoder: str) -> None:
    """Only an object inside itself is cut."""
    shared = {"a": 1}
    assert json.loads(encode.dumps([shared, dict.fromkeys(((1,),), shared)])) == [
        {"a": 1},
        {"(1,)": {"a": 1}},
    ]


def test_a_dict_that_changes_meanwhile_never_raises(encoder: str) -> None:
    """Another thread may write to what is being captured."""
    busy: dict[Any, Any] = {(n,): n for n in range(100)}
    stop = threading.Event()

    def churn() -> None:
        n = 100
        while not stop.is_set():
            busy[(n,)] = n
            busy.pop((n - 50,), None)
            n += 1

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(200):
            json.loads(encode.dumps({"busy": busy}))
    finally:
        stop.set()
        thread.join()


def test_pydantic_models_are_dumped() -> None:
    """A model becomes its fields, nested ones too."""
    pydantic = pytest.importorskip("pydantic")

    class Item(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        price: decimal.Decimal

    class Cart(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        items: list[Item]

    assert json.loads(encode.dumps({"cart": Cart(items=[Item(price="1.5")])})) == {"cart": {"items": [{"price": 1.5}]}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes() | st.decimals(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner)
        | st.sets(st.integers())
    ),
    max_leaves=20,
)


@given(JSON)
def test_both_paths_agree(value: Any) -> None:
    """Whatever the value, the fast path gives what cleaning and the standard library give: valid, strict JSON."""
    fast = json.loads(encode.dumps(value))
    slow = json.loads(json.dumps(encode.clean(value), allow_nan=False))
    assert fast == slow
    encode.dumps(value).decode("utf-8")
