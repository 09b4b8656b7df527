"""
The pure expressions of a statement, compiled once and evaluated at each capture without running user code.

    ast -> `Compiler` -> steps, each naming earlier ones by number -> `evaluate` on a frame's names -> values

The rules are those of pure_eval (which the tests compare with): names, attributes that are plain lookups, subscripts of
builtin containers, arithmetic of exact numbers, `len` of builtin containers. What isn't on that list is MISSING: a call,
a property, an operator of somebody's class.
"""

from __future__ import annotations

import ast
from operator import add, floordiv, mod, mul, neg, not_, pos, sub, truediv
from typing import TYPE_CHECKING, Any, NamedTuple

from phtrack.frames.values.node import MISSING
from phtrack.frames.values.static import Looked, attribute, is_scalar, item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_STEPS = 60
"""Steps of one statement; what comes later in it isn't evaluated."""
_MAX = 1 << 2048
"""Integers up to here are calculated with."""

LOCAL, GLOBAL, CONSTANT, ATTRIBUTE, ITEM, BINARY, UNARY, LENGTH = range(8)


class Step(NamedTuple):
    """One step of a program: `code` on the results of earlier steps, or on a name or constant."""

    code: int
    first: Any
    second: Any = None
    operate: Any = None


class Shown(NamedTuple):
    """An expression that may be shown: its text, and what to show instead while it can't be had."""

    text: str
    step: int
    names: tuple[str, ...] = ()
    """Every name, attribute and key in it; if one is masked, the expression is."""
    is_name: bool = False
    """A variable, and no more."""
    bases: tuple[Shown, ...] = ()
    """The shorter expressions it starts with, longest first: `a.b` and `a` of `a.b.c`."""


class Known(NamedTuple):
    """An expression that was compiled."""

    text: str
    step: int
    names: tuple[str, ...]
    base: Known | None = None
    is_tight: bool = True
    """False when it needs brackets before something can follow it."""


class Compiler:
    """Collects the expressions of one statement that are worth showing, in the order of their appearance."""

    def __init__(self, is_local: Callable[[str], bool], mangle: Callable[[str], str]) -> None:
        self.steps: list[Step] = []
        self.shown: dict[str, Shown] = {}
        self._is_local = is_local
        self._mangle = mangle
        self._known: dict[tuple[Any, ...], int] = {}
        self._hidden: frozenset[str] = frozenset()

    def add(self, root: ast.AST, hidden: Iterable[str] = ()) -> None:
        """Compile what is in *root*; *hidden* are names that mean something else there than in the frame."""
        before, self._hidden = self._hidden, self._hidden | frozenset(hidden)
        try:
            self._walk(root)
        finally:
            self._hidden = before

    def roots(self) -> list[str]:
        """The variables that the expressions start with, in order."""
        return [step.first for step in self.steps if step.code == LOCAL]

    def _walk(self, node: ast.AST) -> None:
        if len(self.steps) >= MAX_STEPS:
            return
        if isinstance(node, (ast.Attribute, ast.Subscript, ast.Name, ast.BinOp, ast.UnaryOp)):
            known = self._compile(node) if isinstance(getattr(node, "ctx", None), (ast.Load, type(None))) else None
            if known is not None:
                self._show(known, is_name=isinstance(node, ast.Name))
            self._walk_inside(node, known is not None)
        elif isinstance(node, ast.Call):
            self._walk_call(node)
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            bound = {
                name.id for made in node.generators for name in ast.walk(made.target) if isinstance(name, ast.Name)
            }
            self._walk(node.generators[0].iter)
            for child in _children(node):
                self.add(child, bound)
        elif isinstance(node, ast.Lambda):
            for default in (*node.args.defaults, *node.args.kw_defaults):
                if default is not None:
                    self._walk(default)
        elif not isinstance(node, ast.Constant):
            for child in _children(node):
                self._walk(child)

    def _walk_inside(self, node: Any, is_shown: bool) -> None:
        """What is inside an expression and has something to tell beyond it: indices, operands, what failed to compile."""
        if isinstance(node, ast.Subscript):
            if isinstance(node.value, ast.Name) and (not is_shown or isinstance(node.slice, ast.Slice)):
                self._walk(node.value)
            elif is_shown:
                self._walk_inside(node.value, True)
            else:
                self._walk(node.value)
            self._walk(node.slice)
        elif isinstance(node, ast.Attribute):
            if is_shown:
                self._walk_inside(node.value, True)
            else:
                self._walk(node.value)
        elif isinstance(node, ast.BinOp):
            self._walk(node.left)
            self._walk(node.right)
        elif isinstance(node, ast.UnaryOp):
            self._walk(node.operand)
        elif isinstance(node, ast.Call):
            self._walk_call(node, show=False)

    def _walk_call(self, node: ast.Call, show: bool = True) -> None:
        known = self._compile(node) if show else None
        if known is not None:
            self._show(known)
        elif isinstance(node.func, ast.Attribute):
            self._walk(node.func.value)
        elif show:
            self._walk(node.func)
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            self._walk(argument)

    def _show(self, known: Known, is_name: bool = False) -> None:
        if known.text in self.shown or not known.names or self.steps[known.step].code == CONSTANT:
            return
        bases = []
        base = known.base
        while base is not None:
            bases.append(Shown(base.text, base.step, base.names, base.base is None))
            base = base.base
        self.shown[known.text] = Shown(known.text, known.step, known.names, is_name, tuple(bases))

    # --- one expression -----------------------------------------------------------------------------------------------

    def _compile(self, node: ast.AST) -> Known | None:
        """*node* as steps, or None where evaluating it would run code."""
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.Constant):
            if not is_scalar(node.value):
                return None
            names = (node.value,) if type(node.value) is str else ()
            return Known(_literal(node.value), self._step(CONSTANT, node.value), names)
        if isinstance(node, ast.Attribute):
            base = self._compile(node.value)
            if base is None:
                return None
            step = self._step(ATTRIBUTE, base.step, self._mangle(node.attr))
            text = f"{base.text}.{node.attr}" if base.is_tight else f"({base.text}).{node.attr}"
            return Known(text, step, (*base.names, node.attr), base)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.Call):
            return self._length(node)
        return None

    def _name(self, name: str) -> Known | None:
        if name in self._hidden:
            return None
        return Known(name, self._step(LOCAL if self._is_local(name) else GLOBAL, name), (name,))

    def _subscript(self, node: ast.Subscript) -> Known | None:
        base, index = self._compile(node.value), self._compile(node.slice)
        if base is None or index is None:
            return None
        text = base.text if base.is_tight else f"({base.text})"
        return Known(
            f"{text}[{index.text}]", self._step(ITEM, base.step, index.step), (*base.names, *index.names), base
        )

    def _binary(self, node: ast.BinOp) -> Known | None:
        found = _BINARY.get(type(node.op).__name__)
        if found is None:
            return None
        left, right = self._compile(node.left), self._compile(node.right)
        if left is None or right is None:
            return None
        sign, operate = found
        texts = [one.text if one.is_tight else f"({one.text})" for one in (left, right)]
        step = self._step(BINARY, left.step, right.step, operate)
        return Known(f"{texts[0]} {sign} {texts[1]}", step, (*left.names, *right.names), is_tight=False)

    def _unary(self, node: ast.UnaryOp) -> Known | None:
        found = _UNARY.get(type(node.op).__name__)
        operand = self._compile(node.operand) if found is not None else None
        if found is None or operand is None:
            return None
        sign, operate = found
        text = operand.text if operand.is_tight else f"({operand.text})"
        step = self.steps[operand.step]
        if step.code == CONSTANT and is_number(step.first):
            return Known(f"{sign}{text}", self._step(CONSTANT, operate(step.first)), (), is_tight=False)
        return Known(f"{sign}{text}", self._step(UNARY, operand.step, None, operate), operand.names, is_tight=False)

    def _length(self, node: ast.Call) -> Known | None:
        if not (
            isinstance(node.func, ast.Name) and node.func.id == "len" and len(node.args) == 1 and not node.keywords
        ):
            return None
        function, argument = self._name("len"), self._compile(node.args[0])
        if function is None or argument is None or self._is_local("len"):
            return None
        return Known(f"len({argument.text})", self._step(LENGTH, argument.step, function.step), argument.names)

    def _step(self, code: int, first: Any, second: Any = None, operate: Any = None) -> int:
        key = (code, type(first), first, second, operate)
        if key not in self._known:
            self._known[key] = len(self.steps)
            self.steps.append(Step(code, first, second, operate))
        return self._known[key]


def _children(node: ast.AST) -> list[ast.AST]:
    """`ast.iter_child_nodes`, at a third of its price."""
    own = node.__dict__
    found: list[ast.AST] = []
    for name in node._fields:
        value = own.get(name)
        if type(value) is list:
            found += [item for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST) and value._fields:
            found.append(value)
    return found


def _literal(value: Any) -> str:
    """A constant as people write it, strings in double quotes where that needs no escapes."""
    if type(value) is str and value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'
    return repr(value)


_BINARY: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "Add": ("+", add), "Sub": ("-", sub), "Mult": ("*", mul), "Div": ("/", truediv), "FloorDiv": ("//", floordiv), "Mod": ("%", mod),
}  # fmt: skip
_UNARY: dict[str, tuple[str, Callable[[Any], Any]]] = {"USub": ("-", neg), "UAdd": ("+", pos), "Not": ("not ", not_)}


def evaluate(
    steps: Iterable[Step], locals_: Callable[[str, Any], Any], globals_: Callable[[str, Any], Any], builtins_: Any
) -> list[Any]:
    """
    The value of each of *steps*, MISSING where there is none. Never raises.

    Args:
        locals_: `dict.get` of the frame's names; *globals_* and *builtins_* likewise.
    """
    values: list[Any] = []
    looked: Looked = {}
    for code, first, second, operate in steps:
        try:
            if code == LOCAL:
                value = locals_(first, MISSING)
            elif code == ATTRIBUTE:
                value = values[first]
                if value is not MISSING:
                    value = attribute(value, second)
            elif code == ITEM:
                value, key = values[first], values[second]
                value = item(value, key, looked) if value is not MISSING and key is not MISSING else MISSING
            elif code == CONSTANT:
                value = first
            elif code == GLOBAL:
                value = globals_(first, MISSING)
                if value is MISSING:
                    value = builtins_(first, MISSING)
            elif code == BINARY:
                value = _calculate(operate, values[first], values[second])
            elif code == UNARY:
                value = _apply(operate, values[first])
            else:
                value = _length_of(values[first]) if values[second] is len else MISSING
        except Exception:
            value = MISSING
        values.append(value)
    return values


def is_number(value: Any) -> bool:
    """True for exact ints, floats and bools."""
    kind = type(value)
    return kind is int or kind is float or kind is bool


def _calculate(operate: Any, left: Any, right: Any) -> Any:
    if type(left) is int and type(right) is int and -_MAX < left < _MAX and -_MAX < right < _MAX:
        return operate(left, right)
    if is_number(left) and is_number(right) and _is_small(left) and _is_small(right):
        return operate(left, right)
    return MISSING


def _apply(operate: Any, value: Any) -> Any:
    if operate is not_:
        return operate(value) if is_scalar(value) else MISSING
    return operate(value) if is_number(value) and _is_small(value) else MISSING


def _is_small(value: Any) -> bool:
    return type(value) is float or -_MAX < value < _MAX


def _length_of(value: Any) -> Any:
    kind = type(value)
    for base in _SIZED:
        if kind is base:
            return len(value)
    return MISSING


_SIZED = (list, tuple, dict, set, frozenset, str, bytes, bytearray, range)
