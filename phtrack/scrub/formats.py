"""
What a value says about itself: keys, tokens, private keys, password hashes, card numbers, and sheer randomness.

    text -> text with every part of a known format replaced by the marker

Formats stand in one list, each with the name that `found` reports. All patterns are linear: a fixed beginning, then one
run of characters. They run only over the long unbroken pieces of a text, which most texts don't have.
"""

from __future__ import annotations

import re
from math import log2

from phtrack.scrub.marks import MARKER, MAY_BE_CUT, words

_START = r"(?<![A-Za-z0-9_-])"
"""For beginnings that ordinary words can end with: `task-...` is no `sk-...`."""

FORMATS: tuple[tuple[str, str, str], ...] = (
    ("jwt", "eyJ", r"eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){0,4}"),
    ("aws_access_key_id", "AKIA ASIA AGPA AIDA AROA AIPA ANPA ANVA ABIA ACCA", r"(?:AKIA|ASIA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{16,}"),
    ("anthropic", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{16,}"),
    ("openai", "sk-", _START + r"sk-(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,}"),
    ("hugging_face", "hf_", _START + r"hf_[A-Za-z0-9]{34,}"),
    ("google_api_key", "AIza", r"AIza[A-Za-z0-9_-]{35,}"),
    ("google_oauth", "ya29. GOCSPX- 1//0", r"ya29\.[A-Za-z0-9_.-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}|" + _START + r"1//0[A-Za-z0-9_-]{20,}"),
    ("digitalocean", "_v1_", r"do[opr]_v1_[a-f0-9]{64,}"),
    ("stripe", "_live_ _test_ whsec_", r"(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{20,}"),
    ("square", "sq0", r"sq0[a-z]{3}-[A-Za-z0-9_-]{22,}"),
    ("github", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{20,}"),
    ("gitlab", "glpat- glptt- glrt- glsoat- gldt- glcbt- glft-", r"gl(?:pat|ptt|rt|soat|dt|cbt|ft)-[A-Za-z0-9_-]{20,}"),
    ("grafana", "glsa_ glc_", r"glsa_[A-Za-z0-9]{32}_[a-f0-9]{8,}|glc_[A-Za-z0-9+/=]{32,}"),
    ("slack", "xox xapp-", r"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}"),
    ("slack_webhook", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9_/-]{10,}"),
    ("discord_webhook", "/api/webhooks/", r"discord(?:app)?\.com/api/webhooks/\d+/[A-Za-z0-9_-]{20,}"),
    ("discord", ".", _START + r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}"),
    ("telegram", ":A", _START + r"(?:bot)?\d{8,10}:[A-Za-z0-9_-]{35,}"),
    ("twilio", "SK", _START + r"SK[a-f0-9]{32,}"),
    ("sendgrid", "SG.", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43,}"),
    ("mailgun", "key-", _START + r"key-[a-f0-9]{32,}"),
    ("mailchimp", "-us", _START + r"[a-f0-9]{32}-us\d{1,2}"),
    ("npm", "npm_", r"npm_[A-Za-z0-9]{36,}"),
    ("pypi", "pypi-", r"pypi-AgEI[A-Za-z0-9_-]{50,}"),
    ("databricks", "dapi", r"dapi[a-f0-9]{32,}"),
    ("doppler", "dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,}"),
    ("postman", "PMAK-", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34,}"),
    ("linear", "lin_api_", r"lin_api_[A-Za-z0-9]{40,}"),
    ("notion", "ntn_", r"ntn_[A-Za-z0-9]{40,}"),
    ("shopify", "shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32,}"),
    ("new_relic", "NR", r"NR(?:AK|JS|II|MA|RA)-[A-Za-z0-9]{27,}"),
    ("posthog", "phx_ phs_ pha_", r"ph[xsa]_[A-Za-z0-9]{32,}"),
    ("sentry", "sntry", r"sntry[su]_[A-Za-z0-9+/=_-]{32,}"),
    ("vault", "hvs. hvb. hvr.", _START + r"hv[sbr]\.[A-Za-z0-9_-]{24,}"),
    ("docker", "dckr_", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}"),
    ("atlassian", "ATATT3", r"ATATT3[A-Za-z0-9_=-]{32,}"),
    ("groq", "gsk_", _START + r"gsk_[A-Za-z0-9]{32,}"),
    ("xai", "xai-", _START + r"xai-[A-Za-z0-9]{40,}"),
    ("perplexity", "pplx-", _START + r"pplx-[A-Za-z0-9]{40,}"),
    ("replicate", "r8_", _START + r"r8_[A-Za-z0-9]{30,}"),
    ("resend", "re_", _START + r"re_[A-Za-z0-9]{6,10}_[A-Za-z0-9]{20,}"),
    ("supabase", "sbp_ sb_secret_", _START + r"sbp_[a-f0-9]{40,}|sb_secret_[A-Za-z0-9_-]{20,}"),
    ("figma", "figd_", r"figd_[A-Za-z0-9_-]{30,}"),
    ("tailscale", "tskey-", r"tskey-[a-z]+-[A-Za-z0-9-]{16,}"),
    ("age", "AGE-SECRET", r"AGE-SECRET-KEY-1[A-Z0-9]{40,}"),
    ("password_hash", "$", r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{50,}|\$argon2(?:id|i|d)\$[A-Za-z0-9+/=,$]{30,}"
     r"|pbkdf2_sha\d+\$\d+\$[A-Za-z0-9+/=$]{20,}|\$[156]\$[A-Za-z0-9./]{1,16}\$[A-Za-z0-9./]{22,}"),
)  # fmt: skip
"""(name, what it must contain to be worth a look: any of these pieces, pattern); reported as ``format:<name>``."""

_COMPILED = tuple(
    (hint, f"format:{name}", re.compile(pattern)) for name, hints, pattern in FORMATS for hint in hints.split()
)
RUN = re.compile(r"[A-Za-z0-9_-]{15}")
"""What every format has: an unbroken run of this many characters."""

_CUT = re.compile(
    r"(?:eyJ|sk-ant-|(?<![A-Za-z0-9_-])sk-|A[KS]IA|AIza|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|(?:sk|pk|rk)_(?:live|test)_"
    r"|whsec_|npm_|pypi-AgEI|SG\.|hf_|phx_)[A-Za-z0-9_.+/=-]{6,512}?(?=\.\.\.|…|\Z)"
)
"""A token that a length limit has cut off before it was whole."""

SHORTEST = 15
"""Characters of the shortest text that can be of a known format, or random."""


def formats(text: str, found: list[str]) -> str:
    """*text* with keys and tokens of known vendors replaced."""
    if RUN.search(text) is not None and _HEXISH.fullmatch(text) is None:
        for hint, rule, pattern in _COMPILED:
            if hint in text:
                masked = pattern.sub(_jwt if hint == "eyJ" else MARKER, text)
                if masked != text:
                    found.append(rule)
                    text = masked
    if "..." in text or "…" in text or len(text) >= MAY_BE_CUT:
        masked = _CUT.sub(lambda match: match[0] if match.end() == len(text) < MAY_BE_CUT else MARKER, text)
        if masked != text:
            found.append("format:cut_token")
            text = masked
    return text


def _jwt(match: re.Match[str]) -> str:
    """The marker for a token of dotted parts; one part alone is JSON in base 64, such as a cursor of a list."""
    return MARKER if "." in match[0] else match[0]


_PEM = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")


def pem(text: str, found: list[str]) -> str:
    """*text* without private keys, also those whose beginning or end is cut off."""
    if "PRIVATE KEY" not in text or "-----" not in text:
        return text
    pieces: list[str] = []
    position = 0
    inside = False
    for mark in _PEM.finditer(text):
        if mark[1] == "BEGIN":
            if not inside:
                pieces += (text[position : mark.start()], MARKER)
                found.append("pem")
            inside = True
            continue
        if not inside:
            # The beginning was cut off: what stands before the end is the key.
            pieces.append(MARKER)
            found.append("pem")
        inside = False
        position = mark.end()
    if not pieces and "PRIVATE KEY-----" in text:  # the beginning of the beginning was cut off
        found.append("pem")
        return MARKER
    if not inside:
        pieces.append(text[position:])
    return "".join(pieces)


# --- card numbers ---------------------------------------------------------------------------------------------------

CARD_HINT = re.compile(r"[2-6][0-9]{3}[ -]?[0-9]{4}")
_CARD = re.compile(
    r"(?<![\w.+-])(?:[2-6]\d{3}(?:[ -]\d{4}){3}|3[47]\d\d[ -]\d{6}[ -]\d{5}|3\d{3}[ -]\d{6}[ -]\d{4}|[2-6]\d{13,15})(?![\w-]|\.\d)"
)
_NUMBERED = re.compile(
    r"(?:(?:\b(?:order|invoice|id|ids|pk|ref|reference|tracking|ticket|sku|isbn|imei|job|task|trace|span|request|event|row|user"
    r"|number of|offset|bytes)|_id|Id)[ \t\"':=#(]{0,4}(?:no\.?|number)?[ \t\"':=#(]{0,3}|#)\Z",
    re.IGNORECASE,
)
"""What stands before a number of things that are no cards: ``order 4242424242424242``, ``#4242424242424242``."""


def is_card(digits: str) -> bool:
    """True if *digits* is a number of a card issuer, of the right length, with the right check digit (Luhn)."""
    n = len(digits)
    two, four = int(digits[:2]), int(digits[:4])
    if n == 16:
        issuer = digits[0] == "4" or 51 <= two <= 55 or 2221 <= four <= 2720 or 3528 <= four <= 3589
        issuer = issuer or four == 6011 or two in (62, 65) or 644 <= four // 10 <= 649
    elif n == 15:
        issuer = two in (34, 37)
    else:
        issuer = n == 14 and (two in (36, 38, 39) or 300 <= four // 10 <= 305)
    if not issuer:
        return False
    total = 0
    for i, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        if i % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0 and len(set(digits)) > 1


def cards(text: str, found: list[str]) -> str:
    """*text* without payment card numbers, in one run or in groups; not ids, timestamps or other long numbers."""
    if CARD_HINT.search(text) is None:
        return text

    def hide(match: re.Match[str]) -> str:
        number = match[0]
        digits = number.replace(" ", "").replace("-", "")
        if not digits.isascii() or not is_card(digits):
            return number
        if digits == number and _NUMBERED.search(text, max(0, match.start() - 24), match.start()):
            return number
        found.append("card_number")
        return MARKER

    return _CARD.sub(hide, text)


# --- randomness -----------------------------------------------------------------------------------------------------

MIN_RANDOM = 16
MIN_ENTROPY = 3.8
"""Bits per character."""
MAX_RANDOM = 16_384

_NOT_RANDOM = re.compile(r"[\s\\\[\](){}<>\"'`,;]|://|\$_posthog_")
_DIGIT = re.compile(r"\d")
_HEXISH = re.compile(r"(?:0x)?[0-9a-fA-F:._-]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|(?<![0-9A-Za-z])[0-9a-f]{16,}(?![0-9A-Za-z])")
_LOWER_PATH = re.compile(r"[a-z]{2}/[a-z]{2}|^(?:\.{0,2}|~)/[A-Za-z_.]")
_KNOWN_INNOCENT = re.compile(
    r"\d{4}-\d\d-\d\d[T_]?\d.*"  # dates and times
    r"|[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"  # e-mail addresses
    r"|arn:aws[\w:/.*+=@-]*"
    r"|(?:sha(?:1|256|384|512)|md5)[:-][A-Za-z0-9+/=_-]+"  # digests, subresource integrity
    r"|[a-z][a-z0-9]*(?:-[a-z0-9]+)*-[a-z0-9]{5,10}-[a-z0-9]{5}"  # Kubernetes pods
    r"|(?:iVBORw0KGgo|/9j/4|R0lGOD|UklGR|JVBERi0|H4sI|UEsDB|PHN2Zy|PD94bWw|Qk0)[A-Za-z0-9+/=_-]*"  # base64 of files
    r"|(?:cus|pi|ch|py|evt|in|sub|prod|price|req|txn|card|src|acct|seti|pm|cs|ii|il|si|po|tr|fee|qt|dp|du|li|plan|promo|org|user"
    r"|usr|msg|run|thread|asst|file|resp|call|batch|chatcmpl|toolu|order|ord|job|task|inv|cust|pay|payment|item|event|trace|span"
    r"|obj|ent|proj|team|ws|wf|exec|sess|inst|i|vpc|subnet|sg|ami|vol|eni|rtb|igw|snap)"
    r"[_-](?:test_|live_)?(?:[A-Za-z0-9]{8,32})"  # ids with the name of their kind in front
)
_CHUNKS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LETTERS = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+")
_SEGMENTS = re.compile(r"[A-Za-z0-9]+")
_IDENTIFIER_LIKE = re.compile(r"[\w.\-/:@+~#=&?]+")
_PAIRS_OF_WORDS = words(
    "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro ic ne ea "
    "ra ce li ch ll be ma si om ur ca el ta la ns di fo ho pe ec pr no ct us ac ot il tr ly nc et ut ss so rs un lo wa ge ie "
    "wh ee wi em ad ol rt po we na ul ni ts mo ow pa im mi ai sh ir su id os iv ia am fi ci vi pl ig tu ev ld ry mp fe bl ab "
    "gh ty op wo sa ay ex ke fr oo av ag if ap gr od bo sp rd do uc bu ei ov by rm ep tt oc fa ef cu rn sc gi da cr cl du qu "
    "pt ck um up nu py yt og lu ue"
)
"""The pairs of letters that words are made of; a fifth of all pairs, four fifths of those in identifiers."""


def is_random(text: str) -> bool:
    """
    True for a text that is one piece of unguessable characters, as generated keys and passwords are.

    At least the contract's rule (16 characters or more, three of four character classes, 3.8 bits per character, no path,
    address, UUID or hex), less what has another explanation: identifiers, slugs, file and host names, dates, e-mail
    addresses, digests, prefixed ids, KSUIDs, base64 of images and documents.
    """
    n = len(text)
    if n < MIN_RANDOM or n > MAX_RANDOM or " " in text or _NOT_RANDOM.search(text) is not None:
        return False
    if _LOWER_PATH.search(text) is not None or _HEXISH.fullmatch(text) is not None:
        return False
    classes = (text != text.upper()) + (text != text.lower()) + (_DIGIT.search(text) is not None)
    if classes + (not text.isalnum()) < 3 or _entropy(text) < MIN_ENTROPY:
        return False
    if _KNOWN_INNOCENT.fullmatch(text) is not None:
        return False
    rest = _UUID.sub("", text)
    if rest != text and not is_random(rest):
        return False
    return not _is_ksuid(text) and not _reads_like_words(text)


def _entropy(text: str) -> float:
    counts: dict[str, int] = {}
    for char in text:
        counts[char] = counts.get(char, 0) + 1
    n = len(text)
    return log2(n) - sum(count * log2(count) for count in counts.values()) / n


def _reads_like_words(text: str) -> bool:
    """True for identifiers, slugs, versions, file and host names: made of words and plain numbers."""
    if not _IDENTIFIER_LIKE.fullmatch(text):
        return False
    ordinary = strange = 0
    for segment in _SEGMENTS.findall(text):
        if _is_ordinary(segment):
            ordinary += len(segment)
        else:
            strange += len(segment)
    if strange > 0.3 * (ordinary + strange):
        return False
    pairs = [c[i : i + 2] for c in map(str.lower, _LETTERS.findall(text)) for i in range(len(c) - 1)]
    if len(pairs) < 6:
        return strange == 0
    return sum(pair in _PAIRS_OF_WORDS for pair in pairs) >= 0.55 * len(pairs)


def _is_ordinary(segment: str) -> bool:
    if segment.isdigit() or (segment.islower() and segment.isalpha()) or (segment.isupper() and segment.isalpha()):
        return True
    chunks = _CHUNKS.findall(segment)
    if len(chunks) == 1:
        return True
    if len(chunks) == 2 and chunks[1].isdigit() and len(segment) > 3:
        return True  # order123, Q32024
    return len(segment) >= 8 and len(segment) >= 2.5 * len(chunks)


_BASE62 = {c: i for i, c in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")}


def _is_ksuid(text: str) -> bool:
    """True for a KSUID: 27 characters of base 62 that begin with a time between 2014 and 2038."""
    if len(text) != 27 or not text.isalnum() or not text.isascii():
        return False
    number = 0
    for char in text:
        number = number * 62 + _BASE62[char]
    return 0 < number >> 128 < 750_000_000
