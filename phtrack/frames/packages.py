"""
Versions of the packages that appear in a stack, without importing or scanning what is not needed.

    Site -> top-level package of a library frame -> its `__version__`, or the name of its dist-info directory

Runs behind the door; each package is looked up once per process.
"""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phtrack.frames.site import Site

_FOLDERS = ("site-packages", "dist-packages")
_MAX_PACKAGES = 20
_versions: dict[tuple[str, str], str | None] = {}
_installed: dict[str, dict[str, str]] = {}


def versions(sites: Iterable[Site]) -> dict[str, str]:
    """Package name -> version, for the third-party packages among *sites*; at most 20."""
    found: dict[str, str] = {}
    for site in sites:
        where = _package_of(site.code.co_filename)
        if where is None or where[1] in found:
            continue
        if where not in _versions:
            if len(_versions) > 1000:
                _versions.clear()
            _versions[where] = _version(*where)
        version = _versions[where]
        if version is not None:
            found[where[1]] = version
            if len(found) >= _MAX_PACKAGES:
                break
    return found


@lru_cache(maxsize=4096)
def _package_of(path: str) -> tuple[str, str] | None:
    """(directory of installed packages, top-level package or module) of a file, or None if it is not in one."""
    parts = path.replace("\\", "/").split("/")
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] in _FOLDERS:
            return "/".join(parts[: index + 1]), parts[index + 1].removesuffix(".py")
    return None


def _version(folder: str, package: str) -> str | None:
    module = sys.modules.get(package)
    # Its own dictionary, not the attribute: a module may compute those.
    version = vars(module).get("__version__") if module is not None else None
    if type(version) is str and 0 < len(version) < 50:
        return version
    return _distributions(folder).get(_normal(package))


def _distributions(folder: str) -> dict[str, str]:
    """Normalised name -> version of what is installed in *folder*, from the names of its metadata directories."""
    if folder not in _installed:
        known: dict[str, str] = {}
        try:
            for entry in os.listdir(folder):
                match = re.match(r"(.+)-([^-]+)\.(?:dist|egg)-info$", entry)
                if match:
                    known[_normal(match[1])] = match[2].removesuffix("-py")
        except OSError:
            pass
        _installed[folder] = known
    return _installed[folder]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()
