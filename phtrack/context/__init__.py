"""
Who, in which session, with which tags: what surrounds the code that runs, without passing it along.

    with new_context():            -> a Scope in a context variable
        identify_context("u1")     -> a new Scope in its place
        tag("plan", "pro")
        capture(...)               -> reads the Scope

A `Scope` is replaced, not changed, when something is set: a task or thread that got a copy of the surroundings goes its
own way, and nothing it sets shows up in its siblings. The exception is a *shared* scope, which integrations open around a
request: there a handler that runs in a worker thread sets the user, and the middleware outside must see it; one request is
one user, so its own tasks may share. Rules: wire contract, context-and-headers.md §1.
"""

from __future__ import annotations

from phtrack.context.block import (
    new_context,
)
from phtrack.context.carry import (
    carry,
)
from phtrack.context.decorator import (
    scoped,
)
from phtrack.context.fields import (
    current_tags,
    flag_properties,
    get_context_device_id,
    get_context_distinct_id,
    get_context_session_id,
    get_tags,
    identify_context,
    reset_group_properties_for_flags,
    reset_person_properties_for_flags,
    set_capture_exception_code_variables_context,
    set_code_variables_detect_secrets_context,
    set_code_variables_ignore_patterns_context,
    set_code_variables_mask_patterns_context,
    set_code_variables_mask_url_credentials_context,
    set_context_device_id,
    set_context_fingerprint,
    set_context_session,
    set_group_properties_for_flags,
    set_person_properties_for_flags,
    set_tags,
    tag,
    tag_all,
)
from phtrack.context.noting import (
    note_flag_read,
    step,
)
from phtrack.context.scope import (
    Scope,
    change,
    current,
    default_client,
    note,
    reset_after_fork,
    surroundings,
)

__all__ = [
    "Scope",
    "carry",
    "change",
    "current",
    "current_tags",
    "default_client",
    "flag_properties",
    "get_context_device_id",
    "get_context_distinct_id",
    "get_context_session_id",
    "get_tags",
    "identify_context",
    "new_context",
    "note",
    "note_flag_read",
    "reset_after_fork",
    "reset_group_properties_for_flags",
    "reset_person_properties_for_flags",
    "scoped",
    "set_capture_exception_code_variables_context",
    "set_code_variables_detect_secrets_context",
    "set_code_variables_ignore_patterns_context",
    "set_code_variables_mask_patterns_context",
    "set_code_variables_mask_url_credentials_context",
    "set_context_device_id",
    "set_context_fingerprint",
    "set_context_session",
    "set_group_properties_for_flags",
    "set_person_properties_for_flags",
    "set_tags",
    "step",
    "surroundings",
    "tag",
    "tag_all",
]
