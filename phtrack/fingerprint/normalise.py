"""
Statements and messages in a form that survives what doesn't matter.

    statement (ast) + Names -> one line of text: `charge($0.total, currency=_0["currency"])`

Lost on purpose: layout, quotes, names of locals and parameters, annotations, `await`, the name a result is kept under,
numbers and ids inside messages. Kept: what is called, read, compared and raised. The text is built here and not by
`ast.unparse` or `ast.dump`, whose output differs between Python versions.

String literals, which may be secrets, are fenced by `PRIVATE`: they count for the fingerprint, but `shown` hides them.
"""

from __future__ import annotations

import ast
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from phtrack.fingerprint.names import Names

MAX_MESSAGE = 200
MAX_TEXT = 400
PRIVATE = "\0"

INNER = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
"""Expressions that are functions of their own when they run."""
PLACES = (ast.Call, ast.Attribute, ast.Subscript, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Name)
"""
Kinds of expressions that every supported Python version can tell as the one that failed: 3.10 has no columns, there the
instruction is matched with the tree. A failure of any other kind counts as one of the whole statement.
"""

# --- messages ---------------------------------------------------------------------------------------------------------

_MASKS = re.compile(
    r"""
      (?P<uuid>\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b)
    | (?P<address>\b0x[0-9a-f]+\b)
    | (?P<mail>\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}\b)
    | (?P<quoted>'[^'\n]{0,200}'|"[^"\n]{0,200}"|`[^`\n]{0,200}`)
    | (?P<word>\b(?=[a-z_-]{0,64}\d)[\w-]{8,64}\b)
    | (?P<number>\d+(?:[.,:]\d+)*)
    """,
    re.VERBOSE | re.IGNORECASE,
)


def message(text: str) -> str:
    """
    *text* with what changes from one occurrence to the next replaced: quoted text, ids and addresses by `*`, numbers by `#`.

    At most 200 characters of the first line are kept.
    """
    text = text[: 4 * MAX_MESSAGE].lstrip().partition("\n")[0]
    text = _MASKS.sub(lambda found: "#" if found.lastgroup == "number" else "*", text)
    return re.sub(r"\s+", " ", text).strip()[:MAX_MESSAGE]


def literal(text: str) -> str:
    """*text* of a message as the source has it, with numbers and ids replaced; other words stay, they are the programmer's."""
    return _MASKS.sub(lambda found: found[0] if found.lastgroup == "quoted" else "#", text[: 4 * MAX_MESSAGE])


def shown(text: str) -> str:
    """*text* of a statement without its private literals, cut to a length that reads well."""
    parts = text.split(PRIVATE)
    parts[1::2] = ["…"] * len(parts[1::2])
    return "".join(parts)


def bounded(text: str) -> str:
    """*text*, or its head and a digest of all of it when it is long."""
    if len(text) <= MAX_TEXT:
        return text
    head = text[:MAX_TEXT]
    if head.count(PRIVATE) % 2:  # the cut went through a literal
        head += PRIVATE
    return f"{head}… {blake2b(text.encode('utf-8', 'backslashreplace'), digest_size=4).hexdigest()}"


# --- statements -------------------------------------------------------------------------------------------------------


class Text:
    """The normalised text of one statement and of the places in it that can fail on their own."""

    __slots__ = ("_printer", "_statement", "text")

    def __init__(
        self, statement: ast.stmt, names: Names, freevars: tuple[str, ...] = (), *, numbers: bool = True
    ) -> None:
        """With *numbers* false, numbers in the arguments of calls are masked: for callers, whose data they are."""
        self._statement = statement
        self._printer = _Printer(names, freevars, numbers=numbers)
        if isinstance(names.scope, INNER):  # what stands around it belongs to another function
            self.text = bounded(self._printer.expression(names.scope))
        else:
            self.text = bounded(self._printer.statement(statement))

    def places(self) -> tuple[str, ...]:
        """The texts of `places_of`; equal ones are numbered, so that each is another."""
        seen: dict[str, int] = {}
        texts = []
        for node in places_of(self._statement):
            text = bounded(self._printer.expression(node))
            seen[text] = seen.get(text, 0) + 1
            texts.append(text if seen[text] == 1 else f"{text} ({seen[text]})")
        return tuple(texts)


def places_of(statement: ast.stmt) -> list[ast.expr]:
    """The expressions of *statement*'s head that can fail on their own, in a fixed order; without the default one."""
    found: list[ast.expr] = []
    default = default_of(statement)
    for root in head(statement):
        for node in ast.walk(root):
            if isinstance(node, PLACES) and node is not default and isinstance(getattr(node, "ctx", _LOAD), ast.Load):
                found.append(node)
    return found


def place_of(statement: ast.stmt, expression: ast.expr | None) -> int | None:
    """
    The index in `places_of` of *expression*; None if it is unknown, or the one that fails by default.

    A failed expression may be unknown on one Python version and known on another (3.10 finds no `await`, no
    `for`, no `with`). So what is found by default, the outermost, is the same as not known.
    """
    if expression is None:
        return None
    places = places_of(statement)
    for index, node in enumerate(places):
        if node is expression:
            return index
    where = _position(expression)
    for index, node in enumerate(places):
        if type(node) is type(expression) and _position(node) == where:
            return index
    return None


def default_of(statement: ast.stmt) -> ast.expr | None:
    """The expression that an unknown failure is taken for: the whole value, condition or iterable of the statement."""
    root: ast.expr | None = None
    if isinstance(statement, (ast.Expr, ast.Return)):
        root = statement.value
    elif isinstance(statement, ast.Assign):
        # Storing into something may fail, or unpacking; then that is what fails by default.
        root = statement.value if all(isinstance(target, ast.Name) for target in statement.targets) else None
    elif isinstance(statement, ast.AnnAssign):
        root = statement.value if isinstance(statement.target, ast.Name) else None
    elif isinstance(statement, (ast.If, ast.While, ast.Assert)):
        root = statement.test
    elif isinstance(statement, (ast.For, ast.AsyncFor)):
        root = statement.iter
    elif isinstance(statement, (ast.With, ast.AsyncWith)):
        root = statement.items[0].context_expr
    elif isinstance(statement, ast.Match):
        root = statement.subject
    while isinstance(root, (ast.Await, ast.YieldFrom, ast.Yield, ast.NamedExpr, ast.Starred)):
        root = root.value
    return root


def head(statement: ast.stmt) -> Iterator[ast.AST]:
    """The parts of *statement* that run before or without its blocks."""
    for field, value in ast.iter_fields(statement):
        if field in ("annotation", "args", "returns", "type_params", "body", "orelse", "finalbody"):
            if field == "args" and isinstance(value, ast.arguments):
                yield from (node for node in [*value.defaults, *value.kw_defaults] if node is not None)
        elif field == "msg":  # of an assert: it is only evaluated to explain
            continue
        elif isinstance(value, ast.expr):
            yield value
        elif isinstance(value, list):
            for node in value:
                if isinstance(node, ast.ExceptHandler):
                    if node.type is not None:
                        yield node.type
                elif isinstance(node, ast.match_case):
                    if node.guard is not None:
                        yield node.guard
                elif isinstance(node, (ast.expr, ast.withitem, ast.keyword)):
                    yield node


_LOAD = ast.Load()


def anchor(statement: ast.stmt) -> tuple[int, int]:
    """
    Where *statement* is, (line, column), told in a way that also holds for a header that was cut out and parsed alone:
    by its first expression where it is a compound one, since `elif` is an `if` there and `except` a `try`.
    """
    if hasattr(statement, "body") or hasattr(statement, "cases"):
        for node in head(statement):
            inner = node.context_expr if isinstance(node, ast.withitem) else node
            if isinstance(inner, ast.expr):
                return inner.lineno, inner.col_offset
    return statement.lineno, statement.col_offset


def _position(node: ast.AST) -> tuple[Any, ...]:
    return tuple(getattr(node, name, None) for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"))


_OPERATORS: dict[str, str] = {
    "Add": "+", "Sub": "-", "Mult": "*", "MatMult": "@", "Div": "/", "Mod": "%", "Pow": "**", "LShift": "<<",
    "RShift": ">>", "BitOr": "|", "BitXor": "^", "BitAnd": "&", "FloorDiv": "//", "And": "and", "Or": "or",
    "Invert": "~", "Not": "not ", "UAdd": "+", "USub": "-", "Eq": "==", "NotEq": "!=", "Lt": "<", "LtE": "<=",
    "Gt": ">", "GtE": ">=", "Is": "is", "IsNot": "is not", "In": "in", "NotIn": "not in",
}  # fmt: skip


def _operator(node: ast.AST) -> str:
    return _OPERATORS.get(type(node).__name__, type(node).__name__)


class _Printer:
    """Writes nodes as text. One per statement: anonymous names are numbered in the order they are met."""

    def __init__(self, names: Names, freevars: tuple[str, ...], *, numbers: bool) -> None:
        self._names = names
        self._free = frozenset(freevars)
        self._number_of: dict[str, str] = {}
        self._inner: set[str] = set()
        self._numbers = numbers
        self._in_arguments = 0
        self._in_message = False
        self._depth = 0

    # --- statements

    def statement(self, node: ast.stmt) -> str:
        write: Callable[[Any], str] | None = getattr(self, f"_{type(node).__name__}", None)
        return write(node) if write is not None else self._generic(node)

    def _Expr(self, node: ast.Expr) -> str:  # noqa: N802 - named after the node, as everything below
        return self.expression(node.value)

    def _Return(self, node: ast.Return) -> str:  # noqa: N802
        return self.expression(node.value) if node.value is not None else "return"

    def _Assign(self, node: ast.Assign) -> str:  # noqa: N802
        value = self.expression(node.value)
        targets = "".join(f"{self.expression(target)} = " for target in node.targets if not self._forgettable(target))
        return targets + value

    def _AnnAssign(self, node: ast.AnnAssign) -> str:  # noqa: N802
        if node.value is None:
            return f"{self.expression(node.target)}: {self.expression(node.annotation)}"
        value = self.expression(node.value)
        return value if self._forgettable(node.target) else f"{self.expression(node.target)} = {value}"

    def _AugAssign(self, node: ast.AugAssign) -> str:  # noqa: N802
        return f"{self.expression(node.target)} {_operator(node.op)}= {self.expression(node.value)}"

    def _Raise(self, node: ast.Raise) -> str:  # noqa: N802
        self._in_message = True
        text = f"raise {self._optional(node.exc)}".rstrip()
        return text if node.cause is None else f"{text} from {self.expression(node.cause)}"

    def _Assert(self, node: ast.Assert) -> str:  # noqa: N802
        return f"assert {self.expression(node.test)}"

    def _Delete(self, node: ast.Delete) -> str:  # noqa: N802
        return f"del {self._list(node.targets)}"

    def _If(self, node: ast.If) -> str:  # noqa: N802
        return f"if {self.expression(node.test)}"

    def _While(self, node: ast.While) -> str:  # noqa: N802
        return f"while {self.expression(node.test)}"

    def _For(self, node: ast.For | ast.AsyncFor) -> str:  # noqa: N802
        return f"for {self.expression(node.target)} in {self.expression(node.iter)}"

    _AsyncFor = _For

    def _With(self, node: ast.With | ast.AsyncWith) -> str:  # noqa: N802
        return "with " + ", ".join(self.expression(item.context_expr) for item in node.items)

    _AsyncWith = _With

    def _Match(self, node: ast.Match) -> str:  # noqa: N802
        return f"match {self.expression(node.subject)}"

    def _Try(self, node: Any) -> str:  # noqa: N802
        return "try " + ", ".join(f"except {self._optional(handler.type)}" for handler in node.handlers)

    _TryStar = _Try

    def _FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:  # noqa: N802
        defaults = [default for default in [*node.args.defaults, *node.args.kw_defaults] if default is not None]
        return f"{self._decorators(node)}def {node.name}({self._list(defaults)})"

    _AsyncFunctionDef = _FunctionDef

    def _ClassDef(self, node: ast.ClassDef) -> str:  # noqa: N802
        return f"{self._decorators(node)}class {node.name}({self._list([*node.bases, *node.keywords])})"

    def _Import(self, node: ast.Import) -> str:  # noqa: N802
        return "import " + ", ".join(alias.name for alias in node.names)

    def _ImportFrom(self, node: ast.ImportFrom) -> str:  # noqa: N802
        names = ", ".join(alias.name for alias in node.names)
        return f"from {'.' * node.level}{node.module or ''} import {names}"

    def _decorators(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
        return "".join(f"@{self.expression(decorator)} " for decorator in node.decorator_list)

    def _forgettable(self, target: ast.expr) -> bool:
        """A name that only holds a result is no part of what failed: `x = f()`, `return f()` and `f()` are one."""
        return isinstance(target, ast.Name) and self._stand_in(target.id) is not None

    # --- expressions

    def expression(self, node: ast.AST) -> str:
        self._depth += 1
        try:
            if self._depth > 60:  # no one reads, or tells apart, what is nested deeper
                return "…"
            write: Callable[[Any], str] | None = getattr(self, f"_{type(node).__name__}", None)
            return write(node) if write is not None else self._generic(node)
        finally:
            self._depth -= 1

    def _optional(self, node: ast.AST | None) -> str:
        return "" if node is None else self.expression(node)

    def _list(self, nodes: list[Any]) -> str:
        return ", ".join(self.expression(node) for node in nodes)

    def _stand_in(self, name: str) -> str | None:
        """What is written for a name without a meaning of its own, or None if it has one."""
        known = self._names
        if name in self._inner or (name in known.locals and name not in known.parameters) or name in self._free:
            number = self._number_of.get(name)
            if number is None:
                number = self._number_of[name] = f"_{len(self._number_of)}"
            return number
        return known.parameters.get(name)

    def _Name(self, node: ast.Name) -> str:  # noqa: N802
        return self._stand_in(node.id) or node.id

    def _Attribute(self, node: ast.Attribute) -> str:  # noqa: N802
        return f"{self.expression(node.value)}.{node.attr}"

    def _Call(self, node: ast.Call) -> str:  # noqa: N802
        function = self.expression(node.func)
        self._in_arguments += 1
        text = f"{function}({self._list([*node.args, *node.keywords])})"
        self._in_arguments -= 1
        return text

    def _keyword(self, node: ast.keyword) -> str:
        value = self.expression(node.value)
        return f"{node.arg}={value}" if node.arg else f"**{value}"

    def _Starred(self, node: ast.Starred) -> str:  # noqa: N802
        return f"*{self.expression(node.value)}"

    def _Await(self, node: ast.Await | ast.NamedExpr) -> str:  # noqa: N802
        return self.expression(node.value)

    _NamedExpr = _Await

    def _Subscript(self, node: ast.Subscript) -> str:  # noqa: N802
        key = node.slice
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and len(key.value) <= 40:
            return f"{self.expression(node.value)}[{key.value!a}]"
        return f"{self.expression(node.value)}[{self.expression(key)}]"

    def _Slice(self, node: ast.Slice) -> str:  # noqa: N802
        step = f":{self.expression(node.step)}" if node.step is not None else ""
        return f"{self._optional(node.lower)}:{self._optional(node.upper)}{step}"

    def _BinOp(self, node: ast.BinOp) -> str:  # noqa: N802
        return f"({self.expression(node.left)} {_operator(node.op)} {self.expression(node.right)})"

    def _UnaryOp(self, node: ast.UnaryOp) -> str:  # noqa: N802
        return f"{_operator(node.op)}{self.expression(node.operand)}"

    def _BoolOp(self, node: ast.BoolOp) -> str:  # noqa: N802
        return "(" + f" {_operator(node.op)} ".join(self.expression(value) for value in node.values) + ")"

    def _Compare(self, node: ast.Compare) -> str:  # noqa: N802
        rest = (f" {_operator(op)} {self.expression(right)}" for op, right in zip(node.ops, node.comparators))
        return f"({self.expression(node.left)}{''.join(rest)})"

    def _IfExp(self, node: ast.IfExp) -> str:  # noqa: N802
        return f"({self.expression(node.body)} if {self.expression(node.test)} else {self.expression(node.orelse)})"

    def _Tuple(self, node: ast.Tuple) -> str:  # noqa: N802
        return f"({self._list(node.elts)},)"

    def _List(self, node: ast.List) -> str:  # noqa: N802
        return f"[{self._list(node.elts)}]"

    def _Set(self, node: ast.Set) -> str:  # noqa: N802
        return f"{{{self._list(node.elts)}}}"

    def _Dict(self, node: ast.Dict) -> str:  # noqa: N802
        pairs = (
            f"**{self.expression(value)}" if key is None else f"{self.expression(key)}: {self.expression(value)}"
            for key, value in zip(node.keys, node.values)
        )
        return "{" + ", ".join(pairs) + "}"

    def _Lambda(self, node: ast.Lambda) -> str:  # noqa: N802
        args = node.args
        plain = [*args.posonlyargs, *args.args, *args.kwonlyargs]
        self._inner.update(arg.arg for arg in [*plain, args.vararg, args.kwarg] if arg is not None)
        return f"lambda: {self.expression(node.body)}"

    def _ListComp(self, node: Any) -> str:  # noqa: N802
        for generator in node.generators:
            self._inner.update(name.id for name in ast.walk(generator.target) if isinstance(name, ast.Name))
        if isinstance(node, ast.DictComp):
            element = f"{self.expression(node.key)}: {self.expression(node.value)}"
        else:
            element = self.expression(node.elt)
        opening, closing = _BRACKETS.get(type(node), ("[", "]"))
        generators = [self.expression(generator) for generator in node.generators]
        if node is self._names.scope:  # its first iterable was evaluated outside
            generators[0] = re.sub(r" in .*", " in …", generators[0], flags=re.DOTALL)
        return f"{opening}{element} {' '.join(generators)}{closing}"

    _SetComp = _DictComp = _GeneratorExp = _ListComp

    def _comprehension(self, node: ast.comprehension) -> str:
        conditions = "".join(f" if {self.expression(condition)}" for condition in node.ifs)
        return f"for {self.expression(node.target)} in {self.expression(node.iter)}{conditions}"

    def _Yield(self, node: ast.Yield) -> str:  # noqa: N802
        return f"(yield {self._optional(node.value)})"

    def _YieldFrom(self, node: ast.YieldFrom) -> str:  # noqa: N802
        return f"(yield from {self.expression(node.value)})"

    def _JoinedStr(self, node: Any) -> str:  # noqa: N802
        texts = []
        for position, value in enumerate(node.values):
            if not isinstance(value, ast.Constant):
                texts.append(f"{{{self.expression(value)}}}")
                continue
            text = value.value if isinstance(value.value, str) else ""
            following = node.values[position + 1] if position + 1 < len(node.values) else None
            if isinstance(following, ast.FormattedValue) and text.endswith("="):
                text = re.sub(r"[^\s{}]*=$", "=", text)  # f"{name=}" spells a name
            texts.append(self._string(text)[1:-1])
        return f'f"{"".join(texts)}"'

    _TemplateStr = _JoinedStr

    def _FormattedValue(self, node: Any) -> str:  # noqa: N802
        return self.expression(node.value)  # how it is written out is no part of what it is

    _Interpolation = _FormattedValue

    def _Constant(self, node: ast.Constant) -> str:  # noqa: N802
        value = node.value
        if isinstance(value, str):
            return self._string(value)
        if value is None or value is Ellipsis or isinstance(value, bool):
            return str(value)
        if isinstance(value, bytes):
            return f"b'{PRIVATE}{ascii(value)[2:-1]}{PRIVATE}'"
        if self._in_message or (self._in_arguments and not self._numbers):
            return "#"
        if isinstance(value, int):
            # A long number may be a card's, and one of more than 4,300 digits can't be written in decimal.
            return str(value) if abs(value) < 10**6 else f"{PRIVATE}{value:x}{PRIVATE}"
        return repr(value)

    def _string(self, text: str) -> str:
        if self._in_message:
            return ascii(literal(text))
        return f"'{PRIVATE}{ascii(text)[1:-1]}{PRIVATE}'"

    def _generic(self, node: ast.AST) -> str:
        """Any other node: its kind and its parts, without those that only some Python versions fill in."""
        parts = []
        for field, value in ast.iter_fields(node):
            if field in ("ctx", "kind", "type_comment", "type_params", "str") or value is None or value == []:
                continue
            if isinstance(value, ast.AST):
                parts.append(self.expression(value))
            elif isinstance(value, list):
                parts.append(
                    "[" + ", ".join(self.expression(v) if isinstance(v, ast.AST) else ascii(v) for v in value) + "]"
                )
            else:
                parts.append(ascii(value))
        return f"{type(node).__name__}({', '.join(parts)})"


_BRACKETS = {ast.SetComp: ("{", "}"), ast.DictComp: ("{", "}"), ast.GeneratorExp: ("(", ")")}
