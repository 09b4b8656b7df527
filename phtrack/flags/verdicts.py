"""
The third answer: what a rule says when it cannot know.

A rule answers True, False, or one of the `Unresolved` constants here. They are compared by identity; each knows the reason
that users read, and `worst` picks the one that is reported when there are several.
"""

from __future__ import annotations

from enum import Enum


class UnresolvedFlagReason(str, Enum):
    """Why a flag has no local value. The order here is the order in which one is reported before the others."""

    EXPERIENCE_CONTINUITY = "experience_continuity"
    """The flag must stay the same over a user's log-in, which only the server knows."""
    UNSUPPORTED_DEFINITION = "unsupported_definition"
    """The definition holds something that only the server evaluates."""
    UNRESOLVED_DEPENDENCY = "unresolved_dependency"
    """A flag that this one depends on has no local value."""
    MISSING_CONTEXT = "missing_context"
    """A property, group or device id that the definition asks for was not given."""


class Unresolved:
    """A rule's answer that is neither yes nor no. One object per reason; false in no sense, so never test it as a bool."""

    __slots__ = ("needs_server", "rank", "reason")

    def __init__(self, reason: UnresolvedFlagReason, *, needs_server: bool = False) -> None:
        self.reason = reason
        self.needs_server = needs_server
        """True ends the evaluation of a flag: later conditions must not be looked at (wire contract, flags.md §7)."""
        self.rank = list(UnresolvedFlagReason).index(reason)

    def __repr__(self) -> str:
        return f"<unresolved: {self.reason.value}>"


CONTINUITY = Unresolved(UnresolvedFlagReason.EXPERIENCE_CONTINUITY)
UNSUPPORTED = Unresolved(UnresolvedFlagReason.UNSUPPORTED_DEFINITION)
SERVER = Unresolved(UnresolvedFlagReason.UNSUPPORTED_DEFINITION, needs_server=True)
DEPENDENCY = Unresolved(UnresolvedFlagReason.UNRESOLVED_DEPENDENCY)
MISSING = Unresolved(UnresolvedFlagReason.MISSING_CONTEXT)


def worst(one: Unresolved | None, other: Unresolved) -> Unresolved:
    """Whichever is reported first; *one* where they are equal."""
    return other if one is None or other.rank < one.rank else one
