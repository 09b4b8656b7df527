"""
What a name says about its value: nothing, "leave it out", or "hide it".

    name of a variable, attribute, mapping key, column, option -> rule such as ``name:password``, or None

Two kinds of pattern meet here. phtrack's own default patterns are read **by whole words of the name**: `db_password`,
`userPassword`, `DBPASS` and `x-api-key` are hidden; `task_id` (it holds `sk_`), `author` and `authority` (they hold
`auth`), `keyboard`, `tokenizer` and `secretary` are not. The wire contract searches its default patterns as substrings,
which hides the very ids a developer needs; its meaning is kept, its accidents are not. Names that speak *about* a secret
stay visible too, if they can't hold one: `has_password`, `password_changed_at`, `max_tokens`, `token_type`, `auth_method`.

Patterns that a user configures are what the contract says: case-insensitive searches anywhere in the name. As long as
the configured list still contains all of the defaults, those keep their whole-word meaning and only the additions are
searched; a list that replaces the defaults replaces the words as well.

No value is looked at here, and nothing here needs more than a few microseconds: the raising thread asks it.
"""

from __future__ import annotations

import re

from phtrack.scrub.marks import words

MAX_NAME = 160
"""Characters of a name that are looked at: its end, where the noun is."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")

_PASSWORDS = (
    "password", "passwords", "passwd", "passwds", "pwd", "pwds", "pw", "passphrase", "passphrases", "passcode",
    "passcodes", "passwort", "kennwort", "senha", "secret", "secrets", "credential", "credentials", "cred", "creds",
)  # fmt: skip
_TOKENS = (
    "token", "tokens", "jwt", "jwts", "bearer", "apikey", "apikeys", "privatekey", "secretkey", "accesskey", "authkey",
    "connectionstring", "connstr", "dsn", "authorization", "cookie", "cookies", "csrf", "xsrf", "csrftoken", "otp",
    "totp", "cvv", "cvc", "ssn", "phpsessid", "jsessionid", "sessionid",
)  # fmt: skip
_STRONG = frozenset(_PASSWORDS + _TOKENS)
_PASSWORD = frozenset(_PASSWORDS)
_WEAK = frozenset(("auth", "oauth", "authentication", "authn"))
"""Hide what they name only at the end of a name (`basic_auth`), or before one of `_AUTH_PARTS`."""
_AUTH_PARTS = words(
    "header headers code codes key keys data value string str pair tuple cookie dict info params args hash"
)

_KEYED = words(
    "api private secret access encryption encrypt decryption decrypt signing sign master account auth session ssh shared "
    "service hmac aes rsa des gpg pgp ssl tls license consumer subscription webhook admin root deploy storage symmetric "
    "crypto cipher fernet stripe openai anthropic sendgrid mailgun twilio github"
)
"""Words that make a following `key` a secret one. `primary`, `foreign`, `cache`, `sort`, `public` are not among them."""
_PAIRS = frozenset(
    (first, second)
    for first, seconds in {
        "pass": "word words phrase phrases code codes hash key",
        "conn": "str string",
        "connection": "str string",
        "pin": "code number",
        "security": "code answer",
        "verification": "code",
        "recovery": "code codes phrase",
        "backup": "code codes",
        "seed": "phrase",
        "access": "code",
        "code": "verifier",
        "client": "assertion",
        "saml": "response assertion",
        "magic": "link",
        "reset": "link",
        "sk": "live test",
    }.items()
    for second in seconds.split()
)

_DESCRIBING = words(
    "count counts type types length len size min max limit limits budget usage used name names field fields form label "
    "placeholder policy policies rule rules validator validators strength score endpoint path paths file filename files dir "
    "expiry expire expires expiration expired ttl lifetime age at on in date time timestamp valid validity invalid required "
    "enabled disabled changed exists present missing version class cls model manager service provider factory generator "
    "backend backends handler handlers middleware view page template error errors exception status scheme method methods "
    "mode algorithm alg hasher hashers arn domain host port index idx pos position kind scope scopes issuer audience prefix "
    "format regex pattern patterns re func fn callback column columns context bucket embedding embeddings logprob logprobs "
    "ids start end rate secure httponly samesite attempts retries"
)
"""Last words of a name that is about a secret and does not hold it: `password_changed_at`, `token_type`."""
_POINTING = words("id url urls uri uris link user username")
"""Describe a token (`token_url`, `auth_user`), but not a password: a reset link and a Vault `secret_id` are secrets."""
_ASKING = words(
    "is has have had can should must needs need requires require use uses used allow allows enable enables enabled disable "
    "disabled show hide check checks checked no without max min num n nb total count number"
)
"""First words of flags and numbers: `has_password`, `max_tokens`."""
_COUNTING = words(
    "max min num n nb total count prompt completion input output cached remaining used reasoning generated special stop "
    "unk pad bos eos sep cls mask next prev previous lookahead peek page continuation unexpected expected unknown illegal stray "
    "extra"
)
"""Words before `token(s)` that speak of language models, parsers and pagination, not of access."""
_PASS_KINDS = words(
    "first second third last final next single multi two one by boarding ski season forward backward dry all render shader "
    "did low high band guest hall test tests would should can will"
)
"""Words before a final `pass` that make it a run, a filter or a ticket."""
_PASS_STEMS = words(
    "db pg user usr smtp mysql my root admin mail email ftp sftp ssh redis mongo mongodb sql http proxy login web app "
    "rabbitmq amqp postgres ldap new old sudo key account"
)
"""Beginnings that make `...pass` written in one word a password: `DBPASS`; not `bypass`, `compass`."""

_INSIDE = (
    "password", "passwd", "passphrase", "passwort", "apikey", "privatekey", "secretkey", "accesskey", "connectionstring",
    "connstr", "credential", "kennwort", "sessionkey",
)  # fmt: skip
_ENDINGS = ("token", "tokens", "pwd", "authkey", "cookie", "cookies", "jwt", "dsn")
_NOT_FUSED = frozenset(("passwordless", "credentialing", "credentialed", "secretsmanager", "oldpwd"))


def words_of(name: str) -> list[str]:
    """The words of *name* in lower case, without digits: ``userPassword2`` -> ``["user", "password"]``."""
    return [word.lower() for word in _WORDS.findall(name[-MAX_NAME:])]


def secret_word(name: str) -> str | None:
    """The word or pair of words for which the value called *name* is hidden by default, or None."""
    parts = words_of(name)
    for i in range(len(parts)):
        found = _secret_at(parts, i)
        if found is not None and not _only_about_it(found, parts, i):
            return found
    return None


def _secret_at(parts: list[str], i: int) -> str | None:
    """The secret that the word at *i* names, alone or with the word before it."""
    word = parts[i]
    before = parts[i - 1] if i else ""
    is_last = i == len(parts) - 1
    if word in _STRONG:
        return word
    if word in _WEAK:
        return word if is_last or parts[i + 1] in _AUTH_PARTS else None
    if (word in ("key", "keys") and before in _KEYED) or (before, word) in _PAIRS:
        return f"{before}_{word}"
    if word == "pass":
        return word if is_last and before not in _PASS_KINDS else None
    if word == "sk":
        return word if i == 0 and not is_last else None
    return _fused(word)


def _only_about_it(found: str, parts: list[str], i: int) -> bool:
    """True when the name speaks about the secret named by ``parts[i]``, as a flag, number, place or kind."""
    last = parts[-1]
    if i < len(parts) - 1 and found != "access_key":
        if last in _DESCRIBING or (last in _POINTING and found not in _PASSWORD):
            return True
    if i and parts[0] in _ASKING:
        return True
    return found.startswith("token") and any(word in _COUNTING for word in parts[:i])


def _fused(word: str) -> str | None:
    """The secret word inside a *word* that was written without a break: ``dbpassword``, ``accesstoken``, ``pgpass``."""
    if len(word) < 6 or word in _NOT_FUSED:
        return None
    for part in _INSIDE:
        if part in word:
            return part
    if "secret" in word and not word.startswith(("secretar", "secreti", "secrete")):
        return "secret"
    if word.endswith(_ENDINGS):
        counting = word.startswith(("max", "min", "num", "total", "prompt", "completion", "input", "output"))
        return None if counting else next(ending for ending in _ENDINGS if word.endswith(ending))
    if word.endswith("pass") and word[:-4] in _PASS_STEMS:
        return "pass"
    if word.endswith("auth") and word[:-4] in ("basic", "http", "proxy", "digest", "user"):
        return "auth"
    return None


_ID_WORDS = words(
    "id ids uuid uuids guid ulid ksuid sha sha1 commit revision rev digest hash checksum md etag slug cursor path paths file "
    "filename files url urls uri name names version ref fingerprint traceparent module function class dir directory"
)


def is_id(name: str) -> bool:
    """
    True for names of identifiers: ``order_id``, ``requestId``, ``commit``, ``etag``, ``path``.

    What such a name holds is meant to be looked up by people, however random it looks; it is not judged by its looks
    alone. Known formats of keys and tokens are hidden there as well.
    """
    parts = words_of(name)
    return bool(parts) and parts[-1] in _ID_WORDS
