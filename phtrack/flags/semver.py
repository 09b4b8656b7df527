"""
Versions in rules: three numbers, compared and ranged. Rules: wire contract, flags.md §8.

    "v1.2.3-beta" -> (1, 2, 3)        operator and filter -> a test of (major, minor, patch)
"""

from __future__ import annotations

import re
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Version = tuple[int, int, int]

_NUMBER = re.compile(r"0|[1-9][0-9]*")
_VERSION = re.compile(
    r"[vV]*(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*)(?:\.[^+-]*)?)?)?(?:[+-].*)?", re.DOTALL
)
_COMPARE = {"semver_eq": eq, "semver_neq": ne, "semver_gt": gt, "semver_gte": ge, "semver_lt": lt, "semver_lte": le}
_MAX_LENGTH = 200

OPERATORS = frozenset({*_COMPARE, "semver_tilde", "semver_caret", "semver_wildcard"})


def parse(words: str) -> Version | None:
    """
    The numbers of a version, or None. Pre-release and build are cut off, missing parts are 0, further ones ignored.

    A part with a leading zero, without digits or with anything else in it makes the whole no version.
    """
    found = _VERSION.fullmatch(words.strip())
    if found is None or len(words) > _MAX_LENGTH:
        return None
    major, minor, patch = found.groups()
    return int(major), int(minor or 0), int(patch or 0)


def _core(words: str) -> str:
    words = words.strip().lstrip("vV")
    return re.split(r"[-+]", words, maxsplit=1)[0]


def _numbers(parts: list[str]) -> list[int] | None:
    numbers = []
    for part in parts[:3]:
        if len(part) > _MAX_LENGTH or not _NUMBER.fullmatch(part):
            return None
        numbers.append(int(part))
    return numbers


def matcher(operator: str, words: str) -> Callable[[Version], bool] | None:
    """The test that *operator* makes with the version or range *words*, or None if it names none."""
    if operator == "semver_wildcard":
        return _wildcard(words)
    version = parse(words)
    if version is None:
        return None
    compare = _COMPARE.get(operator)
    if compare is not None:
        return lambda found: compare(found, version)
    top = _caret(version) if operator == "semver_caret" else (version[0], version[1] + 1, 0)
    return lambda found: version <= found < top


def _caret(version: Version) -> Version:
    """The first version that breaks compatibility: the leftmost number that is not 0 goes up."""
    major, minor, patch = version
    if major:
        return major + 1, 0, 0
    if minor:
        return 0, minor + 1, 0
    return 0, 0, patch + 1


def _wildcard(words: str) -> Callable[[Version], bool] | None:
    """``1.*`` and ``1.2.*``: as many numbers as are given must be equal. A bare ``*`` is no range."""
    parts = _core(words).split(".")
    while parts and parts[-1] == "*":
        parts.pop()
    numbers = _numbers(parts)
    if not numbers:
        return None
    wanted = tuple(numbers)
    return lambda found: found[: len(wanted)] == wanted
