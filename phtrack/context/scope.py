"""
The scope: what one context holds, and the variable that says which one is in force.

It is replaced, not changed, when something is set (unless it is *shared*, see the package's docstring).
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phtrack import steps

NOTHING: dict[str, Any] = {}
"""The empty mapping that a fresh scope starts with; never changed."""


SWITCHES = ("values", "mask_patterns", "ignore_patterns", "mask_url_credentials", "detect_secrets")
"""The fields of a scope that say which values are shown and which are masked."""


class Scope:
    """What one context holds. Mappings in it are replaced, never changed."""

    __slots__ = (
        "capture_exceptions",
        "client",
        "detect_secrets",
        "device_id",
        "distinct_id",
        "fingerprint",
        "flag_reads",
        "group_properties",
        "ignore_patterns",
        "mask_patterns",
        "mask_url_credentials",
        "person_properties",
        "session_id",
        "shared",
        "steps",
        "tags",
        "values",
    )

    def __init__(self) -> None:
        self.client: Any = None
        """The client that captures what leaves the block; None is the default client."""
        self.capture_exceptions: bool | None = None
        """False: what leaves the block is not captured."""
        self.shared = False
        self.distinct_id: str | None = None
        self.session_id: str | None = None
        self.device_id: str | None = None
        self.tags: Mapping[str, Any] = NOTHING
        self.values: bool | None = None
        """Overrides of the client's options for values and scrubbing; None inherits."""
        self.mask_patterns: tuple[str, ...] | None = None
        self.ignore_patterns: tuple[str, ...] | None = None
        self.mask_url_credentials: bool | None = None
        self.detect_secrets: bool | None = None
        self.fingerprint: Any = None
        """Fingerprint of exceptions captured in here, or None."""
        self.flag_reads: Mapping[str, Any] = NOTHING
        """Flag key -> value read in this context."""
        self.person_properties: Mapping[str, Any] = NOTHING
        """Defaults for flag evaluation."""
        self.group_properties: Mapping[str, Mapping[str, Any]] = NOTHING
        self.steps: steps.Cell | None = None
        """The newest step, linked to the ones before it."""

    def copy(self) -> Scope:
        """An independent scope with the same content."""
        twin = Scope.__new__(Scope)
        for name in Scope.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin


scope_var: ContextVar[Scope | None] = ContextVar("phtrack_scope", default=None)
base_var: ContextVar[Scope | None] = ContextVar("phtrack_base", default=None)
"""Outside of any context: steps and flag reads still find a place, per thread and task; ids and tags do not."""


def current() -> Scope | None:
    """The scope of the innermost context, or None outside of any."""
    return scope_var.get()


def surroundings() -> Scope | None:
    """The current scope, or outside of any context the place that holds steps and flag reads; None if nothing was noted."""
    return scope_var.get() or base_var.get()


def default_client() -> Any:
    """The client behind `phtrack`'s own functions, if it was made or configured; asked by name, since it stands above."""
    find = getattr(sys.modules.get("phtrack"), "_client_if_any", None)
    return find() if find is not None else None


def change(**values: Any) -> bool:
    """Set fields of the current scope. False, and nothing happens, outside of any context."""
    scope = scope_var.get()
    if scope is None:
        return False
    if not scope.shared:
        scope = scope.copy()
        scope_var.set(scope)
    for name, value in values.items():
        setattr(scope, name, value)
    return True


def note(**values: Any) -> None:
    """Like `change`, but kept outside of a context too (for what only describes the surroundings: steps, flag reads)."""
    if change(**values):
        return
    base = base_var.get()
    base = Scope() if base is None else base.copy()
    for name, value in values.items():
        setattr(base, name, value)
    base_var.set(base)


def reset_after_fork() -> None:
    """A child process starts with no context."""
    scope_var.set(None)
    base_var.set(None)
