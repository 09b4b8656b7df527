"""
Frames of templates: Jinja2 and Mako compile a template to Python, and its author wants to see the template.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phtrack.frames.site import Site


def is_template(site: Site) -> bool:
    """True when the lines of *site* are a template's, not Python."""
    return "__jinja_exception__" in site.code.co_names
