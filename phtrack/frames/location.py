"""
Where a frame's code lives, as the wire wants it: a `filename` that is equal on every machine, and an `abs_path`.

Only names are handled here; the disk is not touched. The rules are the wire contract's (filename, context, `<string>`).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType

    from phtrack.frames.site import Site


def filename_of(site: Site) -> str:
    """
    The path relative to the parent of the top-level package (`shop/views.py`), or the bare name of a top-level module.

    Slashes are forward slashes. A pseudo name such as `<string>` stays as it is; an empty one becomes `<unknown>`.
    """
    if site.template is not None:
        return site.template.name
    path = path_of(site.code)
    if not path:
        return "<unknown>"
    if is_pseudo(path):
        return path
    module = site.module
    if module is not None and "." in module:
        below = _below_package(path, module.partition(".")[0]) or _by_module_name(path, module)
        if below:
            return below
    return _slashed(path).rpartition("/")[2] or path


def abs_path_of(site: Site) -> str | None:
    """The absolute path of the code's file; None for pseudo names, which have none."""
    path = path_at(site)
    if not path or is_pseudo(path):
        return None
    try:
        return os.path.abspath(path)
    except (OSError, ValueError):  # the working directory is gone
        return path


def below(site: Site, roots: Sequence[str]) -> str | None:
    """The path from the nearest of *roots* that the file of *site* is below, with forward slashes; None if there is none."""
    path = abs_path_of(site)
    if path is None:
        return None
    nearest = max((root for root in roots if path.startswith(root.rstrip(os.sep) + os.sep)), key=len, default=None)
    return None if nearest is None else _slashed(path[len(nearest.rstrip(os.sep)) + 1 :])


def path_at(site: Site) -> str:
    """The path of the file that the lines of *site* are in: the template's, where it is one's."""
    template = site.template
    return path_of(site.code) if template is None else template.path or template.name


def path_of(code: CodeType) -> str:
    """`co_filename` as an exact `str`, naming the source where it names a compiled file."""
    path = code.co_filename
    if type(path) is not str:
        path = str.__str__(path)
    return source_path(path)


def source_path(path: str) -> str:
    """The `.py` beside a `.pyc`; any other path as it is."""
    return path[:-1] if path.endswith(".pyc") else path


def is_pseudo(path: str) -> bool:
    """True for names that are no path: `<string>`, `<stdin>`, `<frozen os>`, `<ipython-input-1-…>`, and the empty one."""
    return not path or (path[0] == "<" and path[-1] == ">")


def is_cell(path: str) -> bool:
    """True for the names IPython, Jupyter, the REPL (3.13+) and doctest give to what someone typed in."""
    if is_pseudo(path):
        return path.startswith(("<ipython-input-", "<python-input-", "<doctest "))
    return "ipykernel_" in path and os.path.basename(os.path.dirname(path)).startswith("ipykernel_")


def _below_package(path: str, top: str) -> str | None:
    package = sys.modules.get(top)
    try:
        file = object.__getattribute__(package, "__dict__").get("__file__")
    except Exception:  # anything may stand in sys.modules
        return None
    if type(file) is not str:
        return None
    root = os.path.dirname(os.path.dirname(file))
    prefix = root if root.endswith(os.sep) else root + os.sep
    return _slashed(path[len(prefix) :]) if path.startswith(prefix) else None


def _by_module_name(path: str, module: str) -> str | None:
    """The tail of *path* that spells *module*: namespace packages have no file to measure from."""
    parts = _slashed(path).split("/")
    names = module.split(".")
    stem = parts[-1].rpartition(".")[0]
    tail = [*parts[:-1], stem]
    if stem == "__init__" and names[-1] != "__init__":
        names = [*names, "__init__"]
    if len(tail) >= len(names) and tail[-len(names) :] == names:
        return "/".join(parts[-len(names) :])
    return None


def _slashed(path: str) -> str:
    return path.replace(os.sep, "/") if os.sep != "/" else path
