"""
Keyword arguments of the public calls, as types. Nothing here runs at run time.

A test holds `ClientOptions` against the option groups of `phtrack.options`, where each name is explained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    import os

BeforeSendCallback = Callable[[dict[str, Any]], "dict[str, Any] | None"]
Timestamp = datetime | date | str | float
Level = Literal["fatal", "error", "warning", "log", "info", "debug"]


class SetArguments(TypedDict, total=False):
    """Of `set` and `set_once`."""

    distinct_id: Any
    properties: Mapping[str, Any] | None
    timestamp: Timestamp | None
    uuid: Any
    disable_geoip: bool | None


class CaptureArguments(SetArguments, total=False):
    """Of `capture` and `capture_ai`."""

    groups: Mapping[str, Any] | None
    flags: Any
    send_feature_flags: bool | Mapping[str, Any]


class ExceptionArguments(CaptureArguments, total=False):
    """Of `capture_exception`: also what the catcher knows about the failure."""

    level: str | None
    handled: bool | None
    fingerprint: str | Sequence[str] | None
    source: str | None
    mechanism_type: str | None


class ClientOptions(TypedDict, total=False):
    """Of `Client`, `Posthog` and `init`."""

    api_key: str | None
    debug: bool
    max_queue_size: int
    send: bool
    on_error: Callable[[Exception, list[Any]], Any] | None
    flush_at: int
    flush_interval: float
    gzip: bool
    max_retries: int
    sync_mode: bool
    timeout: float
    thread: int
    poll_interval: float
    personal_api_key: str | None
    disabled: bool
    disable_geoip: bool
    is_server: bool
    historical_migration: bool
    secret_key: str | None
    integrations: str | Sequence[str]
    super_properties: Mapping[str, Any] | None
    before_send: BeforeSendCallback | Sequence[BeforeSendCallback] | None
    capture_trace_context: bool
    release: str | None
    environment: str | None
    opt_out: bool
    privacy_mode: bool
    enable_full_ai_capture: bool
    error_flush_interval: float
    max_queue_bytes: int
    overflow: Literal["drop_newest", "drop_oldest", "block"]
    overflow_block_ms: float
    capture_mode: Any
    capture_compression: Any
    spool_dir: str | os.PathLike[str] | None
    spool: Literal["exit", "always"] | None
    spool_max_bytes: int
    spool_max_age: float
    shutdown_timeout: float
    flush_on_sigterm: bool
    proxies: Mapping[str, str] | None
    verify: bool | str
    enable_exception_autocapture: bool
    log_captured_exceptions: bool
    project_root: str | os.PathLike[str] | None
    in_app_modules: Sequence[str] | None
    max_frames: int
    fingerprinting: Literal["client", "server"] | Callable[[dict[str, Any]], str | list[str] | None]
    exception_throttle: bool | float
    max_exception_steps_bytes: int
    crash_dir: str | os.PathLike[str] | None
    scrub_events: bool
    enable_exception_autocapture_rate_limiting: bool
    exception_autocapture_bucket_size: int
    exception_autocapture_refill_rate: int
    exception_autocapture_refill_interval_seconds: float
    capture_exception_code_variables: bool
    code_variables_mask_patterns: Sequence[str] | None
    code_variables_ignore_patterns: Sequence[str] | None
    code_variables_mask_url_credentials: bool | None
    code_variables_detect_secrets: bool | None
    code_variables_time_ms: float
    enable_local_evaluation: bool
    feature_flags_request_timeout_seconds: float
    feature_flags_request_max_retries: int
    flag_fallback_cache_url: str | None
    flag_definition_cache_provider: Any
    metrics: Any
    traces: Any
    app_host: Any
    email_request_timeout_seconds: Any
    email_request_max_retries: Any
    migrated_from: Any
