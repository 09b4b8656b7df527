"""
User names and passwords in addresses, with a scheme (``postgres://user:password@host``) and without (``user:password@host``).

    text -> the same text with each user-info that holds a password replaced by the marker
"""

from __future__ import annotations

import re

from phtrack.scrub.marks import MARKER, MAY_BE_CUT, words

_PIECE_END = re.compile(r"[\s\"'<>`]|$")
_AUTHORITY_END = re.compile(r"[/?#]")
NO_SCHEME = re.compile(r"(?<![\w.%+/@:=-])([\w.%+-]{1,64}):([^\s@/:\"'<>]{1,128})@(?=[A-Za-z0-9\[])")
_LABELS = words(
    "mailto email mail from to cc bcc user username contact sip sips xmpp acct account author reply sender recipient owner "
    "login customer name by address reply-to e-mail"
)
"""What stands before the colon of ``email:bob@example.com``, which is no user."""


def url_credentials(text: str, found: list[str]) -> str:
    """*text* with the user-info of addresses replaced, also where a length limit has cut the address off before its ``@``."""
    if "://" in text and ("@" in text or len(text) >= MAY_BE_CUT or text.endswith(("...", "…"))):
        text = _with_scheme(text, found)
    if "@" in text and ":" in text:

        def hide(match: re.Match[str]) -> str:
            user, password = match.groups()
            if (
                user.lower() in _LABELS
                or user.isdigit()
                or text.startswith("sha256:", match.end())
                or password == MARKER
            ):
                return match[0]
            found.append("url_credentials")
            return MARKER + "@"

        text = NO_SCHEME.sub(hide, text)
    return text


def _with_scheme(text: str, found: list[str]) -> str:
    pieces: list[str] = []
    position = 0
    next_scheme = text.find("://")
    while next_scheme >= 0:
        start = next_scheme + 3
        next_scheme = text.find("://", start)
        # No further than to the next address, so that every character is looked at once.
        stop = len(text) if next_scheme < 0 else next_scheme
        run_end = _PIECE_END.search(text, start, stop).start()  # type: ignore[union-attr]
        end = _user_info_end(text[start:run_end], is_cut=run_end == len(text) >= MAY_BE_CUT)
        if end is None or text.startswith(MARKER, start):
            continue
        found.append("url_credentials")
        pieces += (text[position:start], MARKER)
        position = start + end
    pieces.append(text[position:])
    return "".join(pieces)


def _user_info_end(run: str, *, is_cut: bool) -> int | None:
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
    if is_cut or run.endswith(("...", "…")):  # cut off inside the password
        return len(run.rstrip(".…"))
    return None
