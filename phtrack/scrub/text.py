"""
Secrets in running text: messages, notes, log lines, headers, query strings, JSON and dict reprs inside a string.

    text -> the same text with each secret replaced by the marker, and the rules that did it

What is found by a *name* (``password=...``, ``'token': '...'``, ``Authorization: ...``, ``?sig=...``, ``password is ...``)
starts from the few places where a stem of such a name occurs, decides by the whole name (`names`), and then reads one value
to the right of it. Prose about secrets stays: "password is required", "Invalid token: line 3".
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import TYPE_CHECKING

from phtrack.scrub import prose
from phtrack.scrub.marks import MARKER, words
from phtrack.scrub.reading import OPEN_QUOTE, Span, to_line_end, value_at

if TYPE_CHECKING:
    from phtrack.scrub.marks import NameRule

_SCHEMES = re.compile(r"\b(bearer|basic)\b([\s:'\"]+)([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)


def auth_schemes(text: str, low: str, found: list[str]) -> str:
    """*text* with what follows ``Bearer`` and ``Basic`` replaced, unless it is an ordinary word."""
    if "bearer" not in low and "basic" not in low:
        return text

    def hide(match: re.Match[str]) -> str:
        scheme, gap, credential = match.groups()
        plain = len(credential) < 8 or (len(credential) <= 15 and credential.isalpha() and credential.islower())
        if plain and not (scheme.lower() == "basic" and _is_user_and_password(credential)):
            return match[0]
        found.append("auth_scheme")
        return scheme + gap + MARKER

    return _SCHEMES.sub(hide, text)


def _is_user_and_password(credential: str) -> bool:
    try:
        decoded = b64decode(credential.rstrip("=") + "=" * (-len(credential.rstrip("=")) % 4), validate=True)
        return ":" in decoded.decode("utf-8")
    except ValueError:
        return False


_STEMS = (
    "pass", "secret", "token", "auth", "key", "pw", "cred", "cookie", "jwt", "dsn", "conn", "srf", "code", "sig", "otp", "cvv",
    "cvc", "ssn", "bearer", "sk_", "phrase", "link", "saml", "assertion", "sid", "sess", "senha", "kennwort",
    "hmac", "answer", "pin",
)  # fmt: skip
"""What a name that matters has somewhere, in lower case. Some stand in `has_stem` only with a sign of assignment."""


def has_stem(low: str) -> bool:
    """True if *low*, a text in lower case, may hold a secret-looking name. The first test of every text, so written out."""
    return (
        "pass" in low or "secret" in low or "token" in low or "auth" in low or "key" in low or "pw" in low or "cred" in low
        or "cookie" in low or "jwt" in low or "dsn" in low or "conn" in low or "code" in low or "bearer" in low or "basic" in low
        or (
            ("=" in low or ":" in low or ">" in low)
            and ("srf" in low or "otp" in low or "cv" in low or "ssn" in low or "sk_" in low or "phrase" in low or "senha" in low
                 or "kennwort" in low or "link" in low or "rity_answ" in low or "rityansw" in low or "rity answ" in low
                 or "pin_num" in low or "pin num" in low or "pinnum" in low
                 or (("?" in low or "&" in low)
                     and ("sig" in low or "sid" in low or "sess" in low or "hmac" in low or "assert" in low or "saml" in low)))
        )
    )  # fmt: skip


def has_any_stem(low: str) -> bool:
    """As `has_stem`, for texts where a name needs no sign after it."""
    return any(stem in low for stem in _STEMS)


def _stems_in(low: str) -> list[tuple[int, int]]:
    """Start and end of each stem in *low*, in order."""
    spans = []
    for stem in _STEMS:
        at = low.find(stem)
        while at >= 0:
            spans.append((at, at + len(stem)))
            at = low.find(stem, at + len(stem))
    spans.sort()
    return spans


_NAME_TAIL = re.compile(r"[\w$-]{0,64}(?:\.[\w$-]{1,64}){0,3}")
_QUALIFIER = re.compile(r"([A-Za-z]{2,20})[ ]$")

_GAP = r"[ \t]{0,8}"
_SEPARATOR = re.compile(
    r"(?P<quote>\\{0,7}[\"'`])?[\])]{0,2}(?:"
    + rf"(?P<assign>{_GAP}(?:=>|:=|={{1,3}}|!=|<>|:(?![:/])){_GAP})"
    + r"|(?P<encoded>%3[dDaA])"
    + rf"|(?P<named>[ \t,]{{1,8}}(?:\\{{0,7}}[\"'])?value(?:\\{{0,7}}[\"'])?{_GAP}[:=]{_GAP})"
    + rf"|(?P<pair>{_GAP},{_GAP}(?=b?\\{{0,7}}[\"']))"
    + r"|(?P<detail>[\w, \"]{0,200}\)=\()"
    + r"|(?P<element>>)"
    + r"|(?P<part>(?:\\r)?(?:\\n|\r?\n)(?:\\r)?(?:\\n|\r?\n))"
    + r"|(?P<prose>[ ](?:is|was|of|to)[ ](?:set to )?|[ ](?=[\"'\w]))"
    + r")",
    re.IGNORECASE,
)
"""What stands between a name and its value. `detail` is Postgres: ``Key (email, token)=(bob@x.de, abc) already exists.``"""

_HEADERS = ("authorization", "cookie", "cookies")
_HTTP_SCHEME = re.compile(
    r"(?:bearer|basic|digest|token|negotiate|apikey|api-key|ntlm|hawk|oauth|aws4-hmac-sha256)[ \t]+", re.IGNORECASE
)
_QUERY_NAMES = words(
    "sig signature hmac x-amz-signature x-amz-credential x-amz-security-token x-goog-signature x-goog-credential code session "
    "sid sessionid phpsessid jsessionid ticket otp pin pass pw key hash"
)


_NOTHING = frozenset(
    ("none", "null", "nil", "true", "false", "undefined", "nan", "0", "1", "-", "''", '""', "[]", "{}", "()")
)

_PLACEHOLDER = re.compile(r"%s|%\(\w+\)s|\?|\$\d+|\{\w?\}|[*•]+|x{3,}|\[?redacted\]?|\[?filtered\]?", re.IGNORECASE)
_TEMPLATE_FIELD = re.compile(r"\$?\{{1,2}[ ]?([\w.]{1,64})(?:![rsa])?(?::[^{}]{0,32})?[ ]?\}{1,2}")


def named_values(text: str, low: str, masks: NameRule, found: list[str]) -> str:
    """
    *text* with the values of secret-looking names replaced.

    Args:
        low: *text* in lower case, of the same length.
        masks: Says which names are secret.
    """
    pieces: list[str] = []
    position = 0
    name_end = 0
    for stem_start, stem_end in _stems_in(low):
        if stem_start < position or stem_start < name_end:
            continue
        name_end = _NAME_TAIL.match(text, stem_end).end()  # type: ignore[union-attr]
        separator = _SEPARATOR.match(text, name_end)
        if separator is None:
            continue
        name_start = _start_of_name(text, stem_start, position)
        rule = _rule_of(text, name_start, name_end, separator, masks)
        if rule is None:
            continue
        span = _span(text, name_start, separator, rule)
        if span is None or span[1] <= span[0] or _is_nothing(text[span[0] : span[1]], masks):
            continue
        found.append(rule)
        pieces += (text[position : span[0]], MARKER)
        position = span[1]
    if not pieces:
        return text
    pieces.append(text[position:])
    return "".join(pieces)


def _is_nothing(value: str, masks: NameRule) -> bool:
    """True for values that hold no secret: None, a placeholder of SQL, a field of a template, stars, a punctuation mark."""
    if value == MARKER or value.lower() in _NOTHING or (len(value) <= 3 and not any(c.isalnum() for c in value)):
        return True
    if _PLACEHOLDER.fullmatch(value) is not None:
        return True
    field = _TEMPLATE_FIELD.fullmatch(value)
    return field is not None and masks(field[1]) is not None


def _start_of_name(text: str, start: int, floor: int) -> int:
    floor, stem = max(floor, start - 64), start
    while start > floor and (text[start - 1].isalnum() or text[start - 1] in "_-$."):
        start -= 1
    # The letter of an escape is no part of the name: in the repr of a request "Cookie" stands behind `\r\n`.
    return start + 1 if start < stem and text[start] in "nrt" and text[start - 1 : start] == "\\" else start


def _rule_of(text: str, start: int, end: int, separator: re.Match[str], masks: NameRule) -> str | None:
    """The rule for the name at ``start:end``, together with the word before it where that decides."""
    name = text[start:end]
    rule = masks(name)
    before = text[start - 1 : start]
    if before == " " and (rule is None or name[:5].lower() == "token"):
        # "api key", "pin code"; but "unexpected token", "prompt tokens".
        qualifier = _QUALIFIER.search(text, max(0, start - 21), start)
        if qualifier is not None:
            return masks(f"{qualifier[1]}_{name}")
    elif rule is None and before in ("?", "&", ";") and before and separator["assign"] == "=":
        return f"query:{name.lower()}" if name.lower() in _QUERY_NAMES else None
    return rule


def _span(text: str, name_start: int, separator: re.Match[str], rule: str) -> Span | None:
    """What to hide to the right of *separator*."""
    start = separator.end()
    quote = separator["quote"]
    if separator["assign"] is not None:
        return _assigned(text, name_start, separator, rule)
    if separator["detail"] is not None:
        return _up_to(text, start, ")")
    if separator["element"] is not None:
        return _up_to(text, start, "<") if text[name_start - 1 : name_start] in ("<", ":") else None
    if separator["part"] is not None:
        return _up_to(text, start, "\r", "\n", "\\r", "\\n") if quote is not None else None
    if separator["pair"] is not None:
        return _second_of_pair(text, name_start, value_at(text, start))
    if separator["prose"] is not None:
        if text[name_start : name_start + 2] == "--":
            return value_at(text, start) if text[start : start + 1] != "-" else None
        if quote is not None:
            return None
        verb = separator["prose"].strip().lower()
        return prose.after_verb(text, start, rule) if verb in ("is", "was") else prose.after_name(text, start, rule)
    return value_at(text, start)


def _assigned(text: str, name_start: int, separator: re.Match[str], rule: str) -> Span | None:
    start, sign = separator.end(), separator["assign"]
    if OPEN_QUOTE.match(text, start) is not None:
        return value_at(text, start)
    if rule.rpartition(":")[2] in _HEADERS:
        scheme = _HTTP_SCHEME.match(text, start)
        if scheme is None and prose.begins_with_prose(text, start):
            return None
        return to_line_end(text, scheme.end() if scheme is not None else start)
    if sign == "=" and text[name_start - 1 : name_start] == ";":  # a connection string: values may hold spaces
        return _up_to(text, start, ";", "\n", '"', "'")
    span = value_at(text, start)
    if separator["quote"] is None and sign.strip() == ":" and sign != ":":
        return prose.after_colon(text, span, rule)
    return span


def _up_to(text: str, start: int, *marks: str) -> Span:
    return start, min((at for at in (text.find(mark, start) for mark in marks) if at >= 0), default=len(text))


def _second_of_pair(text: str, name_start: int, span: Span) -> Span | None:
    """*span* in ``('password', 'hunter2')`` and ``['--password', 'hunter2']``; not in ``['password', 'email']``."""
    if text[name_start : name_start + 2] == "--":
        return span
    opener = (
        text[:name_start].rstrip("\\\"'b")[-1:]
        if name_start < 8
        else text[name_start - 8 : name_start].rstrip("\\\"'b")[-1:]
    )
    return span if opener == "(" and text[span[1] + 1 : span[1] + 2].strip() in (")", "") else None


_DUPLICATE = re.compile(r"Duplicate entry '([^']{0,512})' for key '([^']{0,128})'")


def duplicate_keys(text: str, masks: NameRule, found: list[str]) -> str:
    """MySQL names the value before the column: ``Duplicate entry 'abc' for key 'users.api_key'``."""
    if "Duplicate entry '" not in text:
        return text

    def hide(match: re.Match[str]) -> str:
        rule = masks(match[2])
        if rule is None or match[1] == MARKER:
            return match[0]
        found.append(rule)
        return f"Duplicate entry '{MARKER}' for key '{match[2]}'"

    return _DUPLICATE.sub(hide, text)


_FIELD = re.compile(r"^[ ]{0,2}([\w.\[\]-]{1,200})\n[ ]{2}", re.MULTILINE)
_INPUT = re.compile(r"input_value=(.{0,2000}?)(?=, input_type=|\]$|\n|\Z)", re.MULTILINE)


def validation_errors(text: str, masks: NameRule, found: list[str]) -> str:
    """pydantic names the field on the line above: ``password``, then ``String too short [..., input_value='x', ...]``."""
    if "input_value=" not in text:
        return text
    fields = [(field.start(), masks(field[1])) for field in _FIELD.finditer(text)]
    current: str | None = None

    def hide(match: re.Match[str]) -> str:
        nonlocal current
        while fields and fields[0][0] < match.start():
            current = fields.pop(0)[1]
        if current is None or _is_nothing(match[1], masks):
            return match[0]
        found.append(current)
        return f"input_value={MARKER}"

    return _INPUT.sub(hide, text)
