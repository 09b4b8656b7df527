"""The standard library as sample, and as judges Python's own traceback, `ast` and stack_data."""

from __future__ import annotations

import ast
import importlib
import linecache
import sys
import traceback
from types import CodeType
from typing import TYPE_CHECKING, Any

import pytest
import stack_data

from phtrack.frames import source
from phtrack.frames.site import Site
from phtrack.frames.statement import qualname_of, statement_of
from tests.frames.sites_here import failing_code
from tests.frames.statement.test_places import CASES, Case

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.filterwarnings("ignore:.*invalid escape sequence")
MODULES = ["json.decoder", "textwrap", "dataclasses", "contextlib", "shlex"]


def codes_of(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_of(constant)


def sites_in(module: Any) -> Iterator[Site]:
    """A site for the first instruction of each line of each code object of *module*, without running it."""
    with open(module.__file__, encoding="utf-8") as file:
        top = compile(file.read(), module.__file__, "exec", dont_inherit=True)
    about = {"__name__": module.__name__, "__file__": module.__file__, "__loader__": module.__loader__}
    for code in codes_of(top):
        seen = set()
        for start, _, line in code.co_lines():
            if line and line not in seen:
                seen.add(line)
                yield Site(code, start, line, about)


@pytest.mark.parametrize("name", MODULES)
def test_statements_are_stack_datas_pieces(name: str) -> None:
    """For each line with code the same lines as stack_data's piece, without the remarks around them."""
    module = importlib.import_module(name)
    theirs = stack_data.Source.for_filename(module.__file__)
    piece_of = {line: piece for piece in theirs.pieces for line in piece}
    for site in sites_in(module):
        found = statement_of(site)
        said = f"{name}:{site.lineno} in {site.code.co_name}"
        assert found is not None, said
        lines = [line for line in piece_of[site.lineno or 0] if theirs.lines[line - 1].strip()[:1] not in ("", "#")]
        assert (found.first_line, found.last_line) == (lines[0], lines[-1]), said


@pytest.mark.parametrize("name", MODULES[:4])
def test_nodes_are_those_of_the_whole_file(name: str) -> None:
    """What is parsed from a statement alone equals the same statement in the tree of its file, body apart."""
    module = importlib.import_module(name)
    with open(module.__file__, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    simple = {(n.lineno, n.col_offset): n for n in ast.walk(tree) if isinstance(n, ast.stmt) and not hasattr(n, "body")}
    simple = {place: node for place, node in simple.items() if not isinstance(node, ast.Match)}
    compared = 0
    for site in sites_in(module):
        found = statement_of(site)
        assert found is not None
        node = found.node
        expected = simple.get((node.lineno, node.col_offset))
        if expected is not None and not any("\\" in line for line in found.lines):
            assert ast.dump(node, include_attributes=True) == ast.dump(expected, include_attributes=True)
            compared += 1
    assert compared > 50


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs Python 3.11")
@pytest.mark.parametrize("name", MODULES)
def test_places_are_those_of_the_code_object(name: str) -> None:
    """Exactly the compiler's, but for the rest of a chain over lines, and the expression in what it names whole."""
    module = importlib.import_module(name)
    same = others = 0
    for site in sites_in(module):
        found = statement_of(site)
        line, end_line, column, end_column = list(site.code.co_positions())[site.lasti // 2]
        assert found is not None
        place = found.expression
        if line is None or end_line is None or column is None or end_column is None:
            assert place is None
            continue
        if place is None:
            whole = (line, column) <= (found.node.lineno, found.node.col_offset) or isinstance(found.node, ast.Try)
            assert whole or any(isinstance(node, ast.JoinedStr) for node in ast.walk(found.node)), site.lineno
            continue
        lines = source.lines_of(site) or ()
        start = (line, len(lines[line - 1].encode()[:column].decode()))
        end = (end_line, len(lines[end_line - 1].encode()[:end_column].decode()))
        if (place[:2], place[2:]) == (start, end):
            same += 1
        else:
            others += 1
            is_inside = start <= place[:2] and place[2:] <= end
            assert is_inside or place[2:] == end, site.lineno
    assert same > 20 * others


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs Python 3.11")
@pytest.mark.parametrize(
    "case", [case for case in CASES if "\n" not in (case.expression or "\n")], ids=lambda c: c.name
)
def test_the_expression_is_what_pythons_traceback_underlines(case: Case) -> None:
    """Python prints carets under it unless it is the whole line."""
    filename, lines = f"<caret {case.name}>", case.source.split("\n")
    linecache.cache[filename] = (len(case.source), None, [line + "\n" for line in lines], filename)
    try:
        try:
            exec(compile(case.source, filename, "exec", dont_inherit=True), {"__name__": "__main__"})
        except Exception as error:
            about = [
                frame
                for frame in traceback.TracebackException.from_exception(error).stack
                if frame.filename == filename
            ]
            (site,) = [s for s in _sites(error) if s.code.co_filename == filename][-1:]
        found = statement_of(site)
        assert found is not None and found.expression is not None
        frame = about[-1]
        if frame.lineno == frame.end_lineno and frame.colno is not None:
            text = lines[(frame.lineno or 0) - 1].encode()[frame.colno : frame.end_colno].decode()
            whole = text.startswith(("assert ", "for ")) or case.name == "comprehension's iterable"
            assert found.expression_text == text or (whole and (found.expression_text or "") in text)
    finally:
        del linecache.cache[filename]


def _sites(error: BaseException) -> list[Site]:
    found, tb = [], error.__traceback__
    while tb is not None:
        found.append(Site(tb.tb_frame.f_code, tb.tb_lasti, tb.tb_lineno, tb.tb_frame.f_globals))
        tb = tb.tb_next
    return found


@pytest.mark.parametrize("name", MODULES)
def test_qualified_names(name: str) -> None:
    """As Python names the functions, also where the code object doesn't know (3.10) and indentation must tell."""
    module = importlib.import_module(name)
    with open(module.__file__, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    expected = dict(_names(tree, ""))
    for site in sites_in(module):
        if not site.code.co_name.startswith("<") and "__static_attributes__" not in site.code.co_name:
            want = expected.get((site.code.co_firstlineno, site.code.co_name))
            assert want is None or qualname_of(site) == want


def _names(node: ast.AST, prefix: str) -> Iterator[tuple[tuple[int, str], str]]:
    for child in ast.iter_child_nodes(node):
        inner = prefix
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            first = min([child.lineno, *[decorator.lineno for decorator in child.decorator_list]])
            yield (first, child.name), prefix + child.name
            inner = f"{prefix}{child.name}." + ("" if isinstance(child, ast.ClassDef) else "<locals>.")
        yield from _names(child, inner)


def test_nothing_of_the_host_is_needed_or_kept() -> None:
    """A tree that another tool hung `parent` links into (executing does, on shared nodes too) does no harm."""
    stack_data.Source.for_filename(importlib.import_module("shlex").__file__).pieces
    assert "parent" in ast.parse("x").body[0].value.ctx.__dict__  # type: ignore[attr-defined]
    (site,) = failing_code("1 / 0", __file__)
    site.lineno = 1
    assert statement_of(site) is not None
