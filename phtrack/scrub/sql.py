"""
Secrets in SQL: literals compared with, assigned to, or inserted into columns with a secret-looking name.

    statement -> the same statement with those literals replaced by the marker

A small reader of tokens, not of grammar: every dialect's strings (``'it''s'``, ``E'\\n'``, ``N'x'``, ``X'00'``, ``$tag$x$tag$``)
and identifiers (``"password"``, `` `password` ``, ``[password]``) are known, statements may be cut off, and nothing is
executed. Literals elsewhere are treated as running text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from phtrack.scrub.marks import MARKER, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack.scrub.marks import NameRule

_BODY = r"""
    (?P<marker>\$\$_posthog_[a-z0-9_]+_\$\$)
  | (?P<comment>--[^\n]*|/\*(?:[^*]+|\*(?!/))*(?:\*/)?)
  | (?P<dollar>\$(?P<tag>[A-Za-z_]\w{0,63})?\$)
  | (?P<string>(?:[EeNnXxBb]|[Uu]&)?'(?:%s)*'?)
  | (?P<ident>"(?:[^"]+|"")*"?|`[^`]*`?|\[[A-Za-z_][\w $]{0,127}\])
  | (?P<holder>\?|%%s|%%\(\w+\)s|\$\d+|:[A-Za-z_]\w*|@\w+)
  | (?P<number>\d[\w.]*)
  | (?P<name>[^\W\d][\w$]*)
  | (?P<space>\s+)
  | (?P<op><=>|<>|!=|>=|<=|:=|::|->>|->|=|<|>|~\*?)
  | (?P<other>.)
"""
_BACKSLASHES = re.compile(_BODY % r"[^'\\]+|''|\\.", re.VERBOSE | re.DOTALL)
_STANDARD = re.compile(_BODY % r"[^']+|''", re.VERBOSE | re.DOTALL)

_COMPARES = frozenset(("=", "<>", "!=", "<=>", "<", ">", "<=", ">=", "~", "~*", ":="))
_COMPARING_WORDS = frozenset(("like", "ilike", "rlike", "regexp", "similar", "in", "between", "not", "is", "by", "to"))
_ENDS = words(
    "and or where order group limit having returning from then else end when join left right inner outer on union values set "
    "as with valid"
)
_KEYED_FUNCTIONS = words(
    "pgp_sym_encrypt pgp_sym_decrypt aes_encrypt aes_decrypt encryptbypassphrase decryptbypassphrase hmac encrypt decrypt"
)
_REACH = 16
"""Brackets, casts and qualifiers that may stand between a column and its operator."""
STATEMENT = re.compile(
    r"\b(?:insert\s+(?:ignore\s+)?into|replace\s+into|update\s+\S{1,200}\s+set|select\s|delete\s+from|merge\s+into|"
    r"(?:create|alter)\s+(?:user|role|login)|identified\s+by|set\s+password|grant\s)",
    re.IGNORECASE,
)
"""Where SQL begins in a text."""


class _Token:
    __slots__ = ("end", "kind", "start", "text")

    def __init__(self, kind: str, text: str, start: int, end: int) -> None:
        self.kind = kind
        self.text = text
        self.start = start
        self.end = end


def sql(
    statement: str,
    masks: NameRule,
    text_rule: Callable[[str, list[str]], str],
    found: list[str],
    secret_holders: set[int] | None = None,
) -> str:
    """
    *statement* without its secret literals.

    Args:
        text_rule: Applied to the literals and comments that no column hides.
        secret_holders: Gets the positions, from 0, of placeholders (``?``, ``%s``) whose parameters are secret.
    """
    tokens = _tokens(statement)
    hidden = _Reader(tokens, masks).read()
    pieces: list[str] = []
    holders = 0
    for index, token in enumerate(tokens):
        piece = token.text
        rule = hidden.get(index)
        if token.kind == "holder":
            if rule is not None and secret_holders is not None:
                secret_holders.add(holders)
            holders += 1
        elif token.kind in ("string", "number", "dollar", "ident"):
            if rule is not None:
                masked = _masked(token)
                if masked != piece:
                    found.append(rule)
                piece = masked
            elif token.kind == "string" or token.kind == "dollar":
                piece = text_rule(piece, found)
        elif token.kind == "comment":
            piece = text_rule(piece, found)
        pieces.append(piece)
    return "".join(pieces)


def _tokens(statement: str) -> list[_Token]:
    tokens = _scan(_BACKSLASHES, statement)
    last = tokens[-1] if tokens else None
    if "\\" in statement and last is not None and last.kind == "string" and not last.text.endswith("'"):
        # Either cut off, or the dialect has no backslash escapes: believe the reading that comes out even.
        standard = _scan(_STANDARD, statement)
        end = standard[-1]
        if end.kind != "string" or (len(end.text) > 1 and end.text.endswith("'")):
            return standard
    return tokens


def _scan(pattern: re.Pattern[str], statement: str) -> list[_Token]:
    tokens = []
    position = 0
    while position < len(statement):
        match = pattern.match(statement, position)
        if match is None:
            break
        kind = match.lastgroup or "other"
        end = match.end()
        if match["dollar"] is not None:
            kind = "dollar"
            close = statement.find(match["dollar"], end)
            end = close + len(match["dollar"]) if close >= 0 else len(statement)
        tokens.append(_Token(kind, statement[position:end], position, end))
        position = end
    return tokens


def _masked(token: _Token) -> str:
    """*token* with its content replaced, its quotes kept."""
    text = token.text
    if MARKER in text:
        return text
    if token.kind == "number":
        return MARKER
    if token.kind == "ident":
        return f"{text[0]}{MARKER}{text[0]}"
    if token.kind == "dollar":
        return f"'{MARKER}'"
    start = text.index("'") + 1
    if text[start:] in ("'", ""):
        return text
    return f"{text[:start]}{MARKER}'"


class _Reader:
    """Finds which tokens hold what a secret column holds."""

    def __init__(self, tokens: list[_Token], masks: NameRule) -> None:
        self._tokens = tokens
        self._masks = masks
        self._at = [i for i, token in enumerate(tokens) if token.kind not in ("space", "comment")]
        """Indexes of the tokens that count."""
        self._hidden: dict[int, str] = {}
        self._covered = 0
        """Up to here an expression has hidden all literals."""
        self._calls: list[tuple[str, bool]] = []
        """For each open bracket: the rule of a keyed function or nothing, and whether its key may come now."""

    def read(self) -> dict[int, str]:
        """Index of each token to hide -> rule. One pass: what an expression hides is not gone over again from inside it."""
        n = 0
        while n < len(self._at):
            token = self._tokens[self._at[n]]
            word = token.text.lower() if token.kind == "name" else ""
            if word in ("into", "replace"):
                n = self._insert(n + 1)
                continue
            self._key_arguments(n, token)
            rule = self._rule(token)
            if rule is not None:
                self._compared(n, rule)
            elif word == "identified":
                self._hide_expression(n + 1, "name:password")
            n += 1
        return self._hidden

    def _text(self, n: int) -> str:
        return self._tokens[self._at[n]].text if 0 <= n < len(self._at) else ""

    def _kind(self, n: int) -> str:
        return self._tokens[self._at[n]].kind if 0 <= n < len(self._at) else ""

    def _rule(self, token: _Token) -> str | None:
        if token.kind == "name":
            return self._masks(token.text)
        if token.kind == "ident" and len(token.text) < 130:
            return self._masks(token.text.strip('"`[]'))
        if token.kind == "string" and len(token.text) < 66:
            name = token.text.strip("'")
            return self._masks(name) if name.replace("_", "").isalnum() else None
        return None

    def _compared(self, n: int, rule: str) -> None:
        """Hide what the name at *n* is compared with or set to, on either side."""
        after = n + 1
        if self._kind(n) == "name" and self._text(after) == "(":  # PASSWORD('x')
            self._hide_expression(after, rule)
        for _ in range(_REACH):
            cast = self._text(after - 1) == "::" and self._kind(after) == "name"
            if self._text(after) not in (")", "::", "]") and not cast:
                break
            after += 1
        word = self._text(after).lower()
        if word in _COMPARES or word in _COMPARING_WORDS:
            self._hide_expression(after + 1, rule)
        elif self._kind(after) in ("string", "dollar") and self._kind(n) == "name":  # PASSWORD 'x'
            self._hide_expression(after, rule)
        before = n - 1
        for _ in range(_REACH):
            qualifier = self._text(before + 1) in (".", "(") and self._kind(before) in ("name", "ident")
            if self._text(before) not in (".", "(") and not qualifier:
                break
            before -= 1
        if self._text(before) in _COMPARES and self._kind(before - 1) in (
            "string",
            "number",
            "dollar",
            "holder",
            "marker",
        ):
            self._hide(before - 1, rule)

    def _hide(self, n: int, rule: str) -> None:
        if self._kind(n) in ("string", "number", "dollar", "holder", "ident"):
            self._hidden.setdefault(self._at[n], rule)

    def _hide_expression(self, n: int, rule: str) -> None:
        depth = 0
        between = self._text(n - 1).lower() == "between"
        n = max(n, self._covered)
        while n < len(self._at):
            text = self._text(n)
            if text == "(":
                depth += 1
            elif text == ")":
                depth -= 1
                if depth < 0:
                    break
            elif depth == 0 and (text in (",", ";") or (self._kind(n) == "name" and text.lower() in _ENDS)):
                if not (between and text.lower() == "and"):
                    break
                between = False
            elif self._kind(n) == "ident":
                # MySQL writes strings in double quotes; a qualified name is a column.
                if text[0] == '"' and self._text(n + 1) != "." and self._text(n - 1) != ".":
                    self._hide(n, rule)
            else:
                self._hide(n, rule)
            n += 1
        self._covered = max(self._covered, n)

    def _insert(self, n: int) -> int:
        """Hide by position in ``INTO table (columns) VALUES (...), (...)``; answers where to read on."""
        table = ""
        while self._kind(n) in ("name", "ident") or self._text(n) == ".":
            if self._text(n).lower() in ("values", "select", "set", "default"):
                break
            table = self._text(n)
            n += 1
        all_of_it = self._masks(table.strip('"`[]')) if table else None
        rules: list[str | None] = []
        if self._text(n) == "(":
            n += 1
            while n < len(self._at) and self._text(n) != ")":
                if self._kind(n) in ("name", "ident"):
                    rules.append(self._rule(self._tokens[self._at[n]]))
                n += 1
            n += 1
        if self._text(n).lower() not in ("values", "value", "select", "output", "overriding"):
            return n
        is_select = self._text(n).lower() == "select"
        while not is_select and n < len(self._at) and self._text(n) != "(":
            n += 1
        depth, column = (1, 0) if is_select else (0, 0)
        while n < len(self._at):
            text = self._text(n)
            if text == "(":
                depth += 1
                column = 0 if depth == 1 else column
            elif text == ")":
                depth -= 1
            elif text == "," and depth == 1:
                column += 1
            elif (depth == 0 and text != ",") or (is_select and depth == 1 and text.lower() in ("from", "where")):
                return n
            else:
                rule = rules[column] if column < len(rules) else all_of_it
                if rule or all_of_it:
                    self._hide(n, rule or all_of_it or "")
            n += 1
        return n

    def _key_arguments(self, n: int, token: _Token) -> None:
        """Hide the keys that are handed to functions of cryptography: ``pgp_sym_encrypt(data, 'key')``."""
        if token.text == "(":
            function = self._text(n - 1).lower() if self._kind(n - 1) == "name" else ""
            keyed = function in _KEYED_FUNCTIONS
            self._calls.append((f"name:{function}" if keyed else "", function.endswith("passphrase")))
        elif token.text == ")":
            if self._calls:
                self._calls.pop()
        elif token.text == ",":
            if self._calls:
                self._calls[-1] = (self._calls[-1][0], True)
        elif self._calls and self._calls[-1][0] and self._calls[-1][1]:
            self._hide(n, self._calls[-1][0])


_PARAMETERS = re.compile(r"\[parameters: (?=[(\[])")


def parameters(text: str, holders: set[int], found: list[str]) -> str:
    """
    *text*, a message of SQLAlchemy, with the positional parameters at *holders* replaced.

    The statement stands above them: ``[SQL: INSERT ... VALUES (?, ?)]`` and then ``[parameters: ('bob', 'hunter2')]``.
    """
    if not holders:
        return text
    start = _PARAMETERS.search(text)
    if start is None:
        return text
    return _hide_positions(text, start.end(), holders, found)


_ITEMS = re.compile(r"'(?:[^'\\]+|\\.)*'?|\"(?:[^\"\\]+|\\.)*\"?|[()\[\],]")


def _hide_positions(text: str, begin: int, holders: set[int], found: list[str]) -> str:
    pieces: list[str] = []
    done = 0
    item_start = begin
    outer: list[int] = []
    position = 0
    for match in _ITEMS.finditer(text, begin):
        token, at = match[0], match.start()
        if token not in ("(", "[", ",", ")", "]"):
            continue
        if token in ("(", "["):
            outer.append(position)
            # Inside `datetime(2026, 1, 2)` nothing counts.
            position = -1_000_000 if text[at - 1].isalnum() or position < 0 else 0
            if position == 0:
                item_start = at + 1
            continue
        if position in holders:
            item = text[item_start:at]
            start = item_start + len(item) - len(item.lstrip())
            if item.strip() and MARKER not in item:
                found.append("name:sql_parameter")
                pieces += (text[done:start], MARKER)
                done = at
        if token == ",":
            position += 1
            item_start = at + 1 if position >= 0 else item_start
        else:
            position = outer.pop()
            if not outer:
                break
            if position < 0 or text[at + 1 : at + 2] == ",":
                continue
            item_start = at + 1
    pieces.append(text[done:])
    return "".join(pieces)
