"""
From a `Picture` to the JSON of an exception's stack; runs behind the door.

    Level -> the frame's facts (source window, names, statement, expression: cached on its Site as bytes) + its values
          -> one JSON object

What never changes for a site is scrubbed and encoded once per set of scrubbing rules. `Detail` says how much is shown: a
shrinking event is rendered again with less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phtrack import encode
from phtrack.frames import location, source, statement
from phtrack.frames.chain import exact_text
from phtrack.scrub.marks import MARKER

if TYPE_CHECKING:
    from collections.abc import Callable

    from phtrack.frames.site import Site
    from phtrack.frames.snapshot import Level
    from phtrack.frames.values import Shown
    from phtrack.scrub import Scrubber

MAX_RENDERINGS = 4
"""Renderings kept per site: one per set of scrubbing rules."""
MAX_STATEMENT = 2_000
"""Characters of a statement that travel."""


class Detail:
    """How much of a stack is shown; each attribute is given up in the order of the wire contract (exceptions.md §7)."""

    __slots__ = ("app_context", "library_context", "max_frames", "values")

    def __init__(
        self,
        *,
        values: bool = True,
        library_context: bool = True,
        app_context: bool = True,
        max_frames: int | None = None,
    ) -> None:
        self.values = values
        self.library_context = library_context
        self.app_context = app_context
        self.max_frames = max_frames
        """Frames kept from either end of each stack together; None keeps all."""


FULL = Detail()


class FrameRenderer:
    """Renders frames by one set of scrubbing rules."""

    def __init__(self, is_in_app: Callable[[Site], bool], scrubber: Scrubber) -> None:
        self._is_in_app = is_in_app
        self._scrubber = scrubber

    def add_frame(self, parts: list[bytes], level: Level, values: Shown | None, detail: Detail) -> None:
        """
        Add the pieces of one frame's JSON object to *parts*.

        Args:
            values: Those of this frame, rendered.
        """
        site = level.site
        in_app = bool(level.in_app)
        with_context = detail.app_context if in_app else detail.library_context
        body = self._fixed(site, in_app) if with_context else encode.dumps(self._describe(site, in_app, context=False))
        extras: dict[str, Any] = {}
        if level.cut is not None:
            if level.cut.repeats:
                extras.update(repeats=level.cut.repeats, cycle=level.cut.cycle)
            if level.cut.omitted:
                extras["omitted"] = level.cut.omitted
        if values is None or not detail.values:
            _add(parts, body, extras)
            return
        if values.notes:
            extras["not_recorded"] = values.notes
        _add(parts, body, extras, values.variables, values.code_variables)

    def place(self, site: Site) -> dict[str, Any]:
        """A frame in short: where it stands, and the line there."""
        window = source.window(site, around=0)
        place: dict[str, Any] = {
            "filename": location.filename_of(site) or "<unknown>",
            "function": statement.qualname_of(site),
            "lineno": site.lineno,
            "in_app": self._is_in_app(site),
        }
        if window is not None:
            place["context_line"] = self._scrubber.source(window[1])
        return place

    def _fixed(self, site: Site, in_app: bool) -> bytes:
        """What never changes for *site*, encoded; ends with the object under `phtrack`."""
        cache = site.rendering
        if cache is None:
            cache = site.rendering = {}
        key = (self._scrubber, in_app)
        body: bytes | None = cache.get(key)
        if body is None:
            body = encode.dumps(self._describe(site, in_app, context=True))
            if len(cache) >= MAX_RENDERINGS:
                cache.clear()
            cache[key] = body
        return body

    def _describe(self, site: Site, in_app: bool, *, context: bool) -> dict[str, Any]:
        frame: dict[str, Any] = {
            "platform": "python",
            "filename": location.filename_of(site) or "<unknown>",
            "function": exact_text(site.function) or "<unknown>",
        }
        abs_path = location.abs_path_of(site)
        if abs_path:
            frame["abs_path"] = abs_path
        if site.module:
            frame["module"] = site.module
        if site.lineno is not None and site.lineno > 0:
            frame["lineno"] = site.lineno
        frame["in_app"] = in_app
        window = source.window(site) if context else None
        if window is not None:
            before, line, after = window
            lines = self._hidden([*before, line, *after])
            frame["pre_context"] = lines[: len(before)]
            frame["context_line"] = lines[len(before)]
            frame["post_context"] = lines[len(before) + 1 :]
        frame["phtrack"] = self._details(site) if in_app and context else {}
        return frame

    def _hidden(self, lines: list[str]) -> list[str]:
        """
        Lines of source without secrets, looked at together, since a literal may go over several. Where that left other
        lines than went in, each is looked at alone, and what is not in the common result either is hidden whole.
        """
        hide = self._scrubber.source
        together = hide("\n".join(lines)).split("\n")
        if len(together) == len(lines):
            return together
        left = set(together)
        return [one if one in left else MARKER for one in map(hide, lines)]

    def _details(self, site: Site) -> dict[str, Any]:
        """What phtrack knows beyond the wire contract, for frames of the application."""
        details: dict[str, Any] = {"qualname": statement.qualname_of(site)}
        if source.changed_since_import(site):
            details["source_changed"] = True
        found = statement.statement_of(site)
        if found is None:
            return details
        text = found.text
        hidden = self._scrubber.source(text)
        details["statement"] = hidden[:MAX_STATEMENT]
        details["statement_lineno"] = found.first_line
        if found.expression is not None:
            details["position"] = list(found.expression)
            if hidden == text and found.expression_text:
                details["expression"] = found.expression_text
        return details


def _add(
    parts: list[bytes], body: bytes, extras: dict[str, Any], variables: str = "", code_variables: str = ""
) -> None:
    """Add *body* with *extras* and *variables* in the `phtrack` object that ends it, and `code_variables` after that."""
    if not extras and not variables:
        parts.append(body)
        return
    head = body[:-2]  # ...,"phtrack":{   or   ...,"phtrack":{"qualname":"x"
    parts.append(head)
    if not head.endswith(b"{"):
        parts.append(b",")
    if extras:
        parts.append(encode.dumps(extras)[1:-1])
        if variables:
            parts.append(b",")
    rest = f'"variables":[{variables}]}}' if variables else "}"
    parts.append(f'{rest},"code_variables":{{{code_variables}}}}}'.encode() if code_variables else rest.encode() + b"}")
