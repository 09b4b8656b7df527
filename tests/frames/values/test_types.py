"""What each kind of value looks like to the reader."""

from __future__ import annotations

import collections
import contextvars
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import pathlib
import re
import socket
import sys
import threading
import types
import uuid
import zoneinfo
from typing import Any, NamedTuple

import attrs
import pydantic
import pytest
import sqlalchemy
from sqlalchemy import orm

from phtrack.scrub.marks import MARKER
from tests.frames.values.taking import contract, entry


class Point(NamedTuple):
    x: int
    y: int


class Color(enum.Enum):
    RED = 1
    BLUE = "blue"


class Level(enum.IntEnum):
    HIGH = 3


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Item:
    sku: str
    price: float
    internal: str = dataclasses.field(default="not for the log", repr=False)


@dataclasses.dataclass(frozen=True)
class SlottedItem:
    __slots__ = ("sku",)
    sku: str


@attrs.define
class Parcel:
    weight: int
    label: str = attrs.field(default="x", repr=False)


class Customer(pydantic.BaseModel):
    name: str
    age: int = 3
    hidden: str = pydantic.Field(default="h", repr=False)
    pin: pydantic.SecretStr = pydantic.SecretStr("1234")


class Model(orm.DeclarativeBase):
    pass


class User(Model):
    __tablename__ = "user"
    id = orm.mapped_column(sqlalchemy.Integer, primary_key=True)
    name = orm.mapped_column(sqlalchemy.String)


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Base:
    __slots__ = ("__own", "first")

    def __init__(self) -> None:
        self.first = 1
        self.__own = 2


class Derived(Base):
    def __init__(self) -> None:
        super().__init__()
        self.second = [3]


class Failed(Exception):
    def __init__(self, message: str, order: int) -> None:
        super().__init__(message)
        self.order = order


def generator() -> Any:
    yield


async def coroutine() -> None:
    pass


MOMENT = datetime.datetime(2026, 3, 1, 12, 30, tzinfo=zoneinfo.ZoneInfo("UTC"))

CASES: list[tuple[Any, Any, str]] = [
    (None, None, "NoneType"),
    (True, True, "bool"),
    (7, 7, "int"),
    (1.5, 1.5, "float"),
    (float("inf"), "inf", "float"),
    (2 + 3j, "(2+3j)", "complex"),
    ("text", "text", "str"),
    (b"\x00ab", r"b'\x00ab'", "bytes"),
    (bytearray(b"ab"), "b'ab'", "bytearray"),
    (memoryview(b"ab"), "b'ab'", "memoryview"),
    ([1, "a"], [1, "a"], "list"),
    ((1, 2, 3), [1, 2, 3], "tuple"),
    ({1}, [1], "set"),
    (frozenset([2]), [2], "frozenset"),
    (collections.deque([1, 2]), [1, 2], "collections.deque"),
    ({"a": {"b": 1}}, {"a": {"b": 1}}, "dict"),
    ({1: "a", None: "b", (1, 2): "c"}, {"1": "a", "None": "b", "[1,2]": "c"}, "dict"),
    (collections.OrderedDict(a=1), {"a": 1}, "collections.OrderedDict"),
    (collections.defaultdict(list, a=[1]), {"a": [1]}, "collections.defaultdict"),
    (collections.Counter("aab"), {"a": 2, "b": 1}, "collections.Counter"),
    (types.SimpleNamespace(a=1, password="x"), {"a": 1, "password": MARKER}, "types.SimpleNamespace"),
    (collections.ChainMap({"a": 1}), {"maps": [{"a": 1}]}, "collections.ChainMap"),
    (types.MappingProxyType({"a": 1}), {"a": 1}, "mappingproxy"),
    ({"a": 1}.keys(), ["a"], "dict_keys"),
    (range(1, 9, 2), "range(1, 9, 2)", "range"),
    (Text("hi"), "hi", f"{__name__}.Text"),
    (Number(5), 5, f"{__name__}.Number"),
    (Point(1, 2), {"x": 1, "y": 2}, f"{__name__}.Point"),
    (Color.RED, "<Color.RED: 1>", f"{__name__}.Color"),
    (Color.BLUE, "<Color.BLUE: 'blue'>", f"{__name__}.Color"),
    (Level.HIGH, "<Level.HIGH: 3>", f"{__name__}.Level"),
    (SlottedItem("a"), {"sku": "a"}, f"{__name__}.SlottedItem"),
    (Derived(), {"_Base__own": 2, "first": 1, "second": [3]}, f"{__name__}.Derived"),
    (MOMENT, "2026-03-01T12:30:00+00:00", "datetime.datetime"),
    (datetime.date(2026, 3, 1), "2026-03-01", "datetime.date"),
    (datetime.time(1, 2), "01:02:00", "datetime.time"),
    (datetime.timedelta(minutes=5), "0:05:00", "datetime.timedelta"),
    (decimal.Decimal("1.50"), "1.50", "decimal.Decimal"),
    (fractions.Fraction(1, 3), "1/3", "fractions.Fraction"),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005", "uuid.UUID"),
    (pathlib.PurePosixPath("/a/b"), "/a/b", f"{pathlib.PurePosixPath.__module__}.PurePosixPath"),
    (re.compile("a+"), "a+", "re.Pattern"),
    (Failed("broken", 7), {"args": ["broken"], "order": 7}, f"{__name__}.Failed"),
    (KeyError("a"), {"args": ["a"]}, "KeyError"),
    (generator, f"<function {__name__}.generator>", "function"),
    (Derived().__init__, f"<bound method {__name__}.Derived.__init__>", "method"),
    (len, "<built-in function len>", "builtin_function_or_method"),
    (Item, f"<class {__name__}.Item>", "type"),
    (sys, "<module sys>", "module"),
    (generator(), "<generator generator>", "generator"),
    (threading.Lock(), None, "_thread.lock"),
    (io.BytesIO(), "<_io.BytesIO>", "_io.BytesIO"),
    (object(), "<object>", "object"),
    (..., "...", "ellipsis"),
    (functools.partial(len), {"func": "<built-in function len>", "args": [], "keywords": {}}, "functools.partial"),
]


@pytest.mark.parametrize(("value", "shown", "type_name"), CASES, ids=[f"{n}-{case[2]}" for n, case in enumerate(CASES)])
def test_a_value_is_shown_by_what_it_is(value: Any, shown: Any, type_name: str) -> None:
    """Builtins, the standard library and the usual kinds of classes are shown by content, the rest by name."""
    found = entry(value)
    assert found["type"] == type_name
    if shown is not None:
        assert found["value"] == shown
        assert type(found["value"]) is type(shown)


def test_fields_that_their_author_hides_are_hidden() -> None:
    """`repr=False` of dataclasses, attrs and pydantic is a wish to keep something out of logs."""
    for value, name, hidden in (
        (Item("a", 1.5), "sku", "internal"),
        (Parcel(3), "weight", "label"),
        (Customer(name="Ann"), "name", "hidden"),
    ):
        found = entry(value)
        assert found["value"][name] not in (None, "")
        assert "posthog_redacted" in found["value"][hidden]
        assert "repr=False" in found["redacted"]


def test_parameters_of_a_failed_sql_statement_are_in_its_message_alone() -> None:
    """There they are read with the statement; in a list of their own nothing tells which of them is the password."""
    engine = sqlalchemy.create_engine("sqlite://")
    insert = sqlalchemy.text("insert into nothing (name, password) values (:name, :password)")
    try:
        with engine.connect() as connection, pytest.raises(sqlalchemy.exc.OperationalError) as failed:
            connection.execute(insert, {"name": "Ann", "password": "hunter2"})
    finally:
        engine.dispose()
    found = entry(failed.value)
    assert "hunter2" not in str(found) + str(contract(failed.value))
    assert found["value"]["statement"].startswith("insert into nothing")
    assert found["value"]["params"] == MARKER
    assert "sql_parameters" in found["redacted"]


def test_pydantic_secrets_are_not_looked_into() -> None:
    """A `SecretStr` is shown by its class, wherever it lies."""
    assert "1234" not in str(entry(Customer(name="Ann")))
    assert entry(pydantic.SecretStr("1234"))["value"] == "<pydantic.types.SecretStr>"


def test_pydantic_v1_models_are_shown_by_their_fields() -> None:
    """The older models keep their values in the instance as well."""
    if sys.version_info >= (3, 14):
        return  # pydantic.v1 isn't there any more
    from pydantic import v1

    class Old(v1.BaseModel):
        name: str
        hidden: str = v1.Field("h", repr=False)

    found = entry(Old(name="Ann"))
    assert found["value"]["name"] == "Ann"
    assert "posthog_redacted" in found["value"]["hidden"]


def test_handles_are_shown_by_class() -> None:
    """Locks, files and sockets have nothing to tell, and asking a socket is a system call."""
    with socket.socket() as one:
        assert entry(one)["value"] == "<socket.socket>"
    with open(__file__) as file:
        assert entry(file)["value"] == "<_io.TextIOWrapper>"
    assert entry(threading.RLock())["value"] == "<_thread.RLock>"


def test_coroutines_and_contexts_are_shown_by_name() -> None:
    """Looking at a coroutine doesn't run it."""
    one = coroutine()
    assert entry(one)["value"] == "<coroutine coroutine>"
    one.close()
    assert entry(contextvars.ContextVar("user"))["value"] == {"name": "user"}
    assert entry(OSError(2, "gone"))["value"]["errno"] == 2


def test_times_in_somebodys_zone_are_shown_without_asking_it() -> None:
    """An offset computed by a class of the application would be its code."""

    class Zone(datetime.tzinfo):
        def utcoffset(self, moment: Any) -> Any:
            raise AssertionError("asked")

    shown = entry(datetime.datetime(2026, 3, 1, tzinfo=Zone()))["value"]
    assert shown.startswith("2026-03-01T00:00:00 <")
    assert shown.endswith("Zone>")


def test_integers_of_any_size_are_shown() -> None:
    """A 10,000-digit integer can't be written out; its size is told instead."""
    found = entry(-(10**9999) * 3)
    assert found["value"] == "≈ -3.0000e+9999"
    assert found["length"] == 10_000
    assert entry(2**60)["value"] == str(2**60)
    assert contract(2**60) == 2**60
    assert contract(2**70) == str(2**70)


def test_long_text_is_held_by_its_head() -> None:
    """Of 50 MB of text a kilobyte is kept, and its length is told."""
    text = "abc " * 12_500_000
    found = entry(text)
    assert found["length"] == 50_000_000
    assert found["value"].startswith("abc abc")
    assert len(found["value"]) < 500
    assert "of 50,000,000" in found["truncated"]


def test_long_containers_are_shown_by_head_and_length() -> None:
    """Ten entries of ten thousand, and how many there are."""
    found = entry(list(range(10_000)))
    assert found["value"] == [*range(10), "… 9,990 more"]
    assert found["length"] == 10_000
    assert entry({n: n for n in range(100)})["value"]["…"] == "90 more"


def test_what_orms_keep_on_instances_is_left_out() -> None:
    """An instance shows its loaded columns, not the session's bookkeeping; unloaded ones aren't loaded."""
    engine = sqlalchemy.create_engine("sqlite://")
    Model.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add(User(id=1, name="Ann"))
        session.commit()
        user = session.get(User, 1)
        assert user is not None
        assert entry(user)["value"] == {"id": 1, "name": "Ann"}
        session.expire(user, ["name"])
        assert entry(user)["value"] == {"id": 1}
    engine.dispose()


def test_a_name_that_masks_hides_its_value_everywhere() -> None:
    """Variables, keys, attributes, headers and options: what is known by a secret's name isn't read."""

    class Login:
        def __init__(self) -> None:
            self.user, self.password = "ann", "hunter2"

    assert entry("hunter2", "password")["redacted"] == "name:password"
    for value in (
        {"password": "hunter2", "user": "ann"},
        [("authorization", "hunter2")],
        [(b"authorization", b"hunter2")],
        ["run", "--password", "hunter2"],
        {"name": "Authorization", "value": "hunter2"},
        Login(),
        [{"deep": Login()}],
    ):
        found = entry(value)
        assert "hunter2" not in str(found), value
        assert found["redacted"].startswith("name:"), value
        assert "hunter2" not in str(contract(value))


def test_an_absent_secret_is_shown() -> None:
    """That the password was None is often the answer, and no secret."""
    assert entry(None, "password")["value"] is None
    assert entry({"password": "", "token": False})["value"] == {"password": "", "token": False}
