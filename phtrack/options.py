"""
Every option of a client: its name, default, meaning and check, once.

Flat keyword arguments outside (the names and defaults of the `posthog` package 7.x, and what phtrack adds), small frozen
groups inside. `resolve` is the one place that turns the first into the second and that reads the environment; code
further in gets the group it needs.

A caller's mistake raises here, at once, with the value in the message: `TypeError` for an unknown name or a wrong type,
`ValueError` for a value out of range.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from phtrack import _guard

DEFAULT_HOST = "https://us.i.posthog.com"
_INGESTION_HOSTS = {
    "https://app.posthog.com": DEFAULT_HOST,
    "https://us.posthog.com": DEFAULT_HOST,
    "https://eu.posthog.com": "https://eu.i.posthog.com",
}
_APP_HOSTS = {
    DEFAULT_HOST: "https://us.posthog.com",
    "https://eu.i.posthog.com": "https://eu.posthog.com",
}

DEFAULT_MASK_PATTERNS = [
    "password", "secret", "passwd", "pwd", "api_key", "apikey", "auth", "credentials", "privatekey", "private_key",
    "token", "aws_access_key_id", "_pass", "sk_", "jwt", "connection_string", "connectionstring", "conn_str", "connstr",
    "dsn", r"[?&]sig=",
]  # fmt: skip
"""Names of variables and mapping keys whose values are never shown (contract, exceptions.md §10.1)."""
DEFAULT_IGNORE_PATTERNS = [r"^__.*"]
"""Names of variables that are left out."""

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class ProjectOptions:
    """Whom the events belong to, and whether anything happens at all."""

    project_api_key: str | None = None
    """The project's token. Blank disables the client, with one log line."""
    host: str | None = None
    """Where events go; blank is PostHog's US cloud. A path prefix is kept."""
    secret_key: str | None = None
    """Project Secret API Key or Personal API Key: flag definitions, remote config payloads."""
    personal_api_key: str | None = None
    """Old name of `secret_key`, which wins."""
    disabled: bool = False
    """True makes every call do nothing and answer None."""
    debug: bool = False
    """Verbose log; phtrack's own errors are raised instead of swallowed."""
    integrations: Any = AUTO
    """``"auto"`` enables what the application has imported or will import; a list of names restricts it; ``()`` is none."""

    def __post_init__(self) -> None:
        for name in ("project_api_key", "host", "secret_key", "personal_api_key"):
            _is_text(name, getattr(self, name), or_none=True)
        _is_bools(self, "disabled", "debug")
        host = (self.host or "").strip()
        if host and not _is_address(host):
            shown = _shown("host", self.host)
            raise ValueError(f"host must be an http:// or https:// address, without query, got {shown}")
        _is_choice_of_integrations(self.integrations)

    @property
    def api_key(self) -> str:
        """The key without surrounding white space; empty when there is none."""
        return (self.project_api_key or "").strip()

    @property
    def ingestion_host(self) -> str:
        """The address that request paths are joined to: no trailing slash, app hosts mapped (contract, capture.md §2)."""
        return normalize_host(self.host)

    @property
    def app_host(self) -> str:
        """The address of the management API that belongs to `ingestion_host`."""
        return _APP_HOSTS.get(self.ingestion_host, self.ingestion_host)


@dataclass(frozen=True, kw_only=True)
class EventOptions:
    """What every event carries, and the last word on it."""

    disable_geoip: bool = True
    """Adds `$geoip_disable`: the server's own address says nothing about the user."""
    is_server: bool = True
    """Adds `$is_server`."""
    super_properties: Mapping[str, Any] | None = None
    """Merged into every event, over the caller's properties."""
    before_send: Any = None
    """One callable or a list: gets the assembled event, answers with it or None to drop it. A failing one drops it."""
    capture_trace_context: bool = False
    """OpenTelemetry's `$trace_id` and `$span_id` on all events (exceptions always have them)."""
    release: str | None = None
    """The running version. Default: environment, then the git commit of the project."""
    environment: str | None = None
    """`production`, `staging` ... Default: environment variables."""
    opt_out: bool = False
    """Start opted out; `opt_in()` changes it at run time."""
    privacy_mode: bool = False
    """No prompts and answers on AI events."""
    enable_full_ai_capture: bool = False
    """AI events untruncated, in a lane of their own."""

    def __post_init__(self) -> None:
        _is_bools(
            self,
            "disable_geoip",
            "is_server",
            "capture_trace_context",
            "opt_out",
            "privacy_mode",
            "enable_full_ai_capture",
        )
        if self.super_properties is not None and not isinstance(self.super_properties, Mapping):
            raise TypeError(f"super_properties must be a dict or None, got {self.super_properties!r}")
        for hook in self.hooks:
            if not callable(hook):
                raise TypeError(f"before_send must be a callable or a list of callables, got {self.before_send!r}")
        for name in ("release", "environment"):
            _is_text(name, getattr(self, name), or_none=True)

    @property
    def hooks(self) -> tuple[Callable[[dict[str, Any]], dict[str, Any] | None], ...]:
        """`before_send` as a tuple, in the order they run."""
        return as_hooks(self.before_send)


@dataclass(frozen=True, kw_only=True)
class DeliveryOptions:
    """How events wait, travel, and survive."""

    send: bool = True
    """False builds events but never sends them."""
    sync_mode: bool = False
    """Send in the calling thread, one event per request."""
    gzip: bool = False
    """Compress request bodies (protocol v0)."""
    flush_at: int = 100
    """Events that make a request leave at once; also the most events one request holds."""
    flush_interval: float = 5.0
    """Seconds after which whatever waits leaves."""
    error_flush_interval: float = 0.1
    """Seconds after which a waiting exception leaves, and whatever else waits with it."""
    max_queue_size: int = 10_000
    """Events that may wait, per lane."""
    max_queue_bytes: int = 64 * 1024 * 1024
    """Bytes of events that may wait, per lane."""
    overflow: str = "drop_newest"
    """What gives way when a queue is full and there is no spool: `drop_newest`, `drop_oldest` or `block`."""
    overflow_block_ms: float = 50.0
    """With `overflow="block"`: the longest a capture call waits for room, in milliseconds, before the new event is dropped."""
    max_retries: int = 3
    """Attempts after the first."""
    timeout: float = 15.0
    """Seconds one request may take."""
    thread: int = 1
    """Sending threads per lane."""
    historical_migration: bool = False
    """Marks all batches as a back-fill."""
    on_error: Callable[[Exception, list[Any]], Any] | None = None
    """`f(error, batch)` after a delivery failed for good; called from the sending thread."""
    capture_mode: Any = None
    """`"v0"` or `"v1"`. Default: POSTHOG_CAPTURE_MODE, then v0."""
    capture_compression: Any = None
    """`none`, `gzip`, `deflate`, `zstd`, `br` for protocol v1. Default: POSTHOG_CAPTURE_COMPRESSION, then `gzip=`."""
    spool_dir: str | os.PathLike[str] | None = None
    """Directory for events that could not be delivered; the next process that uses it delivers them."""
    spool: str | None = None
    """`exit`: spool what is left over. `always`: an event is on disk before the call returns. Default `exit` with a directory."""
    spool_max_bytes: int = 256 * 1024 * 1024
    """Bytes the directory may hold; the oldest are given up first."""
    spool_max_age: float = 7 * 24 * 3600.0
    """Seconds after which a spooled event is given up."""
    shutdown_timeout: float = 1.0
    """Seconds that the end of the process may wait for delivery."""
    flush_on_sigterm: bool = False
    """Install a SIGTERM handler that flushes, then does what was there before."""
    proxies: Mapping[str, str] | None = None
    """As requests takes them."""
    verify: bool | str = True
    """As requests takes it: False, True, or the path of a CA bundle."""

    def __post_init__(self) -> None:
        _is_bools(self, "send", "sync_mode", "gzip", "historical_migration", "flush_on_sigterm")
        _is_ints(self, "flush_at", "max_queue_size", "max_queue_bytes", "thread", "spool_max_bytes", at_least=1)
        _is_ints(self, "max_retries", at_least=0)
        _is_seconds(self, "flush_interval", "error_flush_interval", "timeout", "spool_max_age", more_than_zero=True)
        _is_seconds(self, "overflow_block_ms", "shutdown_timeout")
        _is_one_of("overflow", self.overflow, ("drop_newest", "drop_oldest", "block"))
        if self.spool is not None:
            _is_one_of("spool", self.spool, ("exit", "always"))
            if self.spool_dir is None:
                raise ValueError(f"spool={self.spool!r} needs spool_dir=, the directory to write to")
        if self.spool_dir is not None and not isinstance(self.spool_dir, (str, os.PathLike)):
            raise TypeError(f"spool_dir must be a path or None, got {self.spool_dir!r}")
        if self.on_error is not None and not callable(self.on_error):
            raise TypeError(f"on_error must be callable or None, got {self.on_error!r}")
        if self.proxies is not None and not isinstance(self.proxies, Mapping):
            raise TypeError(f"proxies must be a dict or None, got {_shown('proxies', self.proxies)}")
        if not isinstance(self.verify, (bool, str)):
            raise TypeError(f"verify must be True, False or the path of a CA bundle, got {self.verify!r}")
        _choose_protocol(self)

    @property
    def protocol(self) -> str:
        """`"v0"` or `"v1"`, after the environment was asked."""
        return self._protocol  # type: ignore[attr-defined, no-any-return]

    @property
    def compression(self) -> str | None:
        """The `Content-Encoding` in use: None, `gzip`, `deflate`, `zstd` or `br`."""
        return self._compression  # type: ignore[attr-defined, no-any-return]

    @property
    def spool_policy(self) -> str | None:
        """None without a directory, else `exit` or `always`."""
        return None if self.spool_dir is None else (self.spool or "exit")


@dataclass(frozen=True, kw_only=True)
class ErrorOptions:
    """Which exceptions become events, and what they say."""

    enable_exception_autocapture: bool = False
    """Install the hooks: sys, threading, unraisable, asyncio."""
    log_captured_exceptions: bool = False
    """Also log every captured exception, with its traceback."""
    project_root: str | os.PathLike[str] | None = None
    """Frames below it are the application's. Default: found from pyproject.toml or .git, else the working directory."""
    in_app_modules: Sequence[str] | None = None
    """Module prefixes that are the application's, wherever they lie."""
    max_frames: int = 100
    """Frames kept per exception; the cut comes out of the middle."""
    fingerprinting: Any = "client"
    """`client`, `server`, or a callable `(event) -> str | list[str] | None`."""
    exception_throttle: Any = True
    """True: per site, generous. False: none. A number: reports per minute and site after the first ones."""
    max_exception_steps_bytes: int = 32_768
    """Bytes of steps (breadcrumbs) per context; the oldest give way."""
    crash_dir: str | os.PathLike[str] | None = None
    """Directory for faulthandler's dump; a crash found there becomes an event at the next start."""
    scrub_events: bool = False
    """Also remove secrets from the properties and tags of events; those of a log record are without them in any case."""
    enable_exception_autocapture_rate_limiting: bool = False
    """Token bucket per exception class, for hooks only."""
    exception_autocapture_bucket_size: int = 50
    """Tokens, 0 to 100."""
    exception_autocapture_refill_rate: int = 10
    """Tokens added per interval."""
    exception_autocapture_refill_interval_seconds: float = 10.0
    """The interval."""

    def __post_init__(self) -> None:
        _is_bools(
            self,
            "enable_exception_autocapture",
            "log_captured_exceptions",
            "scrub_events",
            "enable_exception_autocapture_rate_limiting",
        )
        _is_ints(self, "max_frames", at_least=2)
        _is_ints(self, "max_exception_steps_bytes", "exception_autocapture_refill_rate", at_least=0)
        _is_ints(self, "exception_autocapture_bucket_size", at_least=0, at_most=100)
        _is_seconds(self, "exception_autocapture_refill_interval_seconds", more_than_zero=True)
        if not callable(self.fingerprinting):
            _is_one_of("fingerprinting", self.fingerprinting, ("client", "server"), also="or a callable")
        for name in ("project_root", "crash_dir"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, (str, os.PathLike)):
                raise TypeError(f"{name} must be a path or None, got {value!r}")
        _is_texts("in_app_modules", self.in_app_modules)
        throttle = self.exception_throttle
        if not isinstance(throttle, bool):
            _number("exception_throttle", throttle)
            if throttle <= 0:
                raise ValueError(f"exception_throttle must be True, False or a number above 0, got {throttle!r}")


@dataclass(frozen=True, kw_only=True)
class ValueOptions:
    """What is shown of the values in frames, and what is hidden."""

    capture_exception_code_variables: bool = True
    """Show values in the application's frames."""
    code_variables_mask_patterns: Sequence[str] | None = None
    """Patterns of names and values that are hidden. Default: `DEFAULT_MASK_PATTERNS`."""
    code_variables_ignore_patterns: Sequence[str] | None = None
    """Patterns of names that are left out. Default: `DEFAULT_IGNORE_PATTERNS`."""
    code_variables_mask_url_credentials: bool | None = None
    """Hide `user:password@` in addresses. None is True."""
    code_variables_detect_secrets: bool | None = None
    """Hide what looks like a key or token. None is True."""
    code_variables_time_ms: float = 5.0
    """Milliseconds of formatting on the raising thread, per event."""

    def __post_init__(self) -> None:
        _is_bools(self, "capture_exception_code_variables")
        _is_seconds(self, "code_variables_time_ms")
        for name in ("code_variables_mask_patterns", "code_variables_ignore_patterns"):
            patterns = getattr(self, name)
            _is_texts(name, patterns)
            _are_patterns(name, patterns)
        for name in ("code_variables_mask_url_credentials", "code_variables_detect_secrets"):
            if getattr(self, name) is not None:
                _is_bools(self, name)


@dataclass(frozen=True, kw_only=True)
class FlagOptions:
    """How feature flags are read."""

    poll_interval: float = 30.0
    """Seconds between loads of flag definitions."""
    enable_local_evaluation: bool = True
    """False: no definitions are loaded."""
    feature_flags_request_timeout_seconds: float = 3.0
    """Seconds one flag request may take."""
    feature_flags_request_max_retries: int = 1
    """Attempts after the first, on timeout, connection error, 502 and 504."""
    flag_fallback_cache_url: str | None = None
    """`memory://local/?ttl=300&size=10000` or `redis://...`: stale values for when the server is down."""
    flag_definition_cache_provider: Any = None
    """Shares definitions between processes (contract, flags.md §5.1)."""

    def __post_init__(self) -> None:
        _is_bools(self, "enable_local_evaluation")
        _is_seconds(self, "poll_interval", "feature_flags_request_timeout_seconds", more_than_zero=True)
        _is_ints(self, "feature_flags_request_max_retries", at_least=0)
        _is_text("flag_fallback_cache_url", self.flag_fallback_cache_url, or_none=True)


@dataclass(frozen=True, kw_only=True)
class UnservedOptions:
    """Options of the `posthog` package that phtrack takes, so that code keeps running, and does not serve yet."""

    metrics: Any = None
    traces: Any = None
    app_host: Any = None
    email_request_timeout_seconds: Any = None
    email_request_max_retries: Any = None
    migrated_from: Any = None

    def __post_init__(self) -> None:
        for one in fields(self):
            if getattr(self, one.name) is not None and one.name != "migrated_from":
                _guard.once("warning", "option %s is accepted and has no effect in phtrack yet", one.name)


@dataclass(frozen=True, kw_only=True)
class Options:
    """All options of one client, by topic."""

    project: ProjectOptions = field(default_factory=ProjectOptions)
    events: EventOptions = field(default_factory=EventOptions)
    delivery: DeliveryOptions = field(default_factory=DeliveryOptions)
    errors: ErrorOptions = field(default_factory=ErrorOptions)
    values: ValueOptions = field(default_factory=ValueOptions)
    flags: FlagOptions = field(default_factory=FlagOptions)
    unserved: UnservedOptions = field(default_factory=UnservedOptions)


_GROUPS: dict[str, type] = {
    "project": ProjectOptions,
    "events": EventOptions,
    "delivery": DeliveryOptions,
    "errors": ErrorOptions,
    "values": ValueOptions,
    "flags": FlagOptions,
    "unserved": UnservedOptions,
}
GROUP_OF: dict[str, str] = {one.name: group for group, kind in _GROUPS.items() for one in fields(kind)}
"""Option name -> group name, for all options there are."""

POSITIONAL = (
    "debug", "max_queue_size", "send", "on_error", "flush_at", "flush_interval", "gzip", "max_retries", "sync_mode",
    "timeout", "thread", "poll_interval", "personal_api_key", "disabled", "disable_geoip", "is_server",
    "historical_migration",
)  # fmt: skip
"""Names of the positional arguments after key and host, in `posthog`'s order."""


def resolve(project_api_key: Any = None, host: Any = None, *positional: Any, **named: Any) -> Options:
    """
    Check all options and put them into their groups.

    Raises:
        TypeError: unknown option, an option given twice, or a value of the wrong type.
        ValueError: a value out of range.
    """
    if len(positional) > len(POSITIONAL):
        raise TypeError(f"at most {len(POSITIONAL) + 2} positional arguments, got {len(positional) + 2}")
    for name, value in zip(POSITIONAL, positional):
        if name in named:
            raise TypeError(f"option {name!r} was given twice: {_shown(name, value)} and {_shown(name, named[name])}")
        named[name] = value
    if "api_key" in named:
        alias = named.pop("api_key")
        if project_api_key is not None and alias not in (None, project_api_key):
            raise TypeError("the project's key was given twice, as project_api_key and as api_key, and they differ")
        project_api_key = project_api_key if project_api_key is not None else alias
    named["project_api_key"] = project_api_key
    named["host"] = host
    groups: dict[str, dict[str, Any]] = {}
    for name, value in named.items():
        group = GROUP_OF.get(name)
        if group is None:
            raise TypeError(f"unknown option {name}={_shown(name, value)}{_did_you_mean(name)}")
        groups.setdefault(group, {})[name] = value
    return Options(**{group: _GROUPS[group](**given) for group, given in groups.items()})


def normalize_host(host: str | None) -> str:
    """The ingestion host for what a caller wrote: trimmed, no trailing slash, PostHog's app hosts mapped."""
    host = (host or "").strip()
    if not host:
        return DEFAULT_HOST
    host = host[:-1] if host.endswith("/") else host
    return _INGESTION_HOSTS.get(host, host)


def as_hooks(before_send: Any) -> tuple[Callable[[dict[str, Any]], dict[str, Any] | None], ...]:
    """One callable, a list of them, or None, as a tuple."""
    if before_send is None:
        return ()
    if isinstance(before_send, (list, tuple)):
        return tuple(before_send)
    return (before_send,)


# --- checks: each raises with the option's name and the value that was given ---------------------------------------


def _did_you_mean(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, GROUP_OF, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _shown(name: str, value: object) -> str:
    """*value* as it may stand in a message: no key, no password in an address."""
    import re

    return "..." if "key" in name else re.sub(r"//[^/@\s]*@", "//...@", repr(value))


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it is the check
    except ValueError:
        return False
    whole = text.isprintable() and " " not in text
    return whole and parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)


def _is_choice_of_integrations(value: object) -> None:
    if isinstance(value, str) and value != AUTO:
        raise ValueError(f"integrations must be 'auto' or a list of names, got {value!r}")
    if not isinstance(value, (str, list, tuple, set, frozenset)) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"integrations must be 'auto' or a list of names, got {value!r}")


def _is_text(name: str, value: object, *, or_none: bool = False) -> None:
    if not isinstance(value, str) and not (or_none and value is None):
        wanted = "a str or None" if or_none else "a str"
        raise TypeError(f"{name} must be {wanted}, got {type(value).__name__} {_shown(name, value)}")


def _is_texts(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"{name} must be a list of str or None, got {value!r}")


def _are_patterns(name: str, patterns: Sequence[str] | None) -> None:
    import re

    for pattern in patterns or ():
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{name} holds {pattern!r}, which is no regular expression: {error}") from None


def _is_bools(group: object, *names: str) -> None:
    for name in names:
        value = getattr(group, name)
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {value!r}")


_LONGEST = 1e9
"""Seconds, some thirty years: what every lock and socket can wait for. Infinity is not."""


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise TypeError(f"{name} must be a number, got {value!r}")


def _is_ints(group: object, *names: str, at_least: int, at_most: int | None = None) -> None:
    for name in names:
        value = getattr(group, name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be a whole number, got {value!r}")
        if value < at_least or (at_most is not None and value > at_most):
            limit = f"{at_least} or more" if at_most is None else f"{at_least} to {at_most}"
            raise ValueError(f"{name} must be {limit}, got {value!r}")


def _is_seconds(group: object, *names: str, more_than_zero: bool = False) -> None:
    for name in names:
        value = getattr(group, name)
        _number(name, value)
        if value < 0 or (more_than_zero and value == 0):
            raise ValueError(f"{name} must be {'above 0' if more_than_zero else '0 or more'}, got {value!r}")
        if value > _LONGEST:
            raise ValueError(f"{name} must be {_LONGEST:.0f} or less, got {value!r}")


def _is_one_of(name: str, value: object, choices: tuple[str, ...], *, also: str = "") -> None:
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        kind = ValueError if isinstance(value, str) else TypeError
        raise kind(f"{name} must be one of {listed}{' ' + also if also else ''}, got {value!r}")


_PROTOCOLS = {"v0": "v0", "legacy": "v0", "v1": "v1", "analytics_v1": "v1"}
_COMPRESSIONS = {"none": None, "identity": None, "gzip": "gzip", "deflate": "deflate", "zstd": "zstd", "br": "br"}
_COMPRESSION_PACKAGES = {"zstd": "zstandard", "br": "brotli"}


def _choose_protocol(options: DeliveryOptions) -> None:
    """Explicit argument, then environment, then default: a bad argument raises, a bad variable is said once and ignored."""
    protocol = _choice("capture_mode", options.capture_mode, "POSTHOG_CAPTURE_MODE", _PROTOCOLS, "v0")
    fallback = "gzip" if options.gzip else "none"
    compression = _choice(
        "capture_compression", options.capture_compression, "POSTHOG_CAPTURE_COMPRESSION", _COMPRESSIONS, fallback
    )
    if protocol == "v0":
        compression = "gzip" if options.gzip else None
    package = _COMPRESSION_PACKAGES.get(compression or "")
    if package and not _importable(package):
        if options.capture_compression is not None:
            raise ValueError(
                f"capture_compression={compression!r} needs the package {package!r}, which is not installed"
            )
        _guard.once("warning", "POSTHOG_CAPTURE_COMPRESSION=%s needs the package %s; using gzip", compression, package)
        compression = "gzip"
    object.__setattr__(options, "_protocol", protocol)
    object.__setattr__(options, "_compression", compression)


def _choice(name: str, given: Any, variable: str, choices: Mapping[str, Any], default: str) -> Any:
    if given is not None:
        word = getattr(given, "value", given)
        if isinstance(word, str) and word.strip().lower() in choices:
            return choices[word.strip().lower()]
        kind = ValueError if isinstance(word, str) else TypeError
        raise kind(f"{name} must be one of {', '.join(choices)}, got {given!r}")
    word = os.environ.get(variable, "").strip().lower()
    if word and word not in choices:
        _guard.once("warning", "%s=%r is none of %s; ignored", variable, word, ", ".join(choices))
        word = ""
    return choices[word or default]


def _importable(package: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False
