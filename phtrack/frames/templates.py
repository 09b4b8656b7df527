"""
Frames of templates: Jinja2 and Mako compile a template to Python, Django walks a tree; its author wants to see the template.

    globals of a frame, its line -> the template and the line in it, or None for everything that is no template
    locals of a frame of Django's engine -> the same

Jinja2 rewrites the traceback itself when a template is rendered; frames of a macro or module called from Python stay
as compiled, with the map of lines in the module's globals. Mako leaves all frames as compiled, with the map in a
comment at the end of the module's source. Django has no frame for a template, but one for each node on the way: it becomes
the node's own. Only plain data is read; none of the packages is imported.
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

    __slots__ = ("function", "lineno", "name", "path", "text")

    def __init__(
        self, name: str, path: str | None, lineno: int | None, text: str | None = None, function: str | None = None
    ) -> None:
        self.name = name
        """As the loader knows it (`emails/welcome.html`), equal on every machine; `<template>` for one made of a string."""
        self.path = path
        """Its file, or None."""
        self.lineno = lineno
        """1-based line in the template."""
        self.text = text
        """Its source when it is in no file, as far as it is known."""
        self.function = function
        """What stands for the function's name: `{% for %}`, `{{ item.price }}`; None where the code's own name says it."""


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


_DJANGO = "django.template.base"
_DJANGO_FRAMES = frozenset(("render_annotated", "parse", "unclosed_block_tag"))
_NAMED_TAGS = frozenset(("block", "extends", "include"))
MAX_TAG = 80


def is_django_frame(module: str | None, code: CodeType) -> bool:
    """True for the frames of Django's engine that `django_template` can be asked about."""
    return module == _DJANGO and code.co_name in _DJANGO_FRAMES


def django_template(f_locals: Any) -> Template | None:
    """
    Where in which template a frame of Django's engine is: at the node it renders, or at the tag it reads.

    None when that can't be told. Never raises, and runs no code of the application.
    """
    try:
        about = _plain(f_locals["self"])
        token = _plain(f_locals["token"] if "token" in f_locals else about["token"])
        line, contents = token["lineno"], token["contents"]
        if type(line) is not int or type(contents) is not str:
            return None
        function = _tag(contents, token["token_type"])
        origin = _plain(about["origin"])
        path, name = origin.get("name"), origin.get("template_name")
        if type(path) is not str or path.startswith("<"):  # made of a string, which nothing that is left leads to
            return Template("<template>", None, line, None, function)
        known = str.__str__(name) if isinstance(name, str) and name else path.replace("\\", "/").rpartition("/")[2]
        return Template(known, path, line, None, function)
    except Exception:  # shapes of another version: an ordinary frame, then
        return None


def _plain(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = object.__getattribute__(value, "__dict__")
    return found


def _tag(contents: str, kind: Any) -> str:
    """A tag in short, as it is written: two `{% if %}` of one template are told apart by their lines."""
    if getattr(kind, "name", None) == "VAR":
        return f"{{{{ {contents[:MAX_TAG]} }}}}"
    words = contents.split(None, 2)
    return f"{{% {' '.join(words[: 2 if words[0] in _NAMED_TAGS else 1])[:MAX_TAG]} %}}"
