"""The pure expressions of a statement against `eval` and `pure_eval`."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure_eval import CannotEval, Evaluator

from phtrack.frames.values import static
from phtrack.frames.values.expressions import Compiler, evaluate
from phtrack.frames.values.node import MISSING


@dataclass
class Box:
    """An object with attributes, comparable after a deep copy."""

    a: Any = None
    b: Any = None


class Slotted:
    """The same in slots."""

    __slots__ = ("a", "b")

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b

    def __repr__(self) -> str:
        return f"Slotted({self.a!r}, {self.b!r})"


KEYS = st.sampled_from(["a", "b", "key", 0, 1, -1, True, None, 1.5])
SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text("ab", max_size=3) | st.just(10**400)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.builds(Box, inner, inner)
        | st.builds(Slotted, inner, inner)
    ),
    max_leaves=12,
)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 0) -> str:
    """The text of an expression over the variables x, y and z: paths, arithmetic, `len`."""
    kind = draw(st.sampled_from(["path", "path", "path", "binary", "unary", "len"] if depth < 3 else ["path"]))
    if kind == "binary":
        left, right = draw(expressions(depth + 1)), draw(expressions(depth + 1))
        return f"({left}) {draw(st.sampled_from(['+', '-', '*', '/', '//', '%']))} ({right})"
    if kind == "unary":
        return f"{draw(st.sampled_from(['-', '+', 'not ']))}({draw(expressions(depth + 1))})"
    if kind == "len":
        return f"len({draw(expressions(depth + 1))})"
    text = draw(st.sampled_from("xyz"))
    for _ in range(draw(st.integers(0, 4))):
        step = draw(st.sampled_from([".a", ".b", "[0]", "[-1]", "['a']", "['key']", "[1.5]", "[None]", "[y]", "[z.a]"]))
        text += step
    return text


def builtins_get(name: str, otherwise: Any) -> Any:
    """`len` and no more."""
    return {"len": len}.get(name, otherwise)


def values_of(text: str, names: dict[str, Any]) -> dict[str, Any]:
    """Text -> value, of each expression that the statement *text* shows."""
    compiler = Compiler(names.__contains__, lambda name: name)
    compiler.add(ast.parse(text).body[0])
    values = evaluate(compiler.steps, names.get, {}.get, builtins_get)
    return {one.text: values[one.step] for one in compiler.shown.values()}


@given(expressions(), VALUES, VALUES, VALUES)
def test_values_equal_eval_of_the_same_text(text: str, x: Any, y: Any, z: Any) -> None:
    """Whatever is shown under an expression's text is what Python gives for that text on a deep copy."""
    names = {"x": x, "y": y, "z": z}
    for shown, value in values_of(text, names).items():
        if value is not MISSING:
            expected = eval(shown, {}, copy.deepcopy(names))
            assert repr(value) == repr(expected), shown
            assert type(value) is type(expected)


@given(expressions(), VALUES, VALUES, VALUES)
def test_values_agree_with_pure_eval(text: str, x: Any, y: Any, z: Any) -> None:
    """Where the reference has a value too, it is the same; a plain path that it can evaluate, we can as well."""
    names = {"x": x, "y": y, "z": z}
    evaluator = Evaluator({**names, "len": len})
    for shown, value in values_of(text, names).items():
        node = ast.parse(shown, mode="eval").body
        try:
            expected = evaluator[node]
        except CannotEval:
            continue
        if value is not MISSING:
            assert repr(value) == repr(expected)
        elif all(not isinstance(one, (ast.BinOp, ast.UnaryOp, ast.Call)) for one in ast.walk(node)):
            raise AssertionError(f"{shown} is {expected!r} for pure_eval, and missing here")


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        (
            "order.items[0].price / order.total",
            ["order.items[0].price / order.total", "order.items[0].price", "order.total"],
        ),
        ('pay(data["key"], self.cart.total)', ["pay", 'data["key"]', "self.cart.total"]),
        ("self.send(x.y)", ["self", "x.y"]),
        ("self.cart.send(a[i + 1], *rest, **more)", ["self.cart", "a[i + 1]", "i + 1", "i", "rest", "more"]),
        ("f(x)(y).z", ["f", "x", "y"]),
        ("total / (count - len(skipped))", None),
        ("xs[a:b].name", ["xs", "a", "b"]),
        ("f'{user.name!r:>{width}} {n}'", ["user.name", "width", "n"]),
        ("[f(x, y) for x in order.items if x.ok]", ["order.items", "f", "y"]),
        ("lambda x: x.y + z", []),
        ("a.b if c.d else e", None),
        ("x.a[b.c[d]]", ["x.a[b.c[d]]", "b.c[d]", "d"]),
        ("x[-1]", ["x[-1]"]),
        ("x['a\"b']", ["x['a\"b']"]),
    ],
)
def test_what_is_shown_of_a_statement(statement: str, shown: list[str] | None) -> None:
    """Paths as a whole, what is inside their subscripts, operands; no constants, no call results, no inner variables."""
    names = {
        name: None
        for name in "order data self x y z a b c d e i xs rest more user n width f pay total count skipped".split()
    }
    found = list(values_of(statement, names))
    if shown is not None:
        assert found == shown
    else:
        assert len(found) >= 3


def test_computations_of_classes_are_not_evaluated() -> None:
    """Properties, `__getattr__`, `__getitem__`, operators and lengths of classes are code."""
    ran = []

    class Meta(type):
        @property
        def shared(cls) -> None:
            ran.append("meta")

    class Busy(metaclass=Meta):
        plain = 5

        @property
        def total(self) -> None:
            ran.append("property")

        def __getattr__(self, name: str) -> None:
            ran.append(name)

        def __getitem__(self, key: Any) -> None:
            ran.append(key)

        def __len__(self) -> int:
            ran.append("len")
            return 1

        def __add__(self, other: Any) -> None:
            ran.append("add")

        def __neg__(self) -> None:
            ran.append("neg")

    class Dict(dict):  # type: ignore[type-arg]
        def __getitem__(self, key: Any) -> None:
            ran.append("getitem")

        def __missing__(self, key: Any) -> None:
            ran.append("missing")

    names = {"x": Busy(), "y": Dict(a=1), "z": Busy}
    texts = ["x.total", "x.lost", "x[0]", "len(x)", "x + 1", "-x", "y['a']", "y['b']", "len(y)", "z.shared", "not x"]
    values = {text: values_of(text, names) for text in texts}
    assert ran == []
    assert all(value is MISSING for found in values.values() for value in list(found.values())[:1])
    assert values_of("x.plain", names) == {"x.plain": 5}


def test_keys_of_somebodys_class_are_not_compared() -> None:
    """A dict whose keys could run code on comparison isn't searched; one with tuples among its keys is."""
    ran = []

    class Key(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            ran.append(other)
            return True

        def __hash__(self) -> int:
            return hash("a")

    mapping: dict[Any, Any] = {Key("zzz"): 1}
    assert values_of("x['a']", {"x": mapping}) == {'x["a"]': MISSING}
    holder = type("Holder", (), {})()
    vars(holder)[Key("a")] = 1
    values_of("x.a", {"x": holder})
    assert ran == []
    assert values_of("x['a']", {"x": {(1, 2): 1, "a": 5}}) == {'x["a"]': 5}


def test_a_default_dict_is_not_filled_by_looking() -> None:
    """A missing key of a defaultdict stays missing."""
    from collections import defaultdict

    counts: defaultdict[str, int] = defaultdict(int)
    values_of("x['a']", {"x": counts})
    assert not counts


def test_a_large_dict_is_looked_through_once_for_a_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of its entries the statement uses, and of however many such dicts: a fixed number of looks."""
    looks: list[int] = []
    is_plain = static.is_plain

    def counted(mapping: Any, key: Any) -> bool:
        looks.append(len(mapping))
        return is_plain(mapping, key)

    monkeypatch.setattr(static, "is_plain", counted)
    large: dict[Any, Any] = {**{f"k{n}": n for n in range(5_000)}, 1: "one"}
    names = {f"d{n}": dict(large) for n in range(5)}
    compiler = Compiler(lambda name: True, lambda name: name)
    for text in [f'd0["k{n}"]' for n in range(20)] + [f'd{n}["k1"]' for n in range(5)]:
        compiler.add(ast.parse(text, mode="eval").body)
    values = evaluate(compiler.steps, names.get, {}.get, {}.get)
    shown = {text: values[one.step] for text, one in compiler.shown.items()}
    assert [shown[f'd0["k{n}"]'] for n in range(20)] == list(range(20))
    assert shown['d1["k1"]'] == 1
    assert shown['d4["k1"]'] is MISSING
    assert looks == [len(large)] * static.MAX_LARGE
