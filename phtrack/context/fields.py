"""Setters and readers of a scope's fields. Outside of any context setters have no effect, and readers answer with nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phtrack import _guard
from phtrack.context.scope import NOTHING, change, scope_var

if TYPE_CHECKING:
    from collections.abc import Mapping


def _set(what: str, **values: Any) -> None:
    if not change(**values):
        _guard.say("debug", "%s outside of a context has no effect; open one with new_context()", what, every=60)


def tag(name: str, value: Any) -> None:
    """Attach *value* under *name* to everything captured in this context and below. No effect outside of one."""
    scope = scope_var.get()
    _set("tag()", tags={**(scope.tags if scope is not None else {}), name: value})


def tag_all(tags: Mapping[str, Any]) -> None:
    """`tag` for several at once, at the price of one."""
    scope = scope_var.get()
    _set("tag_all()", tags={**(scope.tags if scope is not None else {}), **tags})


def set_tags(tags: Mapping[str, Any]) -> None:
    """
    Replace all tags of this context by *tags*, which is kept as it is, not copied.

    It may be a mapping that makes its content when something reads it: most requests end without an event. It must then be
    quick, never raise, and not change once it was read.
    """
    _set("set_tags()", tags=tags)


def current_tags() -> Mapping[str, Any]:
    """The tags in force here themselves, not a copy as `get_tags` makes; not to be changed. Empty outside of a context."""
    scope = scope_var.get()
    return scope.tags if scope is not None else NOTHING


def get_tags() -> dict[str, Any]:
    """A copy of the tags in force here; empty outside of a context."""
    scope = scope_var.get()
    return dict(scope.tags) if scope is not None else {}


def identify_context(distinct_id: Any) -> None:
    """Say who the user is, for everything captured in this context and below."""
    _set("identify_context()", distinct_id=_id_or_none(distinct_id))


def set_context_session(session_id: Any) -> None:
    """Say which session this is (`$session_id`)."""
    _set("set_context_session()", session_id=_id_or_none(session_id))


def set_context_device_id(device_id: Any) -> None:
    """Say which device this is, for flags that are bucketed by it."""
    _set("set_context_device_id()", device_id=_id_or_none(device_id))


def set_context_fingerprint(fingerprint: str | list[str] | None) -> None:
    """Group every exception captured in this context under *fingerprint*; None leaves it to phtrack again."""
    _set("set_context_fingerprint()", fingerprint=fingerprint)


def _id_or_none(value: Any) -> str | None:
    if value is None:
        return None
    text = value if type(value) is str else str(value)
    return text or None


def get_context_distinct_id() -> str | None:
    """The user of this context, or None."""
    scope = scope_var.get()
    return scope.distinct_id if scope is not None else None


def get_context_session_id() -> str | None:
    """The session of this context, or None."""
    scope = scope_var.get()
    return scope.session_id if scope is not None else None


def get_context_device_id() -> str | None:
    """The device of this context, or None."""
    scope = scope_var.get()
    return scope.device_id if scope is not None else None


def set_capture_exception_code_variables_context(enabled: bool) -> None:
    """Show values in frames, or not, in this context and below."""
    _set("set_capture_exception_code_variables_context()", values=bool(enabled))


def set_code_variables_mask_patterns_context(mask_patterns: list[str]) -> None:
    """Replace the patterns of what is hidden, in this context and below. A pattern that is no regular expression raises."""
    _set("set_code_variables_mask_patterns_context()", mask_patterns=_patterns(mask_patterns))


def set_code_variables_ignore_patterns_context(ignore_patterns: list[str]) -> None:
    """Replace the patterns of what is left out, in this context and below."""
    _set("set_code_variables_ignore_patterns_context()", ignore_patterns=_patterns(ignore_patterns))


def set_code_variables_mask_url_credentials_context(enabled: bool) -> None:
    """Hide `user:password@`, or not, in this context and below."""
    _set("set_code_variables_mask_url_credentials_context()", mask_url_credentials=bool(enabled))


def set_code_variables_detect_secrets_context(enabled: bool) -> None:
    """Hide what looks like a secret, or not, in this context and below."""
    _set("set_code_variables_detect_secrets_context()", detect_secrets=bool(enabled))


def _patterns(patterns: Any) -> tuple[str, ...] | None:
    if patterns is None:
        return None
    import re

    for pattern in patterns:
        re.compile(pattern)
    return tuple(patterns)


# --- properties for flags ------------------------------------------------------------------------------------------


def flag_properties() -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
    """Person and group properties that this context adds to flag evaluations. Not to be changed."""
    scope = scope_var.get()
    return (scope.person_properties, scope.group_properties) if scope is not None else (NOTHING, NOTHING)


def set_person_properties_for_flags(properties: Mapping[str, Any]) -> None:
    """Person properties that flag evaluations in this context use, under those given per call."""
    scope = scope_var.get()
    known = scope.person_properties if scope is not None else {}
    _set("set_person_properties_for_flags()", person_properties={**known, **properties})


def reset_person_properties_for_flags() -> None:
    """Forget what `set_person_properties_for_flags` set in this context."""
    _set("reset_person_properties_for_flags()", person_properties=NOTHING)


def set_group_properties_for_flags(properties: Mapping[str, Mapping[str, Any]]) -> None:
    """Group properties by group type that flag evaluations in this context use, under those given per call."""
    scope = scope_var.get()
    known = scope.group_properties if scope is not None else {}
    merged = {kind: {**known.get(kind, {}), **given} for kind, given in properties.items()}
    _set("set_group_properties_for_flags()", group_properties={**known, **merged})


def reset_group_properties_for_flags(group_type: str | None = None) -> None:
    """Forget group properties set in this context: of *group_type*, or all."""
    scope = scope_var.get()
    known = scope.group_properties if scope is not None else {}
    kept = {kind: given for kind, given in known.items() if group_type is not None and kind != group_type}
    _set("reset_group_properties_for_flags()", group_properties=kept)
