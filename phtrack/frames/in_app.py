"""
Which frames are the application's own, and which are library code.

    Site -> module name and path -> True or False, never "unknown" (the server takes an absent answer for True)

The rules and their order are the wire contract's, with what it leaves open: where the project starts when nobody says
so, editable installs, cells of a notebook, scripts of the environment. Decisions are cached per (file, module).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from phtrack.frames import location

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from phtrack.frames.site import Site

PROJECT_MARKS = ("pyproject.toml", ".git", "setup.py", "setup.cfg", "manage.py")
"""A directory that holds one of these is where a project starts."""
MAX_DECISIONS = 4096
MAX_LEVELS = 40
"""Directories to look upwards through for a project mark."""

_INSTALLED = frozenset(("site-packages", "dist-packages"))


class InApp:
    """
    Decides for one client; call it with a `Site`.

    Args:
        project_root: Directory of the application. By default found upwards from the working directory and from the
            main script, by `PROJECT_MARKS`; the working directory itself when there is no mark.
        in_app_modules: Module names; each covers itself and everything below it (`shop` covers `shop.cart`, not
            `shopping`).

    Never raises when called. May look at the disk the first time it meets a file.
    """

    def __init__(
        self,
        project_root: str | os.PathLike[str] | None = None,
        in_app_modules: Sequence[str] | None = None,
    ) -> None:
        self._modules = tuple(module.strip().rstrip(".") for module in in_app_modules or () if module.strip())
        self._configured = project_root is not None or bool(self._modules)
        given = [os.path.abspath(os.fspath(project_root))] if project_root is not None else project_roots()
        self.roots: tuple[str, ...] = _with_real_paths(given)
        """Directories taken for the project's own, as given and with links resolved."""
        self._library = _with_real_paths(_library_folders())
        self._scripts = _with_real_paths(_script_folders())
        self._editable: tuple[str, ...] | None = None
        self._decisions: dict[tuple[str, str | None], bool] = {}

    def __call__(self, site: Site) -> bool:
        """True when *site* is in code of the application."""
        asked = site.in_app
        if asked is not None and asked[0] is self:
            return asked[1]  # type: ignore[no-any-return]
        path = location.path_at(site)
        known = self._decisions.get((path, site.module))
        if known is None:
            if len(self._decisions) >= MAX_DECISIONS:
                self._decisions.clear()
            known = self._decisions[path, site.module] = self._decide(site, path)
        site.in_app = (self, known)
        return known

    def _decide(self, site: Site, path: str) -> bool:
        module = site.module
        if module is not None and any(module == own or module.startswith(own + ".") for own in self._modules):
            return True
        if module is not None and (module == "phtrack" or module.startswith("phtrack.")):
            return False
        if location.is_cell(path):
            return True
        if location.is_pseudo(path):
            return False
        try:
            return self._decide_by_path(path, site.file)
        except (OSError, ValueError):
            return False

    def _decide_by_path(self, path: str, file: str | None) -> bool:
        path = _normal(path)
        if not _INSTALLED.isdisjoint(path.replace("\\", "/").split("/")):
            return False
        if _is_below(path, self._library) or os.path.dirname(path) in self._scripts:
            return False
        if _is_below(path, self.roots):
            return True
        if not self._configured:
            return _exists(path) or (file is not None and _exists(file))
        real = _normal(os.path.realpath(path))
        if _is_below(real, self._library) or not _INSTALLED.isdisjoint(real.replace("\\", "/").split("/")):
            return False
        if self._editable is None:
            self._editable = _with_real_paths(editable_folders())
        return _is_below(real, self.roots) or _is_below(real, self._editable)


def project_roots() -> list[str]:
    """Where the running program's project starts: upwards from the working directory and from the main script."""
    roots = []
    try:
        here = os.getcwd()
    except OSError:  # the working directory was removed
        here = None
    if here is not None:
        roots.append(_marked_above(here) or here)
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    if type(main) is str:
        script = os.path.abspath(main) if here is not None or os.path.isabs(main) else None
        if script and _INSTALLED.isdisjoint(script.replace("\\", "/").split("/")):
            root = _marked_above(os.path.dirname(script))
            if root is not None and root not in roots:
                roots.append(root)
    return roots


def editable_folders(search: Iterable[str] | None = None) -> list[str]:
    """
    Directories of projects installed in editable mode: from `direct_url.json` (PEP 610) and the older `.egg-link`.

    Args:
        search: Directories that hold installed distributions; by default those on `sys.path`.
    """
    found = []
    for folder in sys.path if search is None else search:
        if type(folder) is not str or os.path.basename(folder.rstrip("/\\")) not in _INSTALLED:
            continue
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            if name.endswith(".dist-info"):
                target = _editable_by_url(os.path.join(folder, name, "direct_url.json"))
            elif name.endswith(".egg-link"):
                target = _first_line(os.path.join(folder, name))
            else:
                continue
            if target and os.path.isabs(target):
                found.append(target)
    return found


def _editable_by_url(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            text = file.read(100_000)
    except OSError:
        return None
    import json

    try:
        about = json.loads(text)
        if about["dir_info"]["editable"] is not True:
            return None
        parts = urlsplit(about["url"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if parts.scheme != "file":
        return None
    folder = unquote(parts.path)
    if os.name == "nt":
        folder = folder.lstrip("/").replace("/", "\\")
    return folder


def _first_line(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.readline(4096).strip()
    except OSError:
        return None


def _marked_above(folder: str) -> str | None:
    """The nearest directory from *folder* upwards with a project mark; never the file system's root or the home."""
    home = os.path.expanduser("~")
    for _ in range(MAX_LEVELS):
        parent = os.path.dirname(folder)
        if parent == folder or folder == home:
            return None
        if any(os.path.exists(os.path.join(folder, mark)) for mark in PROJECT_MARKS):
            return folder
        folder = parent
    return None


def _library_folders() -> list[str]:
    """Directories of the standard library; asked of `os` and `sys`, because importing `sysconfig` costs milliseconds."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    prefixes = {sys.base_prefix, sys.base_exec_prefix}
    folders = [os.path.join(p, lib, version) for p in prefixes for lib in {"lib", getattr(sys, "platlibdir", "lib")}]
    if os.name == "nt":
        folders += [os.path.join(p, "Lib") for p in prefixes]
    if type(file := getattr(os, "__file__", None)) is str:
        folders.append(os.path.dirname(file))
    return folders


def _script_folders() -> list[str]:
    """Where the environment keeps its commands (`gunicorn`, `celery`): their few lines are nobody's application."""
    if sys.prefix == sys.base_prefix:
        return []
    return [os.path.join(sys.prefix, "Scripts" if os.name == "nt" else "bin")]


def _with_real_paths(folders: Iterable[str]) -> tuple[str, ...]:
    unique = dict.fromkeys(_normal(form) for folder in folders if folder for form in (folder, os.path.realpath(folder)))
    return tuple(unique)


def _normal(path: str) -> str:
    return os.path.normcase(os.path.abspath(path))


def _is_below(path: str, folders: tuple[str, ...]) -> bool:
    """By whole components: `/app2/x.py` is not below `/app`."""
    for folder in folders:
        prefix = folder if folder.endswith(os.sep) else folder + os.sep
        if path.startswith(prefix) or path == folder:
            return True
    return False


def _exists(path: str) -> bool:
    """True when *path* or an archive it leads into is on disk."""
    for _ in range(MAX_LEVELS):
        try:
            if os.path.exists(path):
                return True
        except ValueError:
            return False
        parent = os.path.dirname(path)
        if parent == path or os.path.isdir(parent):
            return False
        path = parent
    return False
