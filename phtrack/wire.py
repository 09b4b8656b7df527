"""The shapes that travel, as types. Facts and limits come from PostHog's wire format; nothing here runs."""

from __future__ import annotations

from typing import Any, TypedDict


class Mechanism(TypedDict, total=False):
    """How an exception was caught, and where it stands in the tree of exceptions."""

    exception_id: int
    parent_id: int
    type: str
    source: str
    handled: bool
    synthetic: bool
    is_exception_group: bool
    meta: dict[str, Any]


class FrameExtras(TypedDict, total=False):
    """What phtrack adds to a frame, under the key `phtrack`; other servers ignore it."""

    qualname: str
    """The function's qualified name, e.g. `Cart.pay`."""
    statement: str
    """The whole statement the line belongs to, dedented, lines joined by newlines."""
    statement_lineno: int
    """1-based line on which `statement` starts."""
    expression: str
    """The exact expression that was being evaluated."""
    position: list[int]
    """`[line, column, end line, end column]` of `expression`: lines 1-based in the file, columns 0-based in characters."""
    variables: list[dict[str, Any]]
    """Values, nearest first: `name`, `value`, `type`, and where they apply `length`, `truncated`, `redacted` (by which rule)."""
    source_changed: bool
    """True when the file was written after it was imported, so that the lines may not be the ones that ran."""
    not_recorded: list[str]
    """What is missing among the values, and why."""
    repeats: int
    """How often the cycle of frames that ends here was folded away."""
    cycle: int
    """Number of frames in that cycle."""
    omitted: int
    """Frames left out before this one."""


class Frame(TypedDict, total=False):
    """One level of a stack, the oldest call first."""

    platform: str
    filename: str
    function: str
    abs_path: str
    module: str
    lineno: int
    context_line: str
    pre_context: list[str]
    post_context: list[str]
    in_app: bool
    code_variables: dict[str, Any]
    phtrack: FrameExtras


class Stacktrace(TypedDict):
    """Frames of one exception."""

    type: str
    frames: list[Frame]


class ExceptionEntry(TypedDict, total=False):
    """One exception of `$exception_list`."""

    type: str
    value: str
    module: str
    thread_id: int
    mechanism: Mechanism
    stacktrace: Stacktrace


class Event(TypedDict, total=False):
    """One event of a batch (protocol v0)."""

    event: str
    distinct_id: str
    uuid: str
    timestamp: str
    properties: dict[str, Any]
