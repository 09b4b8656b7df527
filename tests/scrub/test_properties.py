"""What holds for every input: nothing raises, nothing planted survives, twice is once, JSON stays JSON, time stays linear."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from phtrack import _guard, scrub
from phtrack.scrub import MARKER, Rules, Scrubber, scrubber
from tests.scrub.corpus import VENDORS, WHOLE_ONLY, as_text

SCRUBBER = scrubber()
METHODS = ("text", "source", "sql")

FRAGMENTS = [
    "password", "token", "api_key", "auth", "cookie", "secret", "user", "id", "is", "was", "=", ":", ": ", "==", " ", "  ", "\n",
    "\t", ",", ", ", ";", ".", "...", "…", '"', "'", '"""', "`", "\\", "\\n", "(", ")", "[", "]", "{", "}", "<", ">", "</", "|", "&",
    "?", "@", "://", "http", "postgres", "$", "$$", "%s", "%3D", "#", "--", "/*", "*/", "-p", "0", "7", "4111", "a", "Bob", "x9",
    "hunter2", "None", "Bearer ", "Basic ", "INSERT INTO t (", ") VALUES (", "UPDATE t SET ", "WHERE", "AND", "IN", "lambda ", "def f(",
    "if ", "match ", "case ", "f'", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "eyJ", "AKIA", "sk-", "É", "İ", "ß",
    "\u2028", "\x00", "\ud800", MARKER, "$$_posthog_redacted_key_0_$$", "[SQL: ", "]\n[parameters: (", "Key (", ")=(",
]  # fmt: skip
texts = st.one_of(
    st.text(st.characters(), max_size=80),  # surrogates too
    st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join),
)
names = st.one_of(
    st.sampled_from(["user", "id", "password", "api_key", "items", "headers", "note"]), st.text(max_size=12)
)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
data = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=20
)


@given(parts=st.lists(texts, max_size=6))
@example(parts=["-", "p x"])
@example(parts=["user", "a:b@c"])
@example(parts=["4111 1111 1111", "1111"])
def test_clear_lines_hold_nothing(parts: list[str]) -> None:
    """What is cleared together is left as it is by itself, under any name."""
    if SCRUBBER.clear("\n".join(parts)):
        for part in parts:
            found: list[str] = []
            assert SCRUBBER.text(part, found) == part
            assert found == []


@pytest.mark.parametrize("method", METHODS)
@given(text=texts)
@example(text='password="\\')
@example(text="\u0130password=x")
def test_no_text_raises_and_twice_is_once(method: str, text: str) -> None:
    """Any characters in any order give a text, and scrubbing the result changes nothing more."""
    rule = getattr(SCRUBBER, method)
    found: list[str] = []
    once = rule(text, found)
    assert type(once) is str
    assert bool(found) == (once != text)
    assert rule(once) == once


@given(value=data)
def test_data_stays_json_of_the_same_shape(value: Any) -> None:
    """What json could write before, it can write after; no entry is lost, and scrubbing again changes nothing more."""
    before = json.dumps(value)
    once = SCRUBBER.value(value)
    assert json.dumps(value) == before, "the input was changed"
    again = json.loads(json.dumps(once))
    assert same_shape(value, once)
    assert SCRUBBER.value(again) == again


def same_shape(before: Any, after: Any) -> bool:
    if isinstance(before, dict) and isinstance(after, dict):
        return len(before) == len(after) and all(map(same_shape, before.values(), after.values()))
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(same_shape, before, after))
    return after == before or isinstance(after, str)


@given(arguments=st.lists(texts, max_size=6))
def test_a_command_line_keeps_its_length(arguments: list[str]) -> None:
    """One argument in, one argument out."""
    once = SCRUBBER.argv(arguments)
    assert len(once) == len(arguments)
    assert SCRUBBER.argv(once) == once


SECRET = "Tr0ub4dor-and-9"
NAMES = st.sampled_from(
    [
        "password",
        "DB_PASSWORD",
        "userPassword",
        "api_key",
        "x-api-key",
        "client_secret",
        "access_token",
        "passphrase",
        "jwt",
        "dsn",
    ]
)
FORMS = [
    "{name}={secret}", "{name}='{secret}'", '{name}="{secret}"', '{name}: "{secret}"', "'{name}': '{secret}'", '"{name}": "{secret}"',
    "'{name}': b'{secret}'", '\\"{name}\\": \\"{secret}\\"', "{name} => '{secret}'", "?{name}={secret}&a=1", "<{name}>{secret}</{name}>",
    "{name} is {secret}", "{name}: {secret}", "{name}={secret}, b=1", "({name}={secret})", "{name} == '{secret}'", "{name}:{secret}",
    "postgres://bob:{secret}@db1/x", "'{name}': ['a', '{secret}']", "{name}=Secret('{secret}')", '{{"name": "{name}", "value": "{secret}"}}',
]  # fmt: skip
ORDINARY = st.text(
    st.characters(exclude_characters="\\\"'`()[]{}<>@:/=$-", exclude_categories=["Cs"]), max_size=30
)  # surroundings without an open quote, bracket or address of their own


@given(before=ORDINARY, after=ORDINARY, name=NAMES, form=st.sampled_from(FORMS))
def test_no_named_secret_survives_in_text(before: str, after: str, name: str, form: str) -> None:
    """Whatever stands around it, a value that a secret name introduces is hidden."""
    text = f"{before} {form.format(name=name, secret=SECRET)} {after}"
    assert SECRET not in SCRUBBER.text(text)
    assert SECRET not in as_text(SCRUBBER.value([{"note": text}]))


@given(before=texts, after=texts, vendor=st.sampled_from([name for name in VENDORS if name not in WHOLE_ONLY]))
def test_no_known_format_survives_in_text(before: str, after: str, vendor: str) -> None:
    """Between any two other texts, a key of a known vendor is found."""
    secret = VENDORS[vendor]
    if "." in before[-1:] or (vendor.startswith("card") and after[:1].strip(" ,.;:") != ""):
        return
    for method in METHODS:
        assert secret not in getattr(SCRUBBER, method)(f"{before}\n{secret}\n{after}")


STATEMENTS = [
    "{name} = {literal}", "self.{name} = {literal}", "{name}: str = {literal}", "f(a, {name}={literal}, b=2)", "if {name} == {literal}:",
    "if {literal} != user.{name}:", 'd["{name}"] = {literal}', '{{"a": 1, "{name}": {literal}, "b": 2}}', "def f(a, {name}={literal}): pass",
    'os.environ.get("{name}", {literal})', "x, {name} = 1, {literal}", "set_{name}({literal})", "{name} = x or {literal}",
    "{name} = [\n    {literal},\n]", "assert {name} in ({literal}, 'b')",
]  # fmt: skip
LITERALS = [
    "'{}'",
    '"{}"',
    "b'{}'",
    "f'{}'",
    "r'{}'",
    "'''{}'''",
    '"""{}"""',
    "'a' '{}'",
    "'{} and more'",
    "'it\\'s {}'",
]


@given(
    name=st.sampled_from(["password", "DB_PASSWORD", "api_key", "client_secret", "access_token", "user_pwd"]),
    statement=st.sampled_from(STATEMENTS),
    literal=st.sampled_from(LITERALS),
    indent=st.sampled_from(["", "    "]),
    comment=st.sampled_from(["", "  # it's here", '  # TODO(bob): "x']),
)
def test_no_literal_of_a_secret_name_survives_in_source(
    name: str, statement: str, literal: str, indent: str, comment: str
) -> None:
    """However a literal gets to a secret name in Python, it is hidden, and the name stays."""
    line = indent + statement.format(name=name, literal=literal.format(SECRET)) + comment
    hidden = SCRUBBER.source(line)
    assert SECRET not in hidden
    assert name in hidden


@given(value=data, name=NAMES, path=st.lists(st.sampled_from(["dict", "list", "tuple", "pair", "field"]), max_size=6))
def test_no_secret_survives_in_any_nesting(value: Any, name: str, path: list[str]) -> None:
    """Under a secret name nothing is shown, however deep the name lies, and whatever the value is."""
    planted: Any = {name: [SECRET, {"x": (SECRET, value)}]}
    for step in path:
        planted = {
            "dict": lambda inner: {"a": inner, "b": value},
            "list": lambda inner: [value, inner],
            "tuple": lambda inner: (inner, value),
            "pair": lambda inner: [[name, SECRET], inner],
            "field": lambda inner: [{"name": name, "value": SECRET}, inner],
        }[step](planted)
    assert SECRET not in as_text(SCRUBBER.value(planted))


ADVERSARIAL = [
    "a", "A1", "4242 ", "4242-", " ", '"', "'", "\\", '\\"', "(", "([{", "=", ",", "@", "/", "://", "a://", "a:b@", "a@", "://a:b", "eyJ",
    "eyJa.", "sk-", "AKIA", "ghp_", "xox", "key-", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "-----", "password",
    "password=", "password: ", "password is ", 'password "', "password=(", 'password="', 'password\\": \\"', "token=token=", 'token, "',
    'token","a",("', "(token','", "<token>", "token)=(", "cookie: a ", "Authorization: ", "bearer ", "Bearer" + " " * 50, "?sig=", "&sig=a",
    "Duplicate entry '", "INSERT INTO ", "insert into token(", "update " + "a" * 190 + " ", "token = ", "token(token(", "hmac(a,hmac(",
    "BETWEEN token ", "token in (", "/*", "--", "$$", "$a$", '""', "password = (", "def f(password=", 'd["password"]["', "ab/", ".a", "@a.",
    "a-a", "%3D", "api key ", "\u0130", "\ud800", "...", "sk-a...", "[SQL: ", "[parameters: (", "a,b=", "password=,", "password=a,",
    "password=[", ";token=a", '"value": ', "--password ", 'name="password"\r\n\r\n', "password in password == ", "x=lambda token: ", "mysql ", "mysql -", " -u a:", "input_value=", "token\n  input_value=", "a\n  ", "# ",
]  # fmt: skip


@pytest.mark.parametrize("unit", ADVERSARIAL)
def test_no_text_takes_long(unit: str) -> None:
    """A hang guard: text made to make a pattern backtrack costs no more than its length, by far (some 0.02 s; allowed are 5)."""
    text = (unit * (4_000 // len(unit) + 1))[:4_000]
    begin = time.process_time()
    for method in METHODS:
        getattr(SCRUBBER, method)(text)
        getattr(SCRUBBER, method)(text + "...")
    SCRUBBER.argv(text.split(" "))
    SCRUBBER.value({text[:3000]: text})
    assert time.process_time() - begin < 5


def test_twice_the_text_takes_about_twice_as_long() -> None:
    """Over all adversarial texts together: linear, with much room for noise; what backtracks takes four times as long."""

    def cost(length: int) -> float:
        begin = time.process_time()
        for unit in ADVERSARIAL[::4]:
            for method in METHODS:
                getattr(SCRUBBER, method)((unit * (length // len(unit) + 1))[:length])
        return time.process_time() - begin

    cost(500)
    assert cost(4_000) < 6 * cost(1_000) + 0.5


def test_configured_patterns_see_long_texts_in_windows() -> None:
    """A quadratic pattern of the user's costs little more than the windows it sees, and finds what lies in any of them."""
    slow = Scrubber(Rules(mask_patterns=(r"x*y",)))
    begin = time.process_time()
    assert slow.text("x" * 6_000) == "x" * 6_000
    assert slow.text("z" * 5_000 + "y" + "z" * 1_000) == MARKER
    assert time.process_time() - begin < 30


class Broken:
    """Stands for a rule with a bug."""

    def __call__(self, *_: object, **__: object) -> str:
        raise RuntimeError("a bug in a rule")


@pytest.mark.parametrize("where", ["scrub_text", "scrub_source", "scrub_sql"])
def test_a_failing_rule_hides_everything(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error while scrubbing gives the marker, never the text, and reaches nobody."""
    monkeypatch.setattr(_guard, "STRICT", False)
    monkeypatch.setattr(f"phtrack.scrub.rules.{where}", Broken())
    found: list[str] = []
    assert getattr(Scrubber(), where.removeprefix("scrub_"))("an innocent text", found) == MARKER
    assert found == ["error"]


def test_failing_names_and_data_hide_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for decisions by name, for data, and for command lines."""
    monkeypatch.setattr(_guard, "STRICT", False)
    fresh = Scrubber()
    monkeypatch.setattr(scrub.names, "secret_word", Broken())
    assert fresh.masks("innocent") == "name:unreadable"
    assert fresh.value({"innocent": "x"}) == {"innocent": MARKER}
    monkeypatch.setattr("phtrack.scrub.values.Walk.value", Broken())
    assert fresh.value({"innocent": 1}) == MARKER
    monkeypatch.setattr("phtrack.scrub.argv.argv", Broken())
    assert fresh.argv(["a", "b"]) == [MARKER, MARKER]


def test_wrong_types_hide_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no text can't be looked at, so it is not shown."""
    monkeypatch.setattr(_guard, "STRICT", False)
    odd: Any = 7
    assert SCRUBBER.text(odd) == SCRUBBER.source(odd) == SCRUBBER.sql(odd) == MARKER
    assert SCRUBBER.masks(odd) and SCRUBBER.masks([]) and SCRUBBER.ignores([])  # type: ignore[arg-type]
