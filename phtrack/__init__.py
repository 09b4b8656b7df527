"""
phtrack: error tracking that explains the error.

    import phtrack

    phtrack.init("phc_...", host="http://127.0.0.1:8970", enable_exception_autocapture=True)

The functions here act on one default client, made by `init`, or at the first call from the settings below (as in the
`posthog` package: `phtrack.api_key = "phc_..."`). Importing does nothing: every name is loaded when it is first used.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from phtrack.version import VERSION, __version__

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from phtrack.arguments import BeforeSendCallback, ClientOptions
    from phtrack.arguments import CaptureArguments as OptionalCaptureArgs
    from phtrack.arguments import SetArguments as OptionalSetArgs
    from phtrack.async_client import AsyncClient, AsyncPosthog
    from phtrack.capture_modes import CaptureCompression, CaptureMode
    from phtrack.client import Client, Posthog
    from phtrack.context import (
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
        step,
        tag,
    )
    from phtrack.exception_capture import ExceptionCapture
    from phtrack.feature_flags import InconclusiveMatchError, RequiresServerEvaluation
    from phtrack.flag_definition_cache import FlagDefinitionCacheData, FlagDefinitionCacheProvider
    from phtrack.http import SocketOptions, disable_connection_reuse, enable_keep_alive, set_socket_options
    from phtrack.logging import PosthogLoggingHandler
    from phtrack.options import DEFAULT_IGNORE_PATTERNS as DEFAULT_CODE_VARIABLES_IGNORE_PATTERNS
    from phtrack.options import DEFAULT_MASK_PATTERNS as DEFAULT_CODE_VARIABLES_MASK_PATTERNS
    from phtrack.types import (
        FeatureFlag,
        FeatureFlagEvaluationRuntime,
        FeatureFlagEvaluations,
        FeatureFlagResult,
        FlagsAndPayloads,
        FlagValue,
        UnresolvedFlagReason,
    )

    _of_client = Client()
    capture = _of_client.capture
    capture_ai = _of_client.capture_ai
    capture_exception = _of_client.capture_exception
    set = _of_client.set
    set_once = _of_client.set_once
    alias = _of_client.alias
    group_identify = _of_client.group_identify
    flush = _of_client.flush
    join = _of_client.join
    stats = _of_client.stats
    opt_out = _of_client.opt_out
    opt_in = _of_client.opt_in
    is_opted_out = _of_client.is_opted_out
    get_distinct_id = _of_client.get_distinct_id
    evaluate_flags = _of_client.evaluate_flags
    feature_enabled = _of_client.feature_enabled
    is_feature_enabled = _of_client.feature_enabled
    get_feature_flag = _of_client.get_feature_flag
    get_feature_flag_result = _of_client.get_feature_flag_result
    get_feature_flag_payload = _of_client.get_feature_flag_payload
    get_all_flags = _of_client.get_all_flags
    get_all_flags_and_payloads = _of_client.get_all_flags_and_payloads
    get_remote_config_payload = _of_client.get_remote_config_payload
    load_feature_flags = _of_client.load_feature_flags
    feature_flag_definitions = _of_client.feature_flag_definitions
    get_feature_flag_evaluation_runtime = _of_client.get_feature_flag_evaluation_runtime
    get_feature_flag_keys_by_evaluation_runtime = _of_client.get_feature_flag_keys_by_evaluation_runtime

# --- settings of the default client, read when it is made ------------------------------------------------------------

api_key: str | None = None
project_api_key: str | None = None
host: str | None = None
debug: bool = False
disabled: bool = False
default_client: Client | None = None

DEFAULT_CODE_VARIABLES_MASK_URL_CREDENTIALS = True
DEFAULT_CODE_VARIABLES_DETECT_SECRETS = True

_EVERY_CALL = ("debug", "disabled", "privacy_mode", "before_send", "enable_full_ai_capture")
"""Settings that apply at once when they are changed here."""

_NAMES = {
    **dict.fromkeys(("Client", "Posthog"), "phtrack.client"),
    **dict.fromkeys(
        (
            "get_context_device_id", "get_context_distinct_id", "get_context_session_id", "get_tags", "identify_context",
            "new_context", "reset_group_properties_for_flags", "reset_person_properties_for_flags", "scoped",
            "set_capture_exception_code_variables_context", "set_code_variables_detect_secrets_context",
            "set_code_variables_ignore_patterns_context", "set_code_variables_mask_patterns_context",
            "set_code_variables_mask_url_credentials_context", "set_context_device_id", "set_context_fingerprint",
            "set_context_session", "set_group_properties_for_flags", "set_person_properties_for_flags", "step",
            "tag",
        ),
        "phtrack.context",
    ),
    **dict.fromkeys(("AsyncClient", "AsyncPosthog"), "phtrack.async_client"),
    **dict.fromkeys(("CaptureCompression", "CaptureMode"), "phtrack.capture_modes"),
    **dict.fromkeys(("InconclusiveMatchError", "RequiresServerEvaluation"), "phtrack.feature_flags"),
    **dict.fromkeys(("FlagDefinitionCacheData", "FlagDefinitionCacheProvider"), "phtrack.flag_definition_cache"),
    **dict.fromkeys(
        ("SocketOptions", "disable_connection_reuse", "enable_keep_alive", "set_socket_options"), "phtrack.http"
    ),
    **dict.fromkeys(
        (
            "FeatureFlag", "FeatureFlagEvaluationRuntime", "FeatureFlagEvaluations", "FeatureFlagResult", "FlagValue",
            "FlagsAndPayloads", "UnresolvedFlagReason",
        ),
        "phtrack.types",
    ),
    "ExceptionCapture": "phtrack.exception_capture",
    "PosthogLoggingHandler": "phtrack.logging",
    "BeforeSendCallback": "phtrack.arguments",
    "OptionalCaptureArgs": "phtrack.arguments:CaptureArguments",
    "OptionalSetArgs": "phtrack.arguments:SetArguments",
    "DEFAULT_CODE_VARIABLES_MASK_PATTERNS": "phtrack.options:DEFAULT_MASK_PATTERNS",
    "DEFAULT_CODE_VARIABLES_IGNORE_PATTERNS": "phtrack.options:DEFAULT_IGNORE_PATTERNS",
}  # fmt: skip
"""Public name -> the module it is in (and its name there, if another)."""

_CALLS = (
    "capture", "capture_ai", "capture_exception", "set", "set_once", "alias", "group_identify", "flush", "join", "stats",
    "opt_out", "opt_in", "is_opted_out", "get_distinct_id",
    "evaluate_flags", "feature_enabled", "is_feature_enabled", "get_feature_flag", "get_feature_flag_result",
    "get_feature_flag_payload", "get_all_flags", "get_all_flags_and_payloads", "get_remote_config_payload",
    "load_feature_flags", "feature_flag_definitions", "get_feature_flag_evaluation_runtime",
    "get_feature_flag_keys_by_evaluation_runtime",
)  # fmt: skip
"""Functions that are methods of the default client."""

__all__ = [
    "DEFAULT_CODE_VARIABLES_IGNORE_PATTERNS",
    "DEFAULT_CODE_VARIABLES_MASK_PATTERNS",
    "VERSION",
    "AsyncClient",
    "AsyncPosthog",
    "BeforeSendCallback",
    "CaptureCompression",
    "CaptureMode",
    "Client",
    "ExceptionCapture",
    "FeatureFlag",
    "FeatureFlagEvaluationRuntime",
    "FeatureFlagEvaluations",
    "FeatureFlagResult",
    "FlagDefinitionCacheData",
    "FlagDefinitionCacheProvider",
    "FlagValue",
    "FlagsAndPayloads",
    "InconclusiveMatchError",
    "OptionalCaptureArgs",
    "OptionalSetArgs",
    "Posthog",
    "PosthogLoggingHandler",
    "RequiresServerEvaluation",
    "SocketOptions",
    "UnresolvedFlagReason",
    "__version__",
    "alias",
    "capture",
    "capture_ai",
    "capture_exception",
    "disable_connection_reuse",
    "enable_keep_alive",
    "evaluate_flags",
    "feature_enabled",
    "feature_flag_definitions",
    "flush",
    "get_all_flags",
    "get_all_flags_and_payloads",
    "get_context_device_id",
    "get_context_distinct_id",
    "get_context_session_id",
    "get_distinct_id",
    "get_feature_flag",
    "get_feature_flag_evaluation_runtime",
    "get_feature_flag_keys_by_evaluation_runtime",
    "get_feature_flag_payload",
    "get_feature_flag_result",
    "get_remote_config_payload",
    "get_tags",
    "group_identify",
    "identify_context",
    "init",
    "is_feature_enabled",
    "is_opted_out",
    "join",
    "load_feature_flags",
    "new_context",
    "opt_in",
    "opt_out",
    "reset_group_properties_for_flags",
    "reset_person_properties_for_flags",
    "scoped",
    "set",
    "set_capture_exception_code_variables_context",
    "set_code_variables_detect_secrets_context",
    "set_code_variables_ignore_patterns_context",
    "set_code_variables_mask_patterns_context",
    "set_code_variables_mask_url_credentials_context",
    "set_context_device_id",
    "set_context_fingerprint",
    "set_context_session",
    "set_group_properties_for_flags",
    "set_once",
    "set_person_properties_for_flags",
    "set_socket_options",
    "setup",
    "shutdown",
    "stats",
    "step",
    "tag",
]


def init(project_api_key: str | None = None, host: str | None = None, **options: Unpack[ClientOptions]) -> Client:
    """
    Make the default client, which the functions of this module act on.

    Takes the options of `Client`. An earlier default client is shut down.

    Raises:
        TypeError, ValueError: an option that can't be right, with its value in the message.
    """
    from phtrack.client import Client

    global default_client
    client = Client(project_api_key, host, **options)
    if default_client is not None:
        default_client.shutdown(timeout=client.options.delivery.shutdown_timeout)
    default_client = client
    for name in _EVERY_CALL:
        globals()[name] = getattr(client, name)
    _enable_integrations(client)
    return client


def _enable_integrations(client: Client) -> None:
    from phtrack import auto

    auto.enable(() if client.disabled else client.options.project.integrations)
    client._undos.append(auto.disable)


def setup() -> Client:
    """The default client; made from this module's settings if there is none yet."""
    if default_client is not None:
        for name in _EVERY_CALL:
            if name in globals() and getattr(default_client, name) != globals()[name]:
                setattr(default_client, name, globals()[name])
        return default_client
    from phtrack.options import GROUP_OF

    settings = {name: globals().get(name) for name in GROUP_OF}
    # A submodule that was imported stands here under its name (`phtrack.integrations`, `phtrack.release`): no setting.
    given = {name: value for name, value in settings.items() if value is not None and type(value) is not type(sys)}
    key = given.pop("project_api_key", None) or api_key
    given.pop("api_key", None)
    return init(key, given.pop("host", None), **given)


def shutdown(timeout: float | None = None) -> None:
    """Deliver what waits and stop the default client. Without one, nothing happens."""
    if default_client is not None:
        default_client.shutdown(timeout)


def _client_if_any() -> Client | None:
    """The default client, if it was made or configured."""
    return setup() if default_client is not None or api_key or project_api_key else None


def __getattr__(name: str) -> Any:
    where = _NAMES.get(name)
    if where is not None:
        from importlib import import_module

        module, _, other_name = where.partition(":")
        value = getattr(import_module(module), other_name or name)
    elif name in _CALLS:
        value = _forward(name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _forward(name: str) -> Any:
    """The default client's method *name* as a function, which makes the client when it is first called."""
    from functools import wraps

    from phtrack.client import Client

    @wraps(getattr(Client, name))
    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(setup(), name)(*args, **kwargs)

    call.__module__ = __name__
    call.__qualname__ = name
    return call


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
