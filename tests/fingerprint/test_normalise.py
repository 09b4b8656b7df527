"""Statements and messages, without what doesn't matter."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phtrack.fingerprint import normalise
from phtrack.fingerprint.names import names_of, own_statements


def texts(function: str) -> list[str]:
    """The normalised statements of a function's source."""
    scope = ast.parse(function).body[0]
    return [normalise.shown(normalise.Text(statement, names_of(scope)).text) for statement in own_statements(scope)]


def only(body: str, head: str = "def f(self, order, *args, key=None, **more):") -> str:
    return texts(f"{head}\n    {body}")[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = charge(order.total)", "charge(order.total)"),
        ("return charge(order.total)", "result: int = charge(order.total)"),
        ("return charge(order.total)", "return (\n        charge(\n            order.total,\n        )\n    )"),
        ("d = {}; return d['a']", 'other = {}; return other["a"]'),
        ("raise ValueError('order 17 is bad')", "raise ValueError('order 4211 is bad')"),
        ("a = 1; raise ValueError(f'{a=}')", "b = 1; raise ValueError(f'{b=}')"),
        ("import os; return os.x", "return os.x"),
    ],
)
def test_what_does_not_matter_is_gone(one: str, other: str) -> None:
    """Layout, names of locals, where a result goes, annotations and numbers in messages leave no trace."""
    found = [texts(f"def f(self, order, key=None):\n    {text}")[-1] for text in (one, other)]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("charge(order.total)", "charge(order.count)"),
        ("charge(order.total)", "refund(order.total)"),
        ("return order['a']", "return order['b']"),
        ("return order / key", "return key / order"),
        ("return order < 1", "return order <= 1"),
        ("load('a.txt')", "load('b.txt')"),
        ("load(1)", "load(2)"),
        ("f(x=order)", "f(y=order)"),
        ("order.x = 1", "order.y = 1"),
        ("a = b = {}; return g(a, a)", "a = b = {}; return g(a, b)"),
    ],
)
def test_what_matters_stays(one: str, other: str) -> None:
    """What is called, read, compared and stored tells statements apart, literals included."""

    def raw(body: str) -> str:
        scope = ast.parse(f"def f(self, order, key=None):\n    {body}").body[0]
        return normalise.Text(list(own_statements(scope))[-1], names_of(scope)).text

    assert raw(one) != raw(other)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("return self.items[order].price", "$0.items[$1].price"),
        ("if order.total > 100 and not args: pass", "if (($1.total > 100) and not *$)"),
        ("for line in order.lines: pass", "for _0 in $1.lines"),
        ("with open(order) as file: pass", "with open($1)"),
        ("assert order, f'no {order}'", "assert $1"),
        ("return [x.y for x in order if x]", "[_0.y for _0 in $1 if _0]"),
        ("return {k: v for k, v in more.items()}", "{_0: _1 for (_0, _1,) in **$.items()}"),
        ("return sorted(order, key=lambda x: x[0])", "sorted($1, key=lambda: _0[0])"),
        ("del order['x'], key.y", "del $1['x'], $2.y"),
        ("order[1:key] = b''", "$1[1:$2] = b'…'"),
        ("return f'{order.name!r:>10} of {key}'", 'f"{$1.name}…{$2}"'),
        ("raise KeyError(f'no {key} in 12 tries') from None", 'raise KeyError(f"no {$2} in # tries") from None'),
        ("try: pass\n    except (KeyError, lib.Gone): pass", "try except (KeyError, lib.Gone,)"),
        ("@order\n    def g(x=key): pass", "@$1 def g($2)"),
        ("class A(order, meta=key): pass", "class A($1, meta=$2)"),
        ("import a.b, c", "import a.b, c"),
        ("from .. import a as b", "from .. import a"),
        ("order += key()", "$1 += $2()"),
        ("yield from order", "(yield from $1)"),
        ("return (y := order) + y", "($1 + _0)"),
        ("match order:\n        case {'a': 1}: pass", "match $1"),
        ("return order if key else ...", "($1 if $2 else Ellipsis)"),
        ("global order_count; order_count = 1", "Global(['order_count'])"),
    ],
)
def test_texts_are_the_same_on_every_python_version(body: str, text: str) -> None:
    """The text is written here, not by `ast.unparse`, so these strings hold for all versions."""
    assert only(body) == text


def test_literals_count_but_are_not_shown() -> None:
    """A literal may be a secret; keys and the programmer's messages are what a reader needs."""
    scope = ast.parse("def f(d):\n    connect(d['user'], password='hunter2', pin=12345678, data=b'raw')").body[0]
    text = normalise.Text(next(own_statements(scope)), names_of(scope)).text
    assert "hunter2" in text
    assert normalise.shown(text) == "connect($0['user'], password='…', pin=…, data=b'…')"


def test_a_long_statement_is_cut_and_still_another() -> None:
    """Two long tables that differ at their ends differ, and neither fills the event."""
    one, other = (only(f"return [{', '.join(str(n) for n in range(900))}, {end}]") for end in (1, 2))
    assert one != other
    assert max(len(one), len(other)) < 450


def test_deep_nesting_ends() -> None:
    """A tree deeper than anyone reads is cut, not recursed into."""
    assert "…" in only("return " + "(" * 80 + "order" + "+1)" * 80)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("timed out after 30.5 s (attempt 3 of 12)", "timed out after # s (attempt # of #)"),
        ("'user_4711'", "*"),
        ("user 9f1c2b3a-0000-4000-8000-1234567890ab is gone", "user * is gone"),
        ("<Order object at 0x7f00deadbeef>", "<Order object at *>"),
        ("no mailbox for ann.b+c@mail.example.org", "no mailbox for *"),
        ("job a1b2c3d4e5f6 failed", "job * failed"),
        ("first line\nsecond 2", "first line"),
        ("", ""),
    ],
)
def test_messages_lose_what_changes(text: str, wanted: str) -> None:
    """Numbers become `#`; ids, addresses and quoted text `*`."""
    assert normalise.message(text) == wanted


@given(st.text(max_size=3000) | st.text("ab01-@.'\"x", max_size=3000))
def test_any_message_has_a_short_form(text: str) -> None:
    """Never raises, never longer than 200 characters, and the form of a form is itself as far as numbers go."""
    short = normalise.message(text)
    assert len(short) <= normalise.MAX_MESSAGE
    assert "\n" not in short
    assert not any("0" <= character <= "9" for character in short)
