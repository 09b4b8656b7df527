"""
Secrets in running text: messages, notes, log lines, headers, query strings, JSON and dict reprs inside a string.

    text -> the same text with each secret replaced by the marker, and the rules that did it

Each rule begins with a cheap test that most texts fail. What is found by a *name* (``password=...``, ``'token': '...'``,
``Authorization: ...``, ``?sig=...``, ``password is ...``) starts from the few places where a stem of such a name occurs,
decides by the whole name (`names`), and then reads one value to the right of it. Prose about secrets stays: "password is
required", "Invalid token: line 3".
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable

from phtrack.scrub.marks import MARKER

NameRule = Callable[[str], "str | None"]
"""Answers the rule that hides what a name holds, or None (`Scrubber.masks`)."""

# --- addresses ------------------------------------------------------------------------------------------------------

_SCHEME = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,30}://|://")
_URL_END = re.compile(r"[\s\"'<>`]|$")
_AUTHORITY_END = re.compile(r"[/?#]")
_NO_SCHEME = re.compile(r"(?<![\w.%+/@:=-])([\w.%+-]{1,64}):([^\s@/:\"'<>]{1,128})@(?=[A-Za-z0-9\[])")
_LABELS = frozenset(
    "mailto email mail from to cc bcc user username contact sip sips xmpp acct account author reply sender recipient owner "
    "login customer name by address reply-to e-mail".split()
)


def url_credentials(text: str, found: list[str]) -> str:
    """*text* with the user-info of addresses replaced, also where a length limit has cut the address off before its ``@``."""
    if "://" in text and ("@" in text or text.endswith(("...", "…"))):
        text = _in_addresses(text, found)
    if "@" in text and ":" in text:

        def hide(match: re.Match[str]) -> str:
            user, rest = match[1], match[2]
            if user.lower() in _LABELS or user.isdigit() or text.startswith("sha256:", match.end()) or rest == MARKER:
                return match[0]
            found.append("url_credentials")
            return MARKER + "@"

        text = _NO_SCHEME.sub(hide, text)
    return text


def _in_addresses(text: str, found: list[str]) -> str:
    pieces = []
    position = 0
    for match in _SCHEME.finditer(text):
        start = match.end()
        if start < position:
            continue
        run_end = _URL_END.search(text, start).start()  # type: ignore[union-attr]
        end = _user_info_end(text[start:run_end], text[run_end : run_end + 1])
        if end is None or text.startswith(MARKER, start):
            continue
        found.append("url_credentials")
        pieces += (text[position:start], MARKER)
        position = start + end
    if not pieces:
        return text
    pieces.append(text[position:])
    return "".join(pieces)


def _user_info_end(run: str, _after: str) -> int | None:
    """Where the user-info ends in *run*, an address without its scheme; None if there is none with a password."""
    cut = _AUTHORITY_END.search(run)
    authority = run[: cut.start()] if cut else run
    at = authority.rfind("@")
    if at >= 0:
        if ":" not in authority[:at]:
            return None
        host = authority[at + 1 :]
        if "." in host or ":" in host or host.startswith("localhost"):
            return at
        return max(at, run.rfind("@"))  # what looks like a bare host name may still be the password: p@ss/word
    colon = authority.find(":")
    if colon < 0 or "[" in authority:
        return None
    port = authority[authority.rfind(":") + 1 :]
    if port.rstrip(".,;)]}…").isdigit() or not port.strip(".,;:)]}"):
        return None
    at = run.rfind("@")
    if at >= 0:  # a password with an unescaped slash, question mark or hash
        return at
    if run.endswith(("...", "…")):  # cut off inside the password
        return len(run.rstrip(".…"))
    return None


# --- authentication schemes -----------------------------------------------------------------------------------------

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


# --- names and what they hold ---------------------------------------------------------------------------------------

_STEMS = (
    "pass", "secret", "token", "auth", "key", "pw", "cred", "cookie", "jwt", "dsn", "conn", "srf", "code", "sig", "otp", "cvv",
    "cvc", "ssn", "bearer", "sk_", "phrase", "link", "saml", "assertion", "sid", "sess", "senha", "kennwort",
)  # fmt: skip
"""What a name that matters has somewhere, in lower case. Some stand in `has_stem` only with a sign of assignment."""


def has_stem(low: str) -> bool:
    """True if *low*, a text in lower case, may hold a secret-looking name. The first test of every text, so written out."""
    return (
        "pass" in low or "secret" in low or "token" in low or "auth" in low or "key" in low or "pw" in low or "cred" in low
        or "cookie" in low or "jwt" in low or "dsn" in low or "conn" in low or "code" in low or "bearer" in low or "basic" in low
        or (
            ("=" in low or ":" in low or ">" in low)
            and ("srf" in low or "sig" in low or "otp" in low or "cv" in low or "ssn" in low or "sk_" in low or "phrase" in low
                 or "link" in low or "saml" in low or "assert" in low or "sid" in low or "sess" in low or "senha" in low
                 or "kennwort" in low)
        )
    )  # fmt: skip


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
_NAME_HEAD = re.compile(r"[\w$-]")
_BEFORE = re.compile(r"([A-Za-z]{2,20})[ ]$")

_GAP = r"[ \t]{0,8}"
_SEPARATOR = re.compile(
    r"(?P<quote>\\{0,7}[\"'`])?[\])]{0,2}(?:"
    + rf"(?P<assign>{_GAP}(?:=>|:=|={{1,3}}|!=|<>|:(?![:/])){_GAP})"
    + r"|(?P<encoded>%3[dDaA])"
    + rf"|(?P<named>[ \t,]{{1,8}}(?:\\{{0,7}}[\"'])?value(?:\\{{0,7}}[\"'])?{_GAP}[:=]{_GAP})"
    + rf"|(?P<pair>{_GAP},{_GAP}(?=b?\\{{0,7}}[\"']))"
    + r"|(?P<element>>)"
    + r"|(?P<part>(?:\\r)?(?:\\n|\r?\n)(?:\\r)?(?:\\n|\r?\n))"
    + r"|(?P<prose>[ ](?:is|was|of|to)[ ](?:set to )?|[ ](?=[\"'\w]))"
    + r")",
    re.IGNORECASE,
)
_KEY_DETAIL = re.compile(r"[\w, \"]{0,200}\)=\(")

_OPEN_QUOTE = re.compile(r"[bBrRuUfF]{0,2}(\\{0,7})(\"\"\"|'''|[\"'`])")
_BARE = re.compile(
    r"(?:[^\s\"'<>`,;&|%)\]}]"
    r"|[,;&|](?!\s|$|[\w.$-]{1,64}\s{0,2}[=:])|%(?!26|3[bB])|[)\]}](?![\s,;.)\]}]|$)){1,4096}"
)
_CALL = re.compile(r"[\w.]{0,128}[(\[{]")
_WORD = re.compile(r"[^\W\d_]+(?:'[a-z]{1,2})?(?=[\s.,;:!?)\]}\"']|$)")
_NOTHING = frozenset(("none", "null", "nil", "true", "false", "undefined", "nan", "0", "1", "-", "''", '""', "[]", "{}", "()"))

_PLACEHOLDER = re.compile(r"%s|%\(\w+\)s|\?|\$\d+|\{\w?\}|[*•]+|x{3,}|\[?redacted\]?|\[?filtered\]?", re.IGNORECASE)
_TEMPLATE_FIELD = re.compile(r"\$?\{{1,2}[ ]?([\w.]{1,64})(?:![rsa])?(?::[^{}]{0,32})?[ ]?\}{1,2}")

_PROSE = frozenset(
    "a an and are as at be been by can cannot could did do does doesn't don't for from had has have how if in into is isn't it "
    "its out open there may might must need needs never no not of on only or please should so than that the then there this to too try use "
    "used using was wasn't what when where which while who why will with would you your "
    "absent accepted again already bad blank blocked changed denied different disabled empty enabled error exceeded "
    "exists expected expired failed failure forbidden found got hashed hidden ignored incorrect invalid line long malformed "
    "matches match mismatch missing newline none null ok okay optional provided read refused rejected required revoked "
    "short shorter success succeeded timeout type unauthorized undefined unexpected unknown unset unsupported unused "
    "updated valid value verified weak wrong yes field fields key set string character characters does at least "
    "entry login logged check checks checking validation verification user users".split()
)
_PROSE_ENDINGS = ("ed", "ing", "able", "ible", "ly", "tion")
_HEADERS = frozenset(("authorization", "cookie", "cookies"))
_HTTP_SCHEME = re.compile(
    r"(?:bearer|basic|digest|token|negotiate|apikey|api-key|ntlm|hawk|oauth|aws4-hmac-sha256)[ \t]+", re.IGNORECASE
)
_QUERY_NAMES = frozenset(
    "sig signature hmac x-amz-signature x-amz-credential x-amz-security-token x-goog-signature x-goog-credential code session "
    "sid sessionid phpsessid jsessionid ticket otp pin pass pw key hash".split()
)


def named_values(text: str, low: str, masks: NameRule, found: list[str]) -> str:
    """
    *text* with the values of secret-looking names replaced.

    Args:
        low: *text* in lower case, of the same length.
        masks: Says which names are secret.
    """
    pieces = []
    position = 0
    name_end = 0
    for stem_start, stem_end in _stems_in(low):
        if stem_start < position or stem_start < name_end:
            continue
        name_end = _NAME_TAIL.match(text, stem_end).end()  # type: ignore[union-attr]
        separator = _SEPARATOR.match(text, name_end)
        if separator is None:
            separator = _KEY_DETAIL.match(text, name_end)
            if separator is None:
                continue
        name_start = _start_of_name(text, stem_start, position)
        rule = _rule_of(text, name_start, name_end, separator, masks)
        if rule is None:
            continue
        for start, end in _values(text, name_start, separator, rule):
            if end <= start or text[start:end] == MARKER or _is_nothing(text[start:end], masks):
                continue
            found.append(rule)
            pieces += (text[position:start], MARKER)
            position = end
    if not pieces:
        return text
    pieces.append(text[position:])
    return "".join(pieces)


def _is_nothing(value: str, masks: NameRule) -> bool:
    """True for values that hold no secret: None, a placeholder of SQL, a field of a template, stars, a punctuation mark."""
    if value.lower() in _NOTHING or (len(value) <= 3 and not any(c.isalnum() for c in value)):
        return True
    if _PLACEHOLDER.fullmatch(value) is not None:
        return True
    field = _TEMPLATE_FIELD.fullmatch(value)
    return field is not None and masks(field[1]) is not None


def _start_of_name(text: str, start: int, floor: int) -> int:
    floor = max(floor, start - 64)
    while start > floor and (text[start - 1].isalnum() or text[start - 1] in "_-$."):
        start -= 1
    return start


def _rule_of(text: str, start: int, end: int, separator: re.Match[str], masks: NameRule) -> str | None:
    name = text[start:end]
    rule = masks(name)
    before = text[start - 1 : start]
    if rule is not None:
        if before == " " and name[:5].lower() == "token":  # "unexpected token", "prompt tokens"
            qualifier = _BEFORE.search(text, max(0, start - 21), start)
            if qualifier is not None:
                return masks(f"{qualifier[1]}_{name}")
        return rule
    if before in ("?", "&", ";") and before and separator.groupdict().get("assign") == "=":
        if name.lower() in _QUERY_NAMES:
            return f"query:{name.lower()}"
        return None
    if before == " ":
        qualifier = _BEFORE.search(text, max(0, start - 21), start)
        if qualifier is not None:
            return masks(f"{qualifier[1]}_{name}")
    return None


def _values(text: str, name_start: int, separator: re.Match[str], rule: str) -> list[tuple[int, int]]:
    """The spans to hide to the right of *separator*."""
    start = separator.end()
    kind = separator.lastgroup
    if kind == "quote":
        kind = "assign"
    groups = separator.groupdict()
    if not groups:  # Postgres: Key (token)=(abc) already exists.
        end = text.find(")", start)
        return [(start, end if end >= 0 else len(text))]
    if groups["element"] is not None:
        if text[name_start - 1 : name_start] not in ("<", ":"):
            return []
        end = text.find("<", start)
        return [(start, end if end >= 0 else len(text))]
    if groups["part"] is not None:
        if groups["quote"] is None:
            return []
        end = min((at for at in (text.find(mark, start) for mark in ("\r", "\n", "\\r", "\\n")) if at >= 0), default=len(text))
        return [(start, end)]
    if groups["pair"] is not None:
        opener = text[: name_start].rstrip("\\\"'b")[-1:]
        span = _value(text, start)
        return [span] if opener == "(" and text[span[1] + 1 : span[1] + 2].strip() in (")", "") else []
    if groups["prose"] is not None:
        if groups["quote"] is not None:
            return []
        return _prose_value(text, start, rule, groups["prose"].strip().lower())
    if groups["assign"] is not None and rule.rpartition(":")[2] in _HEADERS and not _OPEN_QUOTE.match(text, start):
        return _header_value(text, start)
    span = _value(text, start)
    spaced = groups["assign"] is not None and groups["assign"].strip() == ":" and groups["assign"] != ":"
    if spaced and groups["quote"] is None and not _OPEN_QUOTE.match(text, start):
        return _after_colon(text, span, rule)
    return [span]


def _value(text: str, start: int) -> tuple[int, int]:
    """The span of the value that begins at *start*: the inside of quotes, a bracketed structure, or a bare word."""
    quoted = _OPEN_QUOTE.match(text, start)
    if quoted is not None:
        return _inside_quotes(text, quoted)
    if text.startswith(("<", "&lt;"), start):
        end = text.find(">", start)
        return start, (end + 1 if end >= 0 else len(text))
    call = _CALL.match(text, start)
    if call is not None:
        return start, balanced_end(text, call.end() - 1)
    bare = _BARE.match(text, start)
    if bare is None:
        return start, start
    end = bare.end()
    if end - start == 4096:
        # Longer than any word: all of the unbroken rest goes.
        end = _URL_END.search(text, end).start()  # type: ignore[union-attr]
    while end > start and text[end - 1] in ".,;:!?" and (end == len(text) or text[end] in " \t\r\n\"'"):
        end -= 1
    return start, end


def _inside_quotes(text: str, opening: re.Match[str]) -> tuple[int, int]:
    escapes, quote = opening.groups()
    start = opening.end()
    if escapes:
        end = text.find(escapes + quote, start)
    else:
        end = closing_quote(text, start, quote)
    if end < 0:
        # Cut off, or an apostrophe: to the end of the line.
        line_end = text.find("\n", start)
        end = line_end if line_end >= 0 else len(text)
    return start, end


def closing_quote(text: str, start: int, quote: str) -> int:
    """Index of the *quote* that closes a string whose inside begins at *start*, or -1. Backslashes escape."""
    position = start
    while True:
        end = text.find(quote, position)
        if end < 0:
            return -1
        slashes = 0
        while end - slashes > start and text[end - slashes - 1] == "\\":
            slashes += 1
        if slashes % 2 == 0:
            return end
        position = end + 1


_BRACKETS = re.compile(r"[()\[\]{}]|\"|'")


def balanced_end(text: str, start: int) -> int:
    """Index after the bracket that closes the one at *start*; the end of *text* if none does. Strings are stepped over."""
    depth = 0
    position = start
    while True:
        match = _BRACKETS.search(text, position)
        if match is None:
            return len(text)
        char = match[0]
        position = match.end()
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth <= 0:
                return position
        else:
            end = closing_quote(text, position, char)
            if end >= 0:
                position = end + 1


def _header_value(text: str, start: int) -> list[tuple[int, int]]:
    """The rest of a header's line, without its authentication scheme."""
    scheme = _HTTP_SCHEME.match(text, start)
    if scheme is not None:
        start = scheme.end()
    else:
        word = _WORD.match(text, start)
        if word is not None and word[0].lower() in _PROSE | _NOTHING:
            return []
    end = start
    quote = text.find('"', start), text.find("'", start), text.find("\n", start), text.find("\\n", start), text.find("\r", start)
    end = min((at for at in quote if at >= 0), default=len(text))
    while end > start and text[end - 1] in " \t,)]}":
        end -= 1
    return [(start, end)]


def _is_prose(word: str) -> bool:
    low = word.lower()
    return low in _PROSE or (word.islower() and low.endswith(_PROSE_ENDINGS))


def _after_colon(text: str, span: tuple[int, int], rule: str) -> list[tuple[int, int]]:
    """What to hide after ``password: ``, where prose may stand as well as a value."""
    start, end = span
    word = _WORD.match(text, start)
    if word is None or word.end() < end:
        return [span]
    if _is_prose(word[0]):
        return []
    following = _WORD.match(text, end + 1) if text[end : end + 1] == " " else None
    if following is None:
        return [span]
    if not _is_password(rule) and word[0].islower():
        return []
    # A passphrase: further words, up to one that belongs to the sentence.
    while following is not None and following[0].lower() not in _PROSE:
        if text[following.end() : following.end() + 1] in (":", "="):
            break
        end = following.end()
        following = _WORD.match(text, end + 1) if text[end : end + 1] == " " else None
    return [(start, end)]


def _prose_value(text: str, start: int, rule: str, verb: str) -> list[tuple[int, int]]:
    """What to hide after ``password is ...`` or right after the word."""
    quoted = _OPEN_QUOTE.match(text, start)
    if quoted is not None:
        span = _inside_quotes(text, quoted)
        value = text[span[0] : span[1]]
        if verb in ("of", "to") or (not _is_password(rule) and len(value) < 8):
            return []
        return [span]
    if verb in ("of",):
        return []
    start, end = _value(text, start)
    value = text[start:end]
    if verb == "is" or verb == "was" or verb == "to":
        if value.isalpha() and (verb == "to" or _is_prose(value)):
            return []
        if not _is_password(rule) and value.isalpha() and value.islower():
            return []
        return [(start, end)]
    letters = any(c.isalpha() for c in value)
    digits = any(c.isdigit() for c in value)
    if letters and digits and len(value) >= (6 if _is_password(rule) else 12):
        return [(start, end)]
    return []


def _is_password(rule: str) -> bool:
    word = rule.rpartition(":")[2]
    return word.startswith(("pass", "pw", "secret", "kennwort", "senha", "cred", "seed", "recovery"))


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
