"""
Secrets in Python source: literals assigned to, compared with, passed as, or keyed by a secret-looking name.

    a line, or all lines of a statement -> the same with those literals replaced by the marker, quotes kept

Reads tokens with one pattern, since a line on its own is often no valid program: it may begin or end inside brackets or a
triple-quoted string. Names stay, literals go; the literals and comments that remain are treated as running text.
"""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING, Any

from phtrack.scrub.marks import MARKER, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack.scrub.marks import NameRule

_TOKEN = re.compile(
    r"""
    (?P<string>[bBrRuUfFtT]{0,2}(?:
        \"\"\"(?:[^"\\]+|\\.|"(?!""))*(?:\"\"\")?
      | '''(?:[^'\\]+|\\.|'(?!''))*(?:''')?
      | "(?:[^"\\\n]+|\\.)*"?
      | '(?:[^'\\\n]+|\\.)*'?))
  | (?P<comment>\#[^\n]*)
  | (?P<number>\d[\w.]*)
  | (?P<name>[^\W\d]\w*)
  | (?P<newline>\n)
  | (?P<space>[^\S\n]+|\\\n)
  | (?P<op>==|!=|:=|->|\*\*=?|//=?|<<=?|>>=?|<=|>=|[-+*/|&^%@]=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTES = re.compile(r"[A-Za-z]{0,2}(\"\"\"|'''|\"|')")
_COMPARES = frozenset(("==", "!=", "in", "is", "<", ">", "<=", ">="))
_BOUNDARIES = frozenset(
    (
        "and",
        "or",
        "not",
        "if",
        "else",
        "elif",
        "while",
        "return",
        "assert",
        "yield",
        "await",
        "lambda",
        ",",
        ";",
        "=",
        ":=",
    )
)
_BLOCKS = words("if elif while for with except def class else try match case finally async")
_LOOKUPS = words(
    "get getenv pop setdefault getattr setattr environ config env read option getlist header getheader get_header conf"
)
"""Callables whose first argument names what they look up; a second literal is the value or its default."""
_GETTERS = words(
    "get fetch load read find delete remove has is require generate revoke list make create new refresh rotate ask prompt lookup"
)
"""First words of callables that take the *name* of a secret: `get_secret("db/prod")`."""
_COMPARERS = words(
    "compare_digest assertequal assertequals assertnotequal assert_equal startswith endswith eq ne __eq__ check_password"
)
_DEFAULTS = words("default fallback value initial const")
"""Keywords that hold the value of what the first argument names."""
_LOGINS = words("login log_in signin sign_in authenticate logon")
_SHORTEST = 7
"""Characters of a literal with its quotes in which a rule of running text can find something: "pw=x"."""
_WINDOW = 60
"""Tokens looked at to find an operand."""


class _Token:
    __slots__ = ("kind", "text")

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text


def source(
    code: str,
    masks: NameRule | None,
    string_rule: Callable[[str, list[str]], str],
    found: list[str],
) -> str:
    """
    *code* without its secret literals.

    Args:
        masks: Says which names are secret; None if it is known that there are none.
        string_rule: Applied to the inside of the literals, and to the comments, that no name hides.
    """
    tokens = [_Token(match.lastgroup or "op", match[0]) for match in _TOKEN.finditer(code)]
    hidden = _Reader(tokens, masks).read() if masks is not None else {}
    pieces = []
    for index, token in enumerate(tokens):
        piece = token.text
        rule = hidden.get(index)
        if rule is not None:
            masked = _masked(token)
            if masked != piece:
                found.append(rule)
            piece = masked
        elif token.kind == "string":
            piece = _inner(piece, string_rule, found)
        elif token.kind == "comment":
            piece = string_rule(piece, found)
        pieces.append(piece)
    return "".join(pieces)


def _masked(token: _Token) -> str:
    if token.kind != "string":
        return MARKER
    opening, inner, closing = _split(token.text)
    return token.text if inner in ("", MARKER) else opening + MARKER + closing


def _inner(literal: str, rule: Callable[[str, list[str]], str], found: list[str]) -> str:
    if len(literal) < _SHORTEST:
        return literal
    opening, inner, closing = _split(literal)
    return opening + rule(inner, found) + closing


def _split(literal: str) -> tuple[str, str, str]:
    """Prefix and quote, inside, quote (empty when the literal is cut off)."""
    match = _QUOTES.match(literal)
    if match is None:
        return "", literal, ""
    quote = match[1]
    start = match.end()
    closing = quote if len(literal) >= start + len(quote) and literal.endswith(quote) else ""
    return literal[:start], literal[start : len(literal) - len(closing)], closing


class _Reader:
    """Finds the literals that a name hides."""

    def __init__(self, tokens: list[_Token], masks: NameRule) -> None:
        self._tokens = tokens
        self._masks = masks
        self._at = [i for i, token in enumerate(tokens) if token.kind not in ("space", "comment")]
        self._hidden: dict[int, str] = {}
        self._depths = self._measure_depths()
        self._covered = 0
        """Up to here an expression has hidden all literals."""
        self._calls: list[list[Any]] = []
        """For each open bracket: the rule for its positional literals, the first one hidden, how many commas passed,
        and the rule of a secret name in first place."""
        self._matching: str | None = None
        """The rule for the subject of the `match` statement we are in."""

    def _measure_depths(self) -> list[int]:
        depths, depth = [], 0
        for i in self._at:
            text = self._tokens[i].text
            if text in (")", "]", "}"):
                depth -= 1
            depths.append(depth)
            if text in ("(", "[", "{"):
                depth += 1
        return depths

    def _text(self, n: int) -> str:
        return self._tokens[self._at[n]].text if 0 <= n < len(self._at) else ""

    def _kind(self, n: int) -> str:
        return self._tokens[self._at[n]].kind if 0 <= n < len(self._at) else ""

    def read(self) -> dict[int, str]:
        """Index of each token to hide -> rule. One pass: what an expression hides is not gone over again from inside it."""
        statement = 0
        for n in range(len(self._at)):
            text, kind = self._text(n), self._kind(n)
            if kind == "newline" or text == ";":
                if self._depths[n] <= 0:
                    statement = n + 1
            elif kind in ("string", "number"):
                self._argument(n)
                if kind == "string":
                    self._string(n)
            elif n == statement and text in ("match", "case"):
                self._match(n)
            elif kind == "name" and not keyword.iskeyword(text):
                self._name(n, statement)
            elif text == "=" or text == ":=":
                self._assignment(n, statement)
            elif text in _COMPARES:
                self._comparison(n)
            elif text in ("(", "[", "{"):
                self._calls.append([*self._callee(n), 0, None] if text == "(" else [None, 0, 0, None])
            elif text in (")", "]", "}"):
                if self._calls:
                    self._calls.pop()
            elif text == "," and self._calls:
                self._calls[-1][2] += 1
        return self._hidden

    # --- what a masked name or key does -----------------------------------------------------------------------------

    def _chain(self, n: int) -> str:
        """The dotted name that ends at *n*: ``self.user.password``."""
        parts = [self._text(n)]
        while self._text(n - 1) == "." and self._kind(n - 2) == "name" and len(parts) < 8:
            parts.append(self._text(n - 2))
            n -= 2
        return ".".join(reversed(parts))

    def _name(self, n: int, statement: int) -> None:
        following = self._text(n + 1)
        if following == ":":
            rule = self._masks(self._chain(n))
            first = self._text(statement)
            if (
                rule is not None
                and not (self._depths[n] <= 0 and first in _BLOCKS)
                and "lambda" not in self._texts(n, 12)
            ):
                self._hide_from(n + 2, rule, self._depths[n])
                self._bare(n + 2, rule)
        elif following == "=" and self._kind(n + 2) == "name":
            rule = self._masks(self._text(n))
            if rule is not None:
                self._bare(n + 2, rule)

    def _match(self, n: int) -> None:
        """``match password:`` and the patterns of its cases."""
        end = n + 1
        while (
            end < len(self._at) and self._kind(end) != "newline" and (self._text(end) != ":" or self._depths[end] > 0)
        ):
            end += 1
        if self._text(n) == "match":
            self._matching = self._operand_rule(n + 1, end)
        elif self._matching is not None:
            self._hide_between(n + 1, end, self._matching)

    def _texts(self, n: int, back: int) -> list[str]:
        return [self._text(i) for i in range(max(0, n - back), n)]

    def _bare(self, n: int, rule: str) -> None:
        """A word with digits after the name: no expression, most likely, but a line of a configuration in a string."""
        text = self._text(n)
        if self._kind(n) == "name" and len(text) >= 6 and any(c.isdigit() for c in text) and self._masks(text) is None:
            if self._text(n + 1) not in ("(", ".", "["):
                self._hidden.setdefault(self._at[n], rule)

    def _string(self, n: int) -> None:
        content = self._content(n)
        if content is None:
            return
        rule = self._masks(content)
        if rule is None:
            return
        if self._calls and self._text(n - 1) == "(":
            self._calls[-1][3] = rule
        following, before = self._text(n + 1), self._text(n - 1)
        if following == ":" and before != "[":
            self._hide_from(n + 2, rule, self._depths[n])
            self._bare(n + 2, rule)
        elif following == "," and self._kind(n + 2) in ("string", "number") and self._is_key(n):
            n += 2
            while self._kind(n) in ("string", "number"):  # adjacent literals are one
                self._hide(n, rule)
                n += 1

    def _content(self, n: int) -> str | None:
        """The inside of the string at *n*, if it may be a name."""
        text = self._tokens[self._at[n]].text
        if len(text) > 90:
            return None
        inner = _split(text)[1]
        return inner if inner.replace("_", "").replace("-", "").replace(".", "").isalnum() else None

    def _is_key(self, n: int) -> bool:
        """True if the string at *n*, followed by a comma and a literal, is what the literal belongs to."""
        before = self._text(n - 1)
        if before == "(" and self._kind(n - 2) == "name" and self._text(n - 2).lower() in _LOOKUPS:
            return True
        # A call or tuple of two: ("password", "x").
        alone = before == "(" and self._text(n + 3) == ")"
        return alone or (before == "," and self._kind(n - 2) == "name" and self._text(n - 4) in ("setattr", "getattr"))

    def _assignment(self, n: int, statement: int) -> None:
        depth = self._depths[n]
        start = n - 1
        while start >= statement and n - start < _WINDOW:
            if self._depths[start] < depth or (depth > 0 and self._depths[start] == depth and self._text(start) == ","):
                break
            start -= 1
        rule = self._operand_rule(start + 1, n)
        if rule is None and self._calls and self._text(n - 1) in _DEFAULTS:  # config("SECRET_KEY", default="...")
            rule = self._calls[-1][3]
        if rule is not None:
            self._hide_from(n + 1, rule, depth, tuples=depth <= 0)

    def _comparison(self, n: int) -> None:
        depth = self._depths[n]
        left = self._boundary(n - 1, -1, depth)
        right = self._boundary(n + 1, 1, depth)
        rule = self._operand_rule(left + 1, n)
        if rule is not None:
            self._hide_between(n + 1, right, rule)
        rule = self._operand_rule(n + 1, right)
        if rule is not None:
            self._hide_between(left + 1, n, rule)

    def _boundary(self, n: int, step: int, depth: int) -> int:
        for _ in range(_WINDOW):
            if not 0 <= n < len(self._at) or self._depths[n] < depth:
                return n
            if self._depths[n] == depth:
                text = self._text(n)
                if text in _BOUNDARIES or text in _COMPARES or text in (":", "=") or self._kind(n) == "newline":
                    return n
            n += step
        return n

    def _operand_rule(self, start: int, end: int) -> str | None:
        """The rule for the operand in ``start:end``: for the last name of a chain, or a key in ``[...]``."""
        for n in range(max(0, start), min(end, len(self._at))):
            kind = self._kind(n)
            if kind == "name" and not keyword.iskeyword(self._text(n)):
                rule = self._masks(self._chain(n))
                if rule is not None and not self._describes(n):
                    return rule
            elif kind == "string" and self._is_key_of_lookup(n):
                content = self._content(n)
                rule = self._masks(content) if content is not None else None
                if rule is not None:
                    return rule
        return None

    def _is_key_of_lookup(self, n: int) -> bool:
        """True for the string in ``config["password"]`` and ``config.get("password")``."""
        if self._text(n - 1) == "[":
            return self._text(n + 1) == "]"
        return self._text(n - 1) == "(" and self._text(n - 2).lower() in _LOOKUPS

    def _describes(self, n: int) -> bool:
        """True if the masked name at *n* goes on into an attribute that is about it: ``token.kind``."""
        return self._text(n + 1) == "." and self._kind(n + 2) == "name" and self._masks(self._chain(n + 2)) is None

    def _callee(self, n: int) -> tuple[str | None, int]:
        """For the call that opens at *n*: the rule that hides its positional literals, or None, and the first one hidden."""
        if self._kind(n - 1) != "name" or self._text(n - 2) in ("def", "class"):
            return None, 0
        callee = self._text(n - 1)
        low = callee.lower()
        rule = self._masks(callee)
        if rule is not None and low.split("_")[0] not in _GETTERS:
            return rule, 0
        if low in _LOGINS:
            return f"name:{low}", 1
        if low in _COMPARERS:
            end = n + 1
            while end < len(self._at) and self._depths[end] > self._depths[n] and end - n < _WINDOW:
                end += 1
            rule = self._operand_rule(n + 1, end)
            if rule is None and self._text(n - 2) == ".":
                rule = self._masks(self._chain(n - 3))
            return rule, 0
        return None, 0

    def _argument(self, n: int) -> None:
        """Hide the literal at *n* if it is a positional argument that its callee makes secret."""
        # Adjacent literals are one: "a" "b".
        begins = self._text(n - 1) in ("(", ",") or self._kind(n - 1) == "string"
        if self._calls and begins and (self._text(n + 1) in (",", ")", "") or self._kind(n + 1) == "string"):
            rule, first, argument, _ = self._calls[-1]
            if rule is not None and argument >= first:
                self._hide(n, rule)

    # --- hiding -----------------------------------------------------------------------------------------------------

    def _hide(self, n: int, rule: str) -> None:
        if self._kind(n) in ("string", "number"):
            self._hidden.setdefault(self._at[n], rule)

    def _hide_from(self, n: int, rule: str, depth: int, *, tuples: bool = False) -> None:
        """Hide the literals of the expression at *n*, up to its comma (unless *tuples*), closing bracket or line end."""
        n = max(n, self._covered)
        while n < len(self._at):
            here, text = self._depths[n], self._text(n)
            if here < depth or (here == depth and (text == ";" or (text == "," and not tuples))):
                break
            if here <= 0 and self._kind(n) == "newline":
                break
            self._hide_literal(n, rule, here - depth)
            n += 1
        self._covered = max(self._covered, n)

    def _hide_between(self, start: int, end: int, rule: str) -> None:
        for n in range(max(0, start), min(end, len(self._at))):
            self._hide_literal(n, rule, 0)

    def _hide_literal(self, n: int, rule: str, inside: int) -> None:
        if self._kind(n) == "string":
            shown = self._is_looked_up(n)
        else:
            # Small numbers inside are indexes and sizes: tokens[0], token_hex(32).
            shown = self._text(n - 1) == "[" or (inside > 0 and len(self._text(n)) < 4)
        if not shown:
            self._hide(n, rule)

    def _is_looked_up(self, n: int) -> bool:
        """True for the *name* of a secret in ``os.environ["DB_PASSWORD"]`` or ``config.get("password")``."""
        before = self._text(n - 1)
        if before == "[":
            return self._kind(n - 2) == "name" or self._text(n - 2) in ("]", ")")
        if before != "(" or self._kind(n - 2) != "name":
            return False
        callee = self._text(n - 2).lower()
        return callee in _LOOKUPS or callee.split("_")[0] in ("get", "fetch", "read", "load", "lookup", "require")
