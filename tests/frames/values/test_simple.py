"""Names read off without a parser are the ones a parser finds, in the same order; where that isn't sure, there are none."""

from __future__ import annotations

import ast
from textwrap import indent
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from phtrack.frames.site import Site
from phtrack.frames.statement import statement_of
from phtrack.frames.values.expressions import Compiler
from phtrack.frames.values.select import make_plan
from phtrack.frames.values.simple import names_in
from tests.frames.values.taking import failure, frames_of


def parsed(text: str) -> list[str]:
    """What the compiler of expressions shows of a statement."""
    node = ast.parse(text if text.startswith("raise") else text + ": pass").body[0]
    compiler = Compiler(lambda name: True, lambda name: name)
    compiler.add(node if isinstance(node, ast.Raise) else node.test)  # type: ignore[attr-defined]
    return list(compiler.shown)


@pytest.mark.parametrize(
    "text",
    [
        "raise",
        "raise Error",
        "raise Error()",
        "raise Error('no such order')  # says nothing",
        'raise Error(f"{label} can\'t be shipped")',
        'raise Error(f"{label!r:>10}: {{not_a_name}} {{{total:.2f}}}", code, 404)',
        "raise make(kind, first) from error",
        "raise Error from None",
        "if number",
        "if total > LIMIT and open",
        "while (a, b) != (c, 1.5) or d is None",
        "if key in found",
        "if größe == 3",
    ],
)
def test_simple_statements_are_read_off(text: str) -> None:
    """Without a parser, and to the same result."""
    names = names_in(text)
    assert names is not None
    assert names == parsed(text)


@pytest.mark.parametrize(
    "text",
    [
        "raise errors.NotFound(key)",
        "raise Error(items[0])",
        "raise Error(len(items))",
        "raise Error(key=value)",
        "raise Error(a + b)",
        "raise Error(-1)",
        "raise Error(not a)",
        "raise Error(a if b else c)",
        "raise Error([x for x in y])",
        "raise Error(lambda: x)",
        'raise Error(f"{a.b}")',
        'raise Error(f"{a[0]}")',
        'raise Error(f"{a=}")',
        'raise Error(f"{a:{width}}")',
        'raise Error(rf"{a}")',
        'raise Error(F"{a}")',
        'raise Error(b"x")',
        'raise Error("""a""")',
        'raise Error("a\\"b", c)',
        "raise Error(",
        'raise Error(f\'{a}\' f"""',
        "raise Error(1_000)",
        "raise Error(0x1f)",
        "raise Error(*args)",
        "raise Error(a); b()",
        "if not a",
        "if (a := b)",
    ],
)
def test_what_has_more_to_it_is_left_to_the_parser(text: str) -> None:
    """Attributes, subscripts, arithmetic, `len`: expressions of their own, or names that mean something else."""
    assert names_in(text) is None


_names = st.sampled_from(["a", "label", "größe", "_x", "Error", "rf", "f", "len", "not_this", "is_open", "None"])
_inside = st.one_of(
    _names.map(lambda name: f"{{{name}}}"),
    _names.map(lambda name: f"{{{name}!r:>8}}"),
    st.sampled_from([" ", "{{", "}}", "text", "'", "a", ":", "#", "("]),
)
_parts = st.recursive(
    st.one_of(
        _names,
        st.lists(_inside, max_size=5).map(lambda parts: f'f"{"".join(parts)}"'),
        st.sampled_from(["1", "2.5", '"text"', "'a b'", '""', "a.b", "a[0]", "'{a}'", '"#"']),
    ),
    lambda parts: st.one_of(
        st.tuples(parts, st.sampled_from(["<", "==", "and", "is", "in", "or", "+"]), parts).map(" ".join),
        st.tuples(_names, st.lists(parts, max_size=3)).map(lambda call: f"{call[0]}({', '.join(call[1])})"),
        parts.map(lambda part: f"({part})"),
    ),
    max_leaves=8,
)


@given(part=_parts, begin=st.sampled_from(["raise ", "if ", "while "]))
@example(part='f"{{{a}}}"', begin="raise ")
@example(part='f"{{a}}"', begin="raise ")
def test_a_parser_agrees(part: str, begin: str) -> None:
    """Whatever is read off, the parser would have found."""
    text = begin + part
    try:
        expected = parsed(text)
    except SyntaxError:
        return
    names = names_in(text)
    assert names is None or names == expected, text


def test_the_plan_is_the_same_either_way() -> None:
    """A site whose statement is known already is planned from its tree."""
    source = """
def ship(order, open, left):
    label = f"order {order}"
    if left:
        raise ValueError(f"{label}: {left} left", open)
"""
    space: dict[str, Any] = {}
    exec(compile(source, "shop_of_test_simple.py", "exec"), space)
    quick, slow = (_site(space["ship"], source, 7, True, 2) for _ in range(2))
    assert statement_of(slow) is not None
    plans = [make_plan(site, with_source=True) for site in (quick, slow)]
    assert plans[0].shown == plans[1].shown
    assert plans[0].names == plans[1].names
    assert [one.text for one in plans[0].shown] == ["ValueError", "label", "left", "open"]
    assert quick.statement is None, "nobody needed the tree"


def _site(function: Any, source: str, *arguments: Any) -> Site:
    """Where *function* of *source* fails, as if its module's loader had the source."""

    class Loader:
        def get_source(self, name: str) -> str:
            return source

        def get_filename(self, name: str) -> str:
            return "shop_of_test_simple.py"

    frame, site = frames_of(failure(function, *arguments))[0]
    about = {"__name__": f"shop_of_{function.__name__}", "__file__": "shop_of_test_simple.py", "__loader__": Loader()}
    return Site(frame.f_code, site.lasti, site.lineno, about)


def test_a_statement_that_only_looks_simple_goes_to_the_parser() -> None:
    """It goes on on the next line, or it isn't the line's only one."""
    source = "def f(a):\n" + indent("raise ValueError(a,\n    len(a))\n", "    ")
    space: dict[str, Any] = {}
    exec(compile(source, "shop_of_test_simple.py", "exec"), space)
    plan = make_plan(_site(space["f"], source, "ab"), with_source=True)
    assert "len(a)" in [one.text for one in plan.shown]
