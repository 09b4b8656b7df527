"""
Frames of templates: Jinja2 and Mako compile a template to Python, but its author wants to see the template.

    globals of a frame, its line -> the template and the line in it, or None for everything that is no template

Jinja2 rewrites the traceback itself when a template is rendered; frames of a macro or module called from Python stay
as compiled, with the map of lines in the module's globals. Mako leaves all frames as compiled, with the map in a
comment at the end of the module's source. Only plain data of these globals is read; neither package is imported.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType

MAX_MAPS = 64
"""Line maps of Mako modules kept."""

_metadata = re.compile(r"__M_BEGIN_METADATA(.+?)__M_END_METADATA", re.DOTALL).search
_maps: dict[str, tuple[object, list[tuple[int, int]]]] = {}


class Template:
    """Where in which template a frame is. Plain data."""

    __slots__ = ("lineno", "name", "path", "text")

    def __init__(self, name: str, path: str | None, lineno: int | None, text: str | None = None) -> None:
        self.name = name
        """As the loader knows it (`emails/welcome.html`), equal on every machine; `<template>` for one made of a string."""
        self.path = path
        """Its file, or None."""
        self.lineno = lineno
        """1-based line in the template."""
        self.text = text
        """Its source when it is in no file, as far as it is known."""


def template_of(f_globals: dict[str, Any], code: CodeType, lineno: int | None) -> Template | None:
    """
    The template that a frame with these globals belongs to; None for ordinary Python, at the price of three look-ups.

    Never raises.
    """
    try:
        has = f_globals.keys().__contains__ if type(f_globals) is dict else (lambda _: False)
        if has("__jinja_exception__"):
            return _jinja(code, lineno)
        if has("__jinja_template__"):
            return _jinja(code, _by_map(_jinja_map(f_globals.get("debug_info")), lineno))
        if has("_template_uri") and has("_magic_number"):
            return _mako(f_globals, lineno)
    except Exception:  # shapes of another version: an ordinary frame, then
        return None
    return None


def _jinja(code: CodeType, lineno: int | None) -> Template:
    path = code.co_filename
    if path.startswith("<"):
        return Template("<template>", None, lineno)
    parts = path.replace("\\", "/").split("/")
    # The compiled code knows the file but not the loader's root, which is nearly always called so.
    below = parts[len(parts) - parts[::-1].index("templates") :] if "templates" in parts[:-1] else parts[-1:]
    return Template("/".join(below), path, lineno)


def _jinja_map(debug_info: Any) -> list[tuple[int, int]]:
    """`3=13&6=21` (template line = line of the module) as pairs (line of the module, template line)."""
    if type(debug_info) is not str:
        return []
    pairs = (pair.partition("=") for pair in debug_info.split("&"))
    return sorted((int(compiled), int(line)) for line, _, compiled in pairs if line and compiled)


def _mako(f_globals: dict[str, Any], lineno: int | None) -> Template | None:
    module = f_globals.get("__name__")
    info = getattr(getattr(sys.modules.get("mako.template"), "ModuleInfo", None), "_modules", {}).get(module)
    if type(module) is not str or type(info).__module__ != "mako.template":
        return None
    about = info.__dict__
    line = _by_map(_mako_map(module, about), lineno)
    path, text = about.get("template_filename"), about.get("template_source")
    uri = f_globals.get("_template_uri")
    if type(path) is not str:
        return Template("<template>", None, line, text if type(text) is str else None)
    name = uri.lstrip("/") if type(uri) is str and uri.strip("/") else path.rpartition("/")[2]
    return Template(name, path, line)


def _mako_map(module: str, about: dict[str, Any]) -> list[tuple[int, int]]:
    known = _maps.get(module)
    source, file = about.get("module_source"), about.get("module_filename")
    mark = source if type(source) is str else file
    if known is not None and known[0] is mark:
        return known[1]
    if type(source) is not str and type(file) is str:
        with open(file, encoding="utf-8", errors="replace") as opened:
            source = opened.read()
    found = _metadata(source) if type(source) is str else None
    if found is None:
        return []
    import json

    lines = json.loads(found[1])["line_map"]
    pairs = sorted((int(compiled), int(line)) for compiled, line in lines.items())
    if len(_maps) >= MAX_MAPS:
        _maps.clear()
    _maps[module] = (mark, pairs)
    return pairs


def _by_map(pairs: list[tuple[int, int]], lineno: int | None) -> int | None:
    """The template line of the last entry at or before *lineno*."""
    if lineno is None or not pairs:
        return None
    line = 1
    for compiled, line_there in pairs:
        if compiled > lineno:
            break
        line = line_there
    return line
