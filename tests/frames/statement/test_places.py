"""
Statement and expression at the place of failure, for each kind of statement, alike on all Pythons.

Each program fails; the innermost frame in it is looked at. Where Python 3.10 can't know the expression, the case says so.
"""

from __future__ import annotations

import ast
import linecache
import sys
from typing import NamedTuple

import pytest

from phtrack.frames.statement import statement_of
from tests.frames.sites_here import failing_code

pytestmark = pytest.mark.filterwarnings("ignore:.*invalid escape sequence", "ignore:.*(not subscriptable|not callable)")
OLD = sys.version_info < (3, 11)


class Case(NamedTuple):
    name: str
    source: str
    statement: str
    expression: str | None
    """As Python's carets show it; of a chain over several lines the whole of it."""
    old: str | None = "same"
    """On Python 3.10; None where nobody can tell."""


CASES = [
    Case("call", "x = int(\n  'x',\n)", "x = int(\n  'x',\n)", "int(\n  'x',\n)"),
    Case("nested call", "x = abs(int('1') + int('x')) + int('3')", "x = abs(int('1') + int('x')) + int('3')", "int('x')"),
    Case("call with stars", "x = abs(*[1, 2])", "x = abs(*[1, 2])", "abs(*[1, 2])"),
    Case("attribute", "a = 3\nb = a.real.nope.x", "b = a.real.nope.x", "a.real.nope"),
    Case("attribute chain", "o = 3\nx = (o\n  .real\n  .foo\n  .bar())", "x = (o\n  .real\n  .foo\n  .bar())", "o\n  .real\n  .foo"),
    Case("method chain", "o = {}\nx = (o\n  .copy()\n  .nope())", "x = (o\n  .copy()\n  .nope())", "o\n  .copy()\n  .nope"),
    Case("method call in a chain", "o = {}\nx = (o\n  .copy()\n  .pop(1))", "x = (o\n  .copy()\n  .pop(1))", "o\n  .copy()\n  .pop(1)"),
    Case("subscript", "d = {'a': {}}\ny = d['a']['b'][0]", "y = d['a']['b'][0]", "d['a']['b']"),
    Case("slice", "x = 3; y = x[1:2]", "x = 3; y = x[1:2]", "x[1:2]"),
    Case("binary operation", "x = 1 + 'x' * 2 / 3", "x = 1 + 'x' * 2 / 3", "'x' * 2 / 3"),
    Case("after wide characters", "é = 'ü'; x = 'äö🙂' + 'x' / é", "é = 'ü'; x = 'äö🙂' + 'x' / é", "'x' / é"),
    Case("unary operation", "x = [1, -'a']", "x = [1, -'a']", "-'a'"),
    Case("comparison", "x = 1 < 'a'", "x = 1 < 'a'", "1 < 'a'"),
    Case("chained comparison", "x = 1 < 2 < 'a'", "x = 1 < 2 < 'a'", "1 < 2 < 'a'", None),
    Case("containment", "x = 1 in 2", "x = 1 in 2", "1 in 2"),
    Case("name", "x = 3 + nope", "x = 3 + nope", "nope"),
    Case("walrus", "if (y := nope) > 3: pass", "if (y := nope) > 3: pass", "nope"),
    Case("conditional", "x = 1 if nope else 2", "x = 1 if nope else 2", "nope"),
    Case("assert", "x = 1\nassert x > 2, 'no'", "assert x > 2, 'no'", "x > 2"),
    Case("raise", "raise ValueError(\n 'x')", "raise ValueError(\n 'x')", None),
    Case("import", "from os import (\n  path,\n  nope)", "from os import (\n  path,\n  nope)", None),
    Case("augmented", "a = 1\na += 'x'", "a += 'x'", None),
    Case("store attribute", "a = (3)\na.x = 4", "a.x = 4", "a.x"),
    Case("store subscript", "d = ()\nd[1] = 4", "d[1] = 4", "d[1]"),
    Case("delete", "d = {}\ndel d['a']", "del d['a']", "d['a']", None),
    Case("unpack", "a, b = [1]", "a, b = [1]", "a, b"),
    Case("for over nothing iterable", "for i in 3:\n  pass", "for i in 3:", "3"),
    Case("if header", "a = None\nif (a and\n    a.x or\n    a.y):\n  pass", "if (a and\n    a.x or\n    a.y):", "a.y"),
    Case("elif header", "a = None\nif 0:\n  pass\nelif a.x:  # why\n  pass", "elif a.x:  # why", "a.x"),
    Case("while header", "a = 3\nwhile a.x:\n\n  # remark\n  pass", "while a.x:", "a.x"),
    Case("one-line body", "a = 3\nif a: a.b", "if a: a.b", "a.b"),
    Case("else on its line", "a = 3\nif not a: pass\nelse: a.b", "else: a.b", "a.b"),
    Case("try on its line", "a = 3\ntry: a.b\nfinally: pass", "try: a.b", "a.b"),
    Case("finally on its line", "a = 3\ntry: pass\nfinally: a.b", "finally: a.b", "a.b"),
    Case("except header", "try:\n  1 / 0\nexcept nope:\n  pass", "except nope:", "nope"),
    Case("except with no class", "try:\n  1 / 0\nexcept 5:\n  pass", "except 5:", "5"),
    Case("with header", "with 3 as q:\n  y = 1\n  z = 2", "with 3 as q:", "3"),
    Case("match subject", "a = 3\nmatch a.b:\n  case 3: pass", "match a.b:", "a.b"),
    Case("case guard", "match 3:\n  case 4: pass\n  case q if q.x:\n    pass", "case q if q.x:", "q.x"),
    Case("def default", "def f(x,\n  a=nope):\n    pass", "def f(x,\n  a=nope):", "nope"),
    Case("annotation", "x: nope = 3", "x: nope = 3", "nope"),
    Case("class header", "class A(nope):\n  def f(self): pass", "class A(nope):", "nope"),
    Case("decorator", "def d(x): return d\n@d\n@d(\n  nope)\nclass A:\n  pass", "@d\n@d(\n  nope)\nclass A:", "nope"),
    Case("decorator call", "@int\ndef f():\n  pass", "@int\ndef f():", "int"),
    Case("dict display", "x = {\n  'a': 1,\n  'b': nope,  # }\n}", "x = {\n  'a': 1,\n  'b': nope,  # }\n}", "nope"),
    Case("backslashes", "x = 1 + \\\n  nope + \\\n  2", "x = 1 + \\\n  nope + \\\n  2", "nope"),
    Case("string over lines", "x = '''a\nif b: [(\n''' + nope", "x = '''a\nif b: [(\n''' + nope", "nope"),
    Case("continued string", "x = 'a\\\n(b' + nope", "x = 'a\\\n(b' + nope", "nope"),
    Case("raw string", "x = r'\\d(' + nope + r\"\\\"\"", "x = r'\\d(' + nope + r\"\\\"\"", "nope"),
    Case("odd escapes", "x = '\\d\\q' + nope", "x = '\\d\\q' + nope", "nope"),
    Case("semicolons", "a = 1; b = nope; c = 2", "a = 1; b = nope; c = 2", "nope"),
    Case("list comprehension", "x = [1 / i\n     for i in (1, 0)]", "x = [1 / i\n     for i in (1, 0)]", "1 / i"),
    Case("comprehension's iterable", "x = [i for i in 5]", "x = [i for i in 5]", "5"),
    Case("generator expression", "x = list(1 / i for i in (0,))", "x = list(1 / i for i in (0,))", "1 / i"),
    Case("lambda", "f = lambda a: a.b.c\nf(3)", "f = lambda a: a.b.c", "a.b"),
    Case("lambda on its own line", "x = sorted([1, 2],\n  key=lambda a: (\n    a.foo))", "x = sorted([1, 2],\n  key=lambda a: (\n    a.foo))", "a.foo"),
    Case("two lambdas on a line", "f, g = lambda a: a.b, lambda a: a.c\ng(3)", "f, g = lambda a: a.b, lambda a: a.c", "a.c"),
    Case("lambda in a method", "class A:\n  '''\n  def f(self):\n  '''\n  def f(self):\n    return list(map(\n      lambda x: x.y,\n      [1]))\nA().f()", "return list(map(\n  lambda x: x.y,\n  [1]))", "x.y"),
    Case("nested def", "def f(a):\n  def g(b):\n    return (a\n      / b)\n  return g(0)\nf(1)", "return (a\n  / b)", "a\n      / b"),
    Case("yield from", "def f():\n  x = yield from 3\nlist(f())", "x = yield from 3", "yield from 3", "yield from 3"),
    Case("await", "async def f():\n  return 1 + await 3\nf().send(None)", "return 1 + await 3", "await 3"),
    Case("tabs", "def f(a):\n\tif a:\n\t\treturn a.b\nf(3)", "return a.b", "a.b"),
    Case("form feed", "\x0cdef f(a):\n    return a.b\nf(3)", "return a.b", "a.b"),
    Case("private names", "class A:\n  def __f(self):\n    return self.__g\n  def h(self):\n    self.__f()\nA().h()", "return self.__g", "self.__g"),
    Case("closure with class cell", "class A:\n  def f(self):\n    n = 3\n    def g():\n      super().__init__()\n      return n.nope\n    return g()\nA().f()", "super().__init__()", "super()"),
    Case("dedented continuation", "def f(a):\n    return (\na.b\n  )\nf(3)", "return (\na.b\n)", "a.b"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_place(case: Case) -> None:
    """The complete statement, the exact expression, and a node that is that expression."""
    filename = f"<case {case.name}>"
    text = case.source
    linecache.cache[filename] = (len(text), None, [line + "\n" for line in text.split("\n")], filename)
    try:
        sites = failing_code(text, filename, __name__="__main__")
        site = [site for site in sites if site.code.co_filename == filename][-1]
        found = statement_of(site)
        assert found is not None
        assert found.text == case.statement
        expected = case.expression if case.old == "same" or not OLD else case.old
        assert found.expression_text == expected
    finally:
        del linecache.cache[filename]


ONE_LINERS = {
    "def f(a): return 1 / a\nf(0)": "return 1 / a",
    "def f(): raise ValueError\nf()": "raise ValueError",
    "class A:\n  def f(self): return self.x\nA().f()": "return self.x",
    "def f(x):\n  if x is None: raise ValueError('m')\nf(None)": "raise ValueError('m')",
    "for x in [1, 0]: 1 / x": "1 / x",
    "for x in 5: pass": "for x in 5:\n    pass",
    "if 1: x = None; y = x.a": "y = x.a",
    "def f(a=nope): pass": "def f(a=nope):\n    pass",
    "with open('/dev/null') as q: q.nope": "q.nope",
}


@pytest.mark.parametrize("source", ONE_LINERS)
def test_a_body_on_the_line_of_its_header(source: str) -> None:
    """The node is the statement that failed, on every Python: fingerprints are made of it."""
    filename = "<one line>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    try:
        site = failing_code(source, filename, __name__="__main__")[-1]
        found = statement_of(site)
        assert found is not None
        assert ast.unparse(found.node) == ONE_LINERS[source]
    finally:
        del linecache.cache[filename]
