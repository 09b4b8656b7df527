"""
The source lines a site stands in.

    Site -> lines of its file, cell or archive member -> a window around its line

A file on disk is read as it is now; everything else (zip archives, notebook and REPL cells, doctests, `exec` code
whose author registered it) comes from the module's loader or from `linecache`. A loader is asked only when it is the
loader of *this* code's file, since code made by `exec` shares a module's globals but not its lines. Where the lines
can't be known there are none: an absent line is honest, a wrong one costs the reader an hour.

Statements and expressions are found in `statement`; templates are told apart in `templates`.
"""

from __future__ import annotations

import os
import stat
import sys
from struct import unpack
from time import time
from typing import TYPE_CHECKING, Any

from phtrack.frames import location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phtrack.frames.site import Site

MAX_FILE = 2 * 1024 * 1024
"""Bytes of a source file (characters of a loader's answer) that are still read."""
MAX_LINE = 300
"""Characters of a line that travel; the server cuts there as well."""
MAX_ENTRIES = 256
"""Files kept in memory."""
MAX_KEPT = 16 * 1024 * 1024
"""Characters of all kept files together."""


class _Absent:
    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Any = _Absent()
"""In a cache slot of a site: looked for, and not there. False, so that `site.statement or None` reads well."""

_LOADED_AT = time()


class _Kept:
    """Lines of one file and the state of the file they were read in."""

    __slots__ = ("lines", "size", "stamp")

    def __init__(self, stamp: object, lines: tuple[str, ...] | None) -> None:
        self.stamp = stamp
        self.lines = lines
        self.size = 200 + sum(map(len, lines)) + 60 * len(lines) if lines is not None else 200


_kept: dict[str, _Kept] = {}


def lines_of(site: Site) -> Sequence[str] | None:
    """
    All lines of the file or cell *site* stands in, without their line ends.

    None when there is no source that is certain to be the code's own, when it is larger than `MAX_FILE`, can't be
    decoded, or is shorter than the site's line (then it was changed). Never raises, except `KeyboardInterrupt`.
    """
    if site.lineno is None:
        return None
    lines = _lines(site, location.path_at(site))
    if lines is None or not 0 < site.lineno <= len(lines):
        return None
    return lines


def window(site: Site, around: int = 5) -> tuple[list[str], str, list[str]] | None:
    """
    The line of *site* with *around* lines before and after it, in file order, each cut to `MAX_LINE` characters.

    Indentation stays. None as for `lines_of`.
    """
    lines = lines_of(site)
    if lines is None or site.lineno is None:
        return None
    at = site.lineno - 1
    before = [line[:MAX_LINE] for line in lines[max(0, at - around) : at]]
    after = [line[:MAX_LINE] for line in lines[at + 1 : at + 1 + around]]
    return before, lines[at][:MAX_LINE], after


def changed_since_import(site: Site) -> bool:
    """
    True when the file is certainly not the text that runs: it was written after this process had loaded phtrack, and the
    compiled file beside it was made from another version. The window is then still shown; say so next to it.

    Where no compiled files are written (`PYTHONDONTWRITEBYTECODE`, read-only folders) that can't be told.
    """
    path = location.path_at(site)
    if location.is_pseudo(path) or not sys.implementation.cache_tag:
        return False
    try:
        found = os.stat(path)
        if found.st_mtime <= _LOADED_AT:
            return False
        with open(_compiled_path(path), "rb") as file:
            header = file.read(16)
        flags, mtime, size = unpack("<III", header[4:])
    except Exception:  # no such file, or one cut short: they prove nothing
        return False
    return not flags and (mtime != int(found.st_mtime) & 0xFFFFFFFF or size != found.st_size & 0xFFFFFFFF)


def forget_all() -> None:
    """Empty the cache (tests)."""
    _kept.clear()


def _compiled_path(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, "__pycache__", f"{name.rpartition('.')[0]}.{sys.implementation.cache_tag}.pyc")


def _lines(site: Site, path: str) -> tuple[str, ...] | None:
    if site.template is not None and site.template.text is not None:
        return _split(site.template.text) if len(site.template.text) <= MAX_FILE else None
    if location.is_pseudo(path):
        return None if path.startswith("<frozen ") else _registered(path)
    loader = site.loader
    if loader is not None and _has_own_text(loader) and (lines := _from_loader(site, path)) is not None:
        return lines
    lines = _from_disk(path)
    if lines is None and path not in _kept:
        lines = _registered(path)
    return lines


def _from_disk(path: str) -> tuple[str, ...] | None:
    """Lines of a regular file; None (and no entry kept) when there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        # Vanished: what was read while it was there is still the best text there is.
        entry = _kept.get(path)
        return entry.lines if entry is not None else None
    stamp = (found.st_mtime_ns, found.st_size)
    entry = _kept.get(path)
    if entry is not None and entry.stamp == stamp:
        return entry.lines
    lines = None
    if stat.S_ISREG(found.st_mode) and found.st_size <= MAX_FILE:
        try:
            with open(path, "rb", 0) as file:
                data = file.read(MAX_FILE + 1)
            lines = _split(_decode(data)) if len(data) <= MAX_FILE else None
        except (OSError, ValueError, LookupError, SyntaxError, MemoryError):
            lines = None
    _keep(path, _Kept(stamp, lines))
    return lines


def _decode(data: bytes) -> str:
    """Python source as text. Raises `SyntaxError`, `LookupError` or `ValueError` when it can't be decoded."""
    start = data[:400].split(b"\n", 2)[:2]
    if not any(b"coding" in line for line in start):
        return data.decode("utf-8-sig")
    from io import BytesIO
    from tokenize import detect_encoding

    return data.decode(detect_encoding(BytesIO(data).readline)[0])


def _split(text: str) -> tuple[str, ...]:
    """Lines as the compiler counts them: form feeds and Unicode separators end none, unlike `str.splitlines`."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if not lines[-1]:
        del lines[-1]
    return tuple(lines)


def _registered(path: str) -> tuple[str, ...] | None:
    """
    Lines that someone registered with `linecache` under *path*: IPython and the REPL for a cell, doctest for an
    example, a code generator (attrs, for one) for what it made.
    """
    linecache = sys.modules.get("linecache")
    if linecache is None:
        return None
    try:
        entry = linecache.cache.get(path)
        if type(entry) is tuple and len(entry) == 4:
            if entry[1] is not None:
                return None  # a copy of a file: a lookup along sys.path that we don't vouch for
            lines = entry[2]
        elif location.is_pseudo(path):
            lines = linecache.getlines(path)  # doctest answers here while it runs
        else:
            return None
        if type(lines) not in (list, tuple) or not lines or len(lines) > MAX_FILE:
            return None
        if not all(type(line) is str for line in lines) or sum(map(len, lines)) > MAX_FILE:
            return None
        return _split("".join(lines))
    except KeyboardInterrupt:
        raise
    except BaseException:  # a patched linecache is somebody's code, SystemExit included
        return None


def _has_own_text(loader: Any) -> bool:
    """
    False for the loaders whose text is simply the file on disk, which are nearly all: asking them reads it each time.
    """
    kind = type(loader)
    return not (kind.__module__ == "_frozen_importlib_external" and kind.__name__.startswith("Source"))


def _from_loader(site: Site, path: str) -> tuple[str, ...] | None:
    """Ask the module's loader, if *path* is the file it loaded the module from."""
    loader = site.loader
    stamp = (id(type(loader)), site.module)
    entry = _kept.get(path)
    if entry is not None and entry.stamp == stamp:
        return entry.lines
    lines = None
    try:
        get_source = getattr(loader, "get_source", None)
        if get_source is None:
            return None
        for name in _names(site):
            if not _is_file_of(loader, name, site, path):
                continue
            text = get_source(name)
            if type(text) is str and len(text) <= MAX_FILE:
                lines = _split(text)
                break
    except KeyboardInterrupt:
        raise
    except BaseException:  # a loader is somebody's code, and SystemExit no answer
        lines = None
    if lines is not None:
        _keep(path, _Kept(stamp, lines))
    return lines


def _names(site: Site) -> list[str]:
    """Names a loader may know the module by: a module run as `__main__` has its real one in its spec."""
    names = [site.module] if site.module else []
    if site.module == "__main__":
        spec = getattr(sys.modules.get("__main__"), "__spec__", None)
        name = getattr(spec, "name", None)
        if type(name) is str:
            names.insert(0, name)
    return names


def _is_file_of(loader: Any, name: str, site: Site, path: str) -> bool:
    if site.file is not None and location.source_path(site.file) == path and name == site.module != "__main__":
        return True
    get_filename = getattr(loader, "get_filename", None)
    if get_filename is None:
        return False
    file = get_filename(name)
    return type(file) is str and location.source_path(file) == path


def _keep(path: str, entry: _Kept) -> None:
    """
    Put *entry* into the cache and forget the oldest ones beyond its bounds.

    Without a lock on purpose: a fork in the middle of it, or two threads at once, cost an entry at most.
    """
    _kept.pop(path, None)
    _kept[path] = entry
    try:
        total = sum(kept.size for kept in list(_kept.values()))
        while _kept and (total > MAX_KEPT or len(_kept) > MAX_ENTRIES):
            total -= _kept.pop(next(iter(_kept))).size
    except (RuntimeError, KeyError, StopIteration):
        _kept.clear()
