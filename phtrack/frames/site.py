"""
A site: one instruction of one code object, where an exception passed. All that never changes about a frame hangs on it.

    frame -> Site (here, cached) -> source, statement, in_app, rendered bytes (made behind the door, kept on the site)

A site holds the code object and the module's loader, never a frame, a traceback, globals or a user's value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phtrack.frames.templates import Template, django_template, is_django_frame, template_of

if TYPE_CHECKING:
    from types import CodeType, FrameType

MAX_SITES = 4096
"""Sites kept; when there are more, the older half is forgotten (they are made again when needed)."""


class Site:
    """One `(code, instruction)` position. `sites.get` makes them; equal positions give the same object while cached."""

    __slots__ = (
        "code",
        "code_lines",
        "expressions",
        "file",
        "grouping",
        "hideable",
        "in_app",
        "is_node",
        "lasti",
        "lineno",
        "loader",
        "module",
        "rendering",
        "statement",
        "template",
    )

    def __init__(self, code: CodeType, lasti: int, lineno: int | None, f_globals: dict[str, Any]) -> None:
        self.code = code
        self.lasti = lasti
        """Offset of the instruction in bytes, as `tb_lasti`; -1 when unknown."""
        self.template: Template | None = template_of(f_globals, code, lineno)
        """The template this code was compiled from, or stands for."""
        self.lineno = lineno if self.template is None else self.template.lineno
        """1-based line where the exception passed (`tb_lineno`; in a template, its own line), or None."""
        self.module: str | None = _text(f_globals, "__name__") if self.template is None else None
        """`__name__` of the frame's globals, or None; a template's is made up by its engine."""
        self.file: str | None = _text(f_globals, "__file__")
        """`__file__` of the frame's globals, or None. Not always the code's file: see `code.co_filename`."""
        self.loader: Any = dict.get(f_globals, "__loader__")
        """`__loader__` of the frame's globals, for source that is not in a file (zip, notebooks). Code we don't trust."""
        self.is_node = is_django_frame(self.module, code)
        """True for Django's template engine, whose frames stand for a place in a template: see `node_site`."""
        self.hideable = self.is_node or bool(
            _HIDERS.intersection(code.co_varnames) or _HIDERS.intersection(code.co_names)
        )
        """True if the code has a local named like a traceback-hiding mark, or `is_node`, so that its frames must be asked."""
        self.statement: Any = None
        """Cache of `source`: the statement at this site (its own type), or `source.ABSENT`."""
        self.expressions: Any = None
        """Cache of `values`: the expressions of the statement worth showing."""
        self.code_lines: Any = None
        """Free for `source`."""
        self.in_app: Any = None
        """Cache of `in_app`: who was asked last, and the answer."""
        self.grouping: Any = None
        """Cache of the fingerprint's part of this frame."""
        self.rendering: Any = None
        """Cache of the rendering: the frame's encoded JSON without values."""

    @property
    def function(self) -> str:
        """The name of the code, or of the template's tag."""
        template = self.template
        return template.function if template is not None and template.function is not None else self.code.co_name

    @property
    def stands_in(self) -> bool:
        """True for a place in a template that the frame itself only stands for."""
        return self.template is not None and self.template.function is not None

    @property
    def key(self) -> tuple[int, int]:
        """Identity of the position; valid while the site is alive, since it holds the code object."""
        return (id(self.code), self.lasti)


_HIDERS = frozenset(("__tracebackhide__", "__traceback_hide__"))


def _text(f_globals: dict[str, Any], name: str) -> str | None:
    value = dict.get(f_globals, name)
    return value if type(value) is str else None


_sites: dict[tuple[int, int], Site] = {}


def site_of(frame: FrameType, lasti: int, lineno: int | None = None) -> Site:
    """
    The site of *frame* at instruction *lasti*.

    The hot path of a capture inlines the cache lookup: see `snapshot`.

    Args:
        lasti: As `tb_lasti` (where the exception passed), not `f_lasti` (where the frame is now).
        lineno: As `tb_lineno`; asked of the frame when missing.
    """
    code = frame.f_code
    site = _sites.get((id(code), lasti))
    if site is None:
        site = Site(code, lasti, frame.f_lineno if lineno is None else lineno, frame.f_globals)
        remember(site)
    return site


def remember(site: Site) -> None:
    """Put *site* into the cache, forgetting the older half when it is full."""
    if len(_sites) >= MAX_SITES:
        for key in list(_sites)[: MAX_SITES // 2]:
            _sites.pop(key, None)
    _sites[site.key] = site


_nodes: dict[tuple[Any, ...], Site] = {}
MAX_NODES = 512


def node_site(site: Site, f_locals: Any) -> Site:
    """The site in the template that a frame of Django's engine at *site* stands for; *site* itself if that can't be told."""
    template = django_template(f_locals)
    if template is None:
        return site
    key = (site.key, template.path, template.text, template.name, template.lineno, template.function)
    found = _nodes.get(key)
    if found is None:
        found = Site(site.code, site.lasti, site.lineno, {})
        found.template = template
        found.lineno = template.lineno
        if len(_nodes) >= MAX_NODES:
            _nodes.clear()
        _nodes[key] = found
    return found


def forget_all() -> None:
    """Empty the cache (tests, and source that was changed)."""
    _sites.clear()
    _nodes.clear()
