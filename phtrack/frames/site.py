"""
A site: one instruction of one code object, where an exception passed. All that never changes about a frame hangs on it.

    frame -> Site (here, cached) -> source, statement, in_app, rendered bytes (made behind the door, kept on the site)

A site holds the code object and the module's loader, never a frame, a traceback, globals or a user's value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phtrack.frames.templates import Template, template_of

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
        """The Jinja2 or Mako template this code was compiled from."""
        self.lineno = lineno if self.template is None else self.template.lineno
        """1-based line where the exception passed (`tb_lineno`; in a template, its own line), or None."""
        self.module: str | None = _text(f_globals, "__name__") if self.template is None else None
        """`__name__` of the frame's globals, or None; a template's is made up by its engine."""
        self.file: str | None = _text(f_globals, "__file__")
        """`__file__` of the frame's globals, or None. Not always the code's file: see `code.co_filename`."""
        self.loader: Any = dict.get(f_globals, "__loader__")
        """`__loader__` of the frame's globals, for source that is not in a file (zip, notebooks). Code we don't trust."""
        self.hideable = bool(_HIDERS.intersection(code.co_varnames) or _HIDERS.intersection(code.co_names))
        """True if the code has a local named like a traceback-hiding mark, so that its frames must be asked."""
        self.statement: Any = None
        """Cache of `source`: the statement at this site (its own type), or `source.ABSENT`."""
        self.expressions: Any = None
        """Cache of `values`: the expressions of the statement worth showing."""
        self.code_lines: Any = None
        """Free for `source`."""
        self.grouping: Any = None
        """Cache of the fingerprint's part of this frame."""
        self.rendering: Any = None
        """Cache of the rendering: the frame's encoded JSON without values."""

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


def forget_all() -> None:
    """Empty the cache (tests, and source that was changed)."""
    _sites.clear()
