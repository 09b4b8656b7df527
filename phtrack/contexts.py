"""
The context functions in one place, as in the `posthog` package: `from phtrack.contexts import get_context_distinct_id`.

`carry`, `set_tags`, `current_tags` and `tag_all` are for code that opens contexts for others, such as an integration of a
framework.
"""

from __future__ import annotations

from phtrack.context import (
    carry,
    current_tags,
    get_context_device_id,
    get_context_distinct_id,
    get_context_session_id,
    get_tags,
    identify_context,
    new_context,
    reset_group_properties_for_flags,
    reset_person_properties_for_flags,
    scoped,
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
    step,
    tag,
    tag_all,
)

__all__ = [
    "carry",
    "current_tags",
    "get_context_device_id",
    "get_context_distinct_id",
    "get_context_session_id",
    "get_tags",
    "identify_context",
    "new_context",
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
    "tag",
    "tag_all",
]
