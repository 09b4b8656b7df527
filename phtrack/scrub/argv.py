"""
Secrets on a command line: ``--password hunter2``, ``--token=...``, ``-p hunter2``, ``-u user:password``, ``DB_PASSWORD=...``.

    list of arguments -> list of the same length, values of secret-looking options replaced
    running text      -> the same for a command line that is quoted in a message, as `subprocess` does
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from phtrack.scrub.marks import MARKER, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack.scrub.marks import NameRule

_OPTION = re.compile(r"(--?|/)([A-Za-z][\w.-]*)(?:([=:])(.*))?", re.DOTALL)
_ATTACHED_PASSWORD = words("mysql mysqldump mysqladmin mysqlimport mysqlshow mariadb mariadb-dump sshpass")
"""Programs where ``-psecret`` is the password."""
_OTHER_P = words(
    "pytest py.test docker podman ssh scp mkdir cp unzip tar nc netcat nmap redis-cli psql pg_dump kill ps"
)
"""Programs where ``-p`` is something else: a port, a plugin, a mode."""
_NO_PASSWORD = re.compile(r"[\d:.,-]*|.*[/\\].*|no:\w+")


def argv(arguments: list[str], masks: NameRule, text_rule: Callable[[str], str], found: list[str]) -> list[str]:
    """
    *arguments* without secrets.

    Args:
        text_rule: Applied to every argument that no option hides.
    """
    program = _program(arguments)
    new: list[str] = []
    pending: str | None = None
    for argument in arguments:
        option = _OPTION.fullmatch(argument)
        if pending is not None and (option is None or not argument.startswith("--")):
            hidden = _hidden(argument, pending)
            pending = None
            if hidden is not None:
                if hidden != argument:
                    found.append("argv")
                new.append(hidden)
                continue
        pending = None
        if option is None:
            new.append(text_rule(argument))
            continue
        dashes, name, sign, value = option.groups()
        if sign is not None and value and masks(name) is not None and value != MARKER:
            found.append(f"argv:{name}")
            new.append(f"{dashes}{name}{sign}{MARKER}")
        elif (
            dashes == "-"
            and program in _ATTACHED_PASSWORD
            and name.startswith("p")
            and len(name) > 1
            and name != "port"
        ):
            found.append("argv:p")
            new.append(f"-p{MARKER}")
        else:
            new.append(text_rule(argument))
            if sign is None:
                pending = _expects(dashes, name, program, masks)
    return new


def _program(arguments: list[str]) -> str:
    for argument in arguments[:4]:
        name = re.split(r"[/\\]", argument)[-1].lower().removesuffix(".exe").removesuffix(".py")
        if name in _ATTACHED_PASSWORD or name in _OTHER_P:
            return name
    return ""


def _expects(dashes: str, name: str, program: str, masks: NameRule) -> str | None:
    """What the argument after this option is: ``secret``, ``maybe``, ``user`` (with a password), or None."""
    if name in ("u", "user", "proxy-user", "U"):
        return "user"
    if dashes == "-" and len(name) == 1:
        if name == "p" and program not in _OTHER_P:
            return "maybe"
        return "secret" if name == "a" and program == "redis-cli" else None
    return "secret" if masks(name) is not None else None


def _hidden(argument: str, expected: str) -> str | None:
    """*argument* with its secret replaced; None if it holds none."""
    if expected == "user":
        user, colon, password = argument.partition(":")
        return f"{user}:{MARKER}" if colon and password and not password.isdigit() else None
    if expected == "maybe" and (_NO_PASSWORD.fullmatch(argument) or argument.startswith("-")):
        return None
    if (
        argument.startswith("-")
        and expected == "secret"
        and len(argument) > 1
        and argument[1:2].isalpha()
        and len(argument) == 2
    ):
        return None
    return MARKER


_QUOTED_PASSWORD = re.compile(
    r"\b(?:mysql\w{0,12}|mariadb[\w-]{0,12}|sshpass)\b[^\n]{0,200}?[\s'\"]-p(?:['\"],[ ]?['\"])?([^\s'\",\]]{1,200})",
    re.IGNORECASE,
)
_QUOTED_USER = re.compile(
    r"(?:^|[\s'\"])(?:-u|--user|--proxy-user|-U)(?:[ =]|['\"],[ ]?['\"])[\w.@+-]{1,64}:"
    r"(?![0-9]{1,6}(?:[\s'\"]|$))([^\s'\",\]]{1,200})"
)


def in_text(text: str, found: list[str]) -> str:
    """*text* without the passwords of a quoted command line: ``mysql -u root -phunter2``, ``curl -u bob:hunter2``."""

    def hide(match: re.Match[str]) -> str:
        if match[1] == MARKER:
            return match[0]
        found.append("argv")
        return match[0][: match.start(1) - match.start()] + MARKER

    if "-p" in text:
        text = _QUOTED_PASSWORD.sub(hide, text)
    return _QUOTED_USER.sub(hide, text)
