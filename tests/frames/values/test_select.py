"""Which values of a frame are shown, and in which order."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from phtrack.frames.site import Site
from phtrack.frames.values.select import fast_names, make_plan, nearest_names
from tests.frames.values.taking import entries_at, failure, frames_of, shown_at, taken_at

LIMIT = {"total": 5}
COUNT = 3


class Order:
    """What is shopped."""

    kind = "retail"

    def __init__(self) -> None:
        self.items = [{"price": 3}, None]
        self.total = 0
        self.__hidden = 7

    def secret_sum(self) -> Any:
        """Fails on a mangled name."""
        return self.__hidden / self.total


def test_the_statements_expressions_come_first() -> None:
    """In the order of the text; then the other locals, nearest first; the variables that paths start with among them."""

    def fail(order: Order, unused: int) -> Any:
        first = 1
        near = 2
        far = near + first
        near = far
        return order.items[0]["price"] / order.total

    assert list(shown_at(fail, Order(), 9)) == [
        'order.items[0]["price"]', "order.total", "order", "near", "far", "first", "unused",
    ]  # fmt: skip
    assert shown_at(fail, Order(), 9)["order.total"] == 0


def test_the_failing_expression_leads() -> None:
    """In a statement of many parts, the one that was being evaluated comes before those to its left."""
    if sys.version_info < (3, 11):
        return  # the instruction's columns aren't known

    def fail(a: Any, b: Any, c: Any) -> Any:
        return [a.real, b.real, c["lost"] + a.imag]

    assert next(iter(shown_at(fail, 1, 2, {"kept": 5}))) == "c"

    def twice(c: Any) -> Any:
        return c["lost"] + c.lost + len(c) + 1

    assert (
        list(shown_at(twice, {"kept": 5})) == ["c", "len(c) + 1", "len(c)"] or list(shown_at(twice, {})).count("c") == 1
    )


def test_the_longest_beginning_with_a_value_is_shown() -> None:
    """Of `order.items[1].price` the reader sees that `order.items[1]` was None."""

    def fail(order: Any) -> Any:
        return order.items[1].price.cents

    shown = shown_at(fail, Order())
    assert list(shown) == ["order.items[1]", "order"]
    assert shown["order.items[1]"] is None


def test_the_condition_that_governs_is_shown() -> None:
    """A `raise` alone says little: what was tested is next to it."""

    def fail(order: Order, limit: int) -> None:
        other = "near"
        if not other:
            return
        elif order.total < limit:
            for _ in range(1):
                pass
            raise ValueError("too little")

    assert list(shown_at(fail, Order(), 5))[:2] == ["order.total", "limit"]


def test_a_denominator_is_calculated() -> None:
    """The value that explains a ZeroDivisionError is that of the difference, not of its parts."""

    def fail(count: int, skipped: list[int]) -> float:
        return 1 / (count - len(skipped))

    shown = shown_at(fail, 2, [1, 2])
    assert shown["count - len(skipped)"] == 0
    assert shown["len(skipped)"] == 2


def test_globals_that_the_statement_uses_are_shown() -> None:
    """Data is, functions and classes and modules are not; nor are globals that it doesn't mention."""

    def fail(key: str) -> Any:
        return max(LIMIT[key], COUNT, sys.maxsize, Order.kind)

    shown = shown_at(fail, "total")
    assert shown["LIMIT[key]"] == 5
    assert shown["COUNT"] == 3
    assert shown["Order.kind"] == "retail"
    assert not {"max", "sys", "Order", "Any"} & set(shown)


def test_the_used_entry_of_a_huge_container_is_shown() -> None:
    """Ten entries of its head say nothing about the one that was used."""

    def fail(prices: dict[int, float], rows: list[int], sku: int) -> float:
        return prices[sku] / rows[sku]

    shown = shown_at(fail, {n: n / 4 for n in range(40_000)}, [0] * 40_000, 30_000)
    assert shown["prices[sku]"] == 7_500
    assert shown["rows[sku]"] == 0


def test_private_names_are_read_as_the_compiler_reads_them() -> None:
    """`self.__hidden` in a method of Order is `_Order__hidden`."""
    assert shown_at(Order().secret_sum)["self.__hidden"] == 7


def test_a_module_shows_what_its_statement_uses() -> None:
    """Never all globals."""
    code = compile(
        "import sys\na = 1\nb = {'c': [0]}\nunused = 5\nx = a / b['c'][0]\n", "<module without source>", "exec"
    )
    shown = shown_at(exec, code, {"__name__": "made"})
    assert shown == {"a": 1, "b": {"c": [0]}}


def test_a_module_with_source_shows_expressions(tmp_path: Any) -> None:
    """The same statement with its file at hand."""
    file = tmp_path / "made.py"
    file.write_text("import sys\na = 1\nb = {'c': [0]}\nunused = 5\nx = a / b['c'][0]\n")
    code = compile(file.read_text(), str(file), "exec")
    shown = shown_at(exec, code, {"__name__": "made", "__file__": str(file)})
    assert shown == {"a": 1, 'b["c"][0]': 0, "b": {"c": [0]}}


def test_a_comprehension_shows_its_own_variables_or_its_iterable() -> None:
    """Up to Python 3.11 it has a frame of its own; since then its variables are gone and the iterable is what is left."""

    def fail(rows: list[int], scale: int) -> list[float]:
        row = "another"
        return [scale / row for row in rows if row < 5]

    shown = shown_at(fail, [1, 0], 3)
    if sys.version_info >= (3, 12):
        assert list(shown)[:2] in (["rows", "scale"], ["scale", "rows"])
        assert shown["row"] == "another"
    else:
        assert shown == {"scale": 3, "row": 0}
        assert list(shown_at(fail, [1, 0], 3, level=1))[:1] == ["rows"]


def test_a_generator_and_a_lambda_show_their_own_variables() -> None:
    """Each of the lambdas of one line is told from the others."""

    def fail(rows: list[int]) -> float:
        return sum(1 / row for row in rows)

    assert shown_at(fail, [1, 0]) == {"row": 0}

    def two(first: int) -> Any:
        good, bad = (lambda y: y.real), (lambda x: x.real / first)
        return good(1), bad(2)

    assert shown_at(two, 0) == {"x.real": 2, "first": 0, "x": 2}


def test_names_inside_a_lambda_do_not_mean_the_frames() -> None:
    """`x` in `lambda x: x.lost` is not the x of the frame."""

    def fail(x: Any, rows: Any) -> Any:
        return sorted(rows, key=lambda x: x.real) + x.imag

    assert set(shown_at(fail, 5, [1])) == {"x.imag", "rows", "x"}


def test_nearest_names_are_read_from_the_instructions() -> None:
    """Without source the statement's variables still come first, then those used before it, then those used after."""

    def fail(never: int, early: int) -> Any:
        a = early
        b = a
        c = b
        if c:
            raise ValueError(c, a)
        later = 5
        return later, b

    error = failure(fail, 1, 2)
    frame, site = frames_of(error)[0]
    names = nearest_names(frame.f_code, site.lasti, fast_names(frame.f_code))
    assert names == ["a", "c", "b", "early", "later", "never"]


def test_cells_and_free_variables_are_among_the_names() -> None:
    """Variables shared with inner functions live in cells."""

    def outer(shared: int) -> Any:
        def inner(own: int) -> Any:
            nonlocal shared
            shared += own
            raise ValueError

        return inner(1), lambda: own_cell

    own_cell = 3
    assert shown_at(outer, 5) == {"own": 1, "shared": 6}
    assert shown_at(outer, 5, level=1)["shared"] == 6


@pytest.mark.parametrize("source", ["class A:\n    a = 1\n    b = a / 0\n", "a = 1\nfor x in a.b:\n    pass\n"])
def test_bodies_of_classes_and_loops_show_names(source: str) -> None:
    """Without source, too."""
    assert shown_at(exec, compile(source, "<none>", "exec"), {"__name__": "m"})["a"] == 1


def test_a_class_body_in_somebodys_namespace_is_not_asked() -> None:
    """A metaclass may prepare a mapping of its own: looking names up in it would run its code."""
    asked = []

    class Names(dict):  # type: ignore[type-arg]
        def __getitem__(self, key: str) -> Any:
            return dict.__getitem__(self, key)

        def get(self, key: str, otherwise: Any = None) -> Any:
            asked.append(key)

    class Meta(type):
        @classmethod
        def __prepare__(cls, name: str, bases: Any) -> Names:  # type: ignore[override]
            return Names()

    def fail() -> None:
        class A(metaclass=Meta):
            a = 1
            b = a / 0

    assert shown_at(fail)["a"] == 1
    assert asked == []


def test_masked_and_ignored_names() -> None:
    """A masked part of an expression hides all of it, a dunder variable is left out."""

    def fail(settings: dict[str, Any], login: Any) -> Any:
        __tracebackinfo__ = 5
        return settings["api_key"].lost + login.password.lost + __tracebackinfo__

    class Login:
        password = "hunter2"

    found = entries_at(fail, {"api_key": "hunter2"}, Login())
    assert "hunter2" not in str(found)
    assert {one["name"]: one.get("redacted") for one in found} == {
        'settings["api_key"]': "name:api_key",
        "login.password": "name:password",
        "settings": "name:api_key",
        "login": None,
    }


def test_a_plan_is_made_once_and_holds_no_value() -> None:
    """It hangs on the site, which lives for ever: names and texts only."""

    def fail(order: Any) -> Any:
        return order.total / 0

    error = failure(fail, Order())
    frame, site = frames_of(error)[0]
    taken = taken_at(fail, Order())
    assert taken
    plan = make_plan(Site(frame.f_code, site.lasti, site.lineno, frame.f_globals), with_source=True)
    assert [one.text for one in plan.shown] == ["order.total / 0", "order.total"]
    assert plan.names == ("order",)
    bare = make_plan(site, with_source=False)
    assert (bare.shown, bare.names) == ((), ("order",))
