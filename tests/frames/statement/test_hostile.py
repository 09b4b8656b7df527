"""Source that isn't what runs, code that isn't from a file, and shapes nobody writes: absence or the truth, no harm."""

from __future__ import annotations

import ast
import gc
import importlib.util
import linecache
import sys
import weakref
from types import CodeType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phtrack.frames import pieces, source, statement, trees
from phtrack.frames.site import Site
from phtrack.frames.statement import Statement, qualname_of, statement_of
from tests.frames.sites_here import failing, failing_code

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def registered() -> Iterator[Any]:
    """Register source under a pseudo name, run it, and give the sites in it."""
    names = []

    def run(text: str, name: str = "<registered>", code: CodeType | None = None, **more: Any) -> list[Site]:
        names.append(name)
        linecache.cache[name] = (len(text), None, [line + "\n" for line in text.split("\n")], name)
        sites = failing_code(code or compile(text, name, "exec", dont_inherit=True), **more)
        return [site for site in sites if site.code.co_filename == name]

    yield run
    for name in names:
        linecache.cache.pop(name, None)


def text_of(site: Site) -> str | None:
    found = statement_of(site)
    return None if found is None else found.text


def test_a_file_that_was_changed_has_no_statement(tmp_path: Path) -> None:
    """When another function stands where this one began, its lines are not this one's."""
    path = tmp_path / "a.py"
    path.write_text("def f():\n    1 / 0\n\ndef g():\n    return 1\n")
    spec = importlib.util.spec_from_file_location("changed_sample", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path.write_text("def g():\n    return 1\n\ndef f():\n    1 / 0\n")
    (site,) = failing(module.f)
    assert source.window(site) is not None
    assert statement_of(site) is None


def test_a_renamed_code_object_has_no_statement(registered: Any) -> None:
    """`code.replace` and its likes make code that no line of the file is."""
    (site,) = registered("1 / 0\n")
    renamed = site.code.replace(co_name="other", co_firstlineno=1)
    assert statement_of(Site(renamed, site.lasti, 1, {})) is None
    moved = site.code.replace(co_firstlineno=2_000_000)
    assert statement_of(Site(moved, site.lasti, 2_000_001, {})) is None
    for lasti in (-1, 7, 1_000_001):
        odd = Site(site.code, lasti, 1, {})
        found = statement_of(odd)
        assert found is not None
        assert found.expression is None or found.expression_text


@pytest.mark.parametrize("name", ["<lambda>", "<genexpr>", "<module>", "<cell line: 1>", "<weird>", "a b", ""])
def test_odd_code_names_never_raise(registered: Any, name: str) -> None:
    """Names are only names."""
    (site,) = registered("x = (\n 1 /\n 0)\n")
    changed = Site(site.code.replace(co_name=name), site.lasti, 2, {})
    statement_of(changed)
    assert isinstance(qualname_of(changed), str)


def test_source_that_is_no_python(registered: Any) -> None:
    """Whatever is registered for code, it needn't be what was compiled."""
    code = compile("1 / 0\n", "<odd>", "exec")
    for text in ("{{ order.total }", "x = (((", "'''", "\\", "\x00 = 1", "🙂\ud800", "def", "if x:\n", ")", "a = 1 +"):
        (site,) = registered(text, "<odd>", code)
        found = statement_of(site)
        assert found is None or found.expression is None or found.expression_text


def test_eval_and_exec(registered: Any) -> None:
    """`eval` with registered source is a statement of one expression."""
    code = compile("a.real / 0", "<evaluated>", "eval")
    name = "<evaluated>"
    linecache.cache[name] = (1, None, ["a.real / 0\n"], name)
    try:
        (site,) = failing(eval, code, {"a": 1})
        found = statement_of(site)
        assert found is not None and found.text == "a.real / 0"
        assert found.expression_text == ("a.real / 0" if sys.version_info >= (3, 11) else None)
    finally:
        del linecache.cache[name]
    (site,) = failing(eval, "1 / 0")
    assert statement_of(site) is None


def test_very_long_statements_are_absent_and_long_lines_are_not(registered: Any) -> None:
    """A table of ten thousand lines is data, not a statement to read; a line of 20 KB still is one."""
    table = "x = [\n" + "  'a',\n" * (trees.MAX_LINES + 10) + "  nope]\n"
    (site,) = registered(table)
    assert statement_of(site) is None
    (site,) = registered("x = '" + "(" * 20_000 + "' + nope")
    found = statement_of(site)
    assert found is not None and found.expression_text == "nope"


def test_deep_nesting_never_raises(registered: Any) -> None:
    """Expressions as deep as the parser allows."""
    (site,) = registered("x = " + "(" * 80 + "nope" + ")" * 80)
    assert text_of(site) is not None
    (site,) = registered("x = nope" + " + 1" * 900)
    found = statement_of(site)
    assert found is None or found.expression_text in ("nope", None)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs Python 3.12")
def test_nested_f_strings_of_today(registered: Any) -> None:
    """From 3.12 on an f-string may hold its own quotes, and lines."""
    text = """d = {}
x = f"{d["it's"]} and {f"{d[')']}"}"
"""
    (site,) = registered(text)
    found = statement_of(site)
    assert found is not None and found.expression_text == """d["it's"]"""
    (site,) = registered('x = f"a{\n  nope\n  }b("\n')
    found = statement_of(site)
    assert found is not None and found.expression_text == "nope"


def test_no_warnings_are_repeated(registered: Any, recwarn: pytest.WarningsRecorder) -> None:
    """Parsing again what Python warned about at import stays silent; hosts run with warnings as errors."""
    code = compile("x = '  ' + nope", "<warns>", "exec")
    (site,) = registered("x = '\\d' + nope", "<warns>", code)
    found = statement_of(site)
    assert found is not None and found.function is not None
    assert [str(one.message) for one in recwarn] == []


def test_lambdas_of_one_line_and_their_function(registered: Any) -> None:
    """Several on a line are told apart by the place; their function is the lambda itself."""
    (_, site) = registered("fs = [lambda a: a.b, lambda a: a.c]\nfs[1](3)")
    found = statement_of(site)
    assert found is not None and isinstance(found.function, ast.Lambda)


def test_the_function_around_a_statement(registered: Any) -> None:
    """With decorators and body, lines as in the file, in a class as well."""
    (*_, site) = registered(
        "\nclass A:\n  @staticmethod\n  def f(x):\n    '''\ndef\n    '''\n    if x:\n      return x.y\n\n  def g(): pass\nA.f(3)"
    )
    found = statement_of(site)
    assert found is not None
    function = found.function
    assert isinstance(function, ast.FunctionDef)
    assert (function.name, function.lineno, function.end_lineno, len(function.decorator_list)) == ("f", 4, 9, 1)
    module = statement_of(registered("1 / 0\n")[0])
    assert module is not None and isinstance(module.function, ast.Module)


def test_trees_are_bounded_and_come_back(registered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the latest statements keep their tree; an older one parses again and says the same."""
    monkeypatch.setattr(statement, "MAX_TREES", 5)
    statement._kept.clear()
    found = []
    for number in range(12):
        *_, site = registered(f"x = 1; y = {number} / 0", f"<number {number}>")
        found.append(statement_of(site))
    assert len(statement._kept) == 5
    first = found[0]
    assert first is not None and first._node is None
    assert ast.unparse(first.node) == "y = 0 / 0"
    assert first.expression_node is not None and ast.unparse(first.expression_node) == "0 / 0"
    assert len(statement._kept) == 5


def test_a_statement_keeps_no_frame_and_no_value(registered: Any) -> None:
    """Sites and statements outlive the exception; nothing of it may."""

    class Local:
        pass

    local = Local()
    reference = weakref.ref(local)
    sites = registered("def f(a):\n  b = a\n  return b.nope\nf(local)", local=local)
    found = [statement_of(site) for site in sites]
    assert all(one is not None and (one.expression_node, one.function) != (None, None) for one in found)
    del local
    gc.collect()
    assert reference() is None


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="needs Python 3.10")
def test_executing_keeps_nothing(registered: Any) -> None:
    """The caches of `executing` never shrink by themselves; after a look they are as small as before."""
    from executing import executing as library

    found = statement_of(registered("def f(a):\n  return a.b / a.c[0]\nf(3)")[-1])
    assert found is not None and found.expression_text == "a.b"
    assert library.statement_containing_node.cache_info().currsize == 0
    assert library.Source.statements_at_line.cache_info().currsize == 0


def test_statements_never_form_a_cycle(registered: Any) -> None:
    """In processes that turned the collector off, forgotten sites must go all the same."""
    (site,) = registered("1 / 0\n")
    found = statement_of(site)
    assert isinstance(found, Statement)
    assert all(one is not site for one in gc.get_referents(found))


@given(
    st.lists(st.text("ab ():[]{}'\"\\#\n\t=,@defif", max_size=30), max_size=12), st.integers(1, 12), st.integers(1, 12)
)
def test_the_scan_never_raises_and_stays_in_bounds(lines: list[str], start: int, wanted: int) -> None:
    """Whatever the text, a piece holds the line asked for, or there is none."""
    flat = "\n".join(lines).split("\n")
    found = pieces.piece_at(flat, min(start, len(flat)), min(wanted, len(flat)))
    if found is not None:
        assert 1 <= found.first <= min(wanted, len(flat)) <= found.last <= len(flat)
        trees.parse(flat[found.first - 1 : found.last], found.first, found.is_header)
