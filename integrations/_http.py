"""
What all web integrations share: which facts of a request are told, whose request it is, and the context around it.

    headers, peer, URL -> RequestFacts -> request_context -> tags, ids and one capture of what escapes

Headers come from strangers: they are analytics data, never authentication. Rules: wire contract, context-and-headers.md §2, §3.
Query strings, bodies and cookies are not told unless asked for.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import phtrack
from phtrack import _guard
from phtrack.contexts import (
    carry,
    current_tags,
    get_context_distinct_id,
    get_context_session_id,
    identify_context,
    set_context_session,
    set_tags,
    tag_all,
)

if TYPE_CHECKING:
    from phtrack import Client

DISTINCT_ID_HEADER = "x-posthog-distinct-id"
SESSION_ID_HEADER = "x-posthog-session-id"

MAX_TEXT = 1_000
MAX_PATH = 2_048
MAX_METHOD = 32
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

SHOWN_HEADERS = (
    "accept",
    "accept-language",
    "content-length",
    "content-type",
    "host",
    "origin",
    "referer",
    "x-request-id",
)
"""Headers that `HttpOptions.headers` names by default once headers are asked for; none of them carries a secret by design."""

GetHeader = Callable[[str], Any]
"""Header name in lower case -> its first value as str or bytes, or None."""


@dataclass(frozen=True, kw_only=True)
class HttpOptions:
    """What a web integration does with requests; the same names in every integration."""

    client: Client | None = None
    """Captures what escapes; default the default client."""
    capture_exceptions: bool | None = None
    """False: only the context, no captures."""
    capture_tracing_headers: bool = True
    """Read PostHog's distinct id and session id headers."""
    prefer_authenticated_user: bool = False
    """True: the framework's logged-in user beats the distinct id header."""
    headers: Sequence[str] = ()
    """Names of request headers that are told (as `$request_headers`), e.g. `SHOWN_HEADERS`. Default none."""
    trusted_proxies: Sequence[str] = ()
    """Networks such as `10.0.0.0/8` whose `X-Forwarded-For` is believed. Default none: the peer's address is told."""
    capture_body: bool = False
    """Tell form fields and JSON bodies that the application has read already, bounded and scrubbed."""
    capture_email: bool = False
    """Tell the logged-in user's e-mail address."""


def headers_wanted(capture_tracing_headers: Any, trust_tracing_headers: Any = None) -> bool:
    """Whether tracing headers are read: by the new name of the option, else its deprecated one, else True. No bool is False."""
    for given in (capture_tracing_headers, trust_tracing_headers):
        if given is not None:
            return given is True
    return True


def clean_text(value: Any, limit: int = MAX_TEXT) -> str | None:
    """
    Text from a request as it may be told: no control characters, trimmed, cut; None if nothing is left or it is no text.

    Bytes are latin-1, as HTTP has them. Never raises.
    """
    try:
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if not isinstance(value, str):
            return None
        if len(value) <= limit and value.isprintable():
            return value.strip() or None
        return _CONTROL.sub("", value[: limit * 4]).strip()[:limit] or None
    except Exception:
        return None


@dataclass(kw_only=True)
class RequestFacts:
    """What is known of one request. Missing values are None, and then absent from events."""

    method: Any = None
    url: Any = None
    """With scheme and host, or a function that makes it; a query string is cut off."""
    path: Any = None
    route: Any = None
    """The route's pattern, e.g. `/orders/<int:id>`, or a function that knows it by the time it is asked."""
    get_header: GetHeader = field(default=lambda name: None)
    peer: Any = None
    """The address of the other end of the connection."""
    lasting: bool = False
    """True if all of this can still be read when the request is over; then it is read when an event asks for it."""

    def tags(self, options: HttpOptions) -> dict[str, Any]:
        """The request as properties of every event in its context."""
        agent = clean_text(_header(self, "user-agent"))
        found: dict[str, Any] = {
            "$current_url": clean_text(_without_query(self.url() if callable(self.url) else self.url), MAX_PATH),
            "$request_method": clean_text(self.method, MAX_METHOD),
            "$request_path": clean_text(_without_query(self.path), MAX_PATH),
            "$request_route": clean_text(self.route() if callable(self.route) else self.route, MAX_PATH),
            "$ip": self._address(options),
            "$user_agent": agent,
            "$raw_user_agent": agent,
        }
        if options.headers:
            shown = {name.lower(): clean_text(_header(self, name.lower())) for name in options.headers}
            found["$request_headers"] = {name: value for name, value in shown.items() if value is not None} or None
        return {name: value for name, value in found.items() if value is not None}

    def _address(self, options: HttpOptions) -> str | None:
        peer = clean_text(self.peer, 100)
        if not options.trusted_proxies or not _within(peer, options.trusted_proxies):
            return peer
        hops = [hop.strip() for hop in (clean_text(_header(self, "x-forwarded-for")) or "").split(",")]
        # The nearest hop that is no proxy of ours is the one that a proxy of ours vouches for.
        for hop in reversed(hops):
            if hop and not _within(hop, options.trusted_proxies):
                return hop[:100]
        return peer


def _header(facts: RequestFacts, name: str) -> Any:
    """The first value of a header; an error while reading is a missing header."""
    try:
        return facts.get_header(name)
    except Exception:
        return None


def _without_query(url: Any) -> Any:
    """An address without what stands behind `?` or `#`, nor credentials in front of the host."""
    if isinstance(url, bytes):
        url = url.decode("latin-1")
    if not isinstance(url, str):
        return None
    if "?" in url or "#" in url:
        url = re.split(r"[?#]", url, maxsplit=1)[0]
    return re.sub(r"^(\w{1,31}://)[^/@]*@", r"\1", url) if "@" in url else url


def _within(address: str | None, networks: Sequence[str]) -> bool:
    try:
        return address is not None and any(
            ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False) for network in networks
        )
    except ValueError:
        return False


def tracing_ids(get_header: GetHeader) -> tuple[str | None, str | None]:
    """Distinct id and session id of PostHog's tracing headers, sanitised."""

    def read(name: str) -> str | None:
        try:
            return clean_text(get_header(name))
        except Exception:
            return None

    return read(DISTINCT_ID_HEADER), read(SESSION_ID_HEADER)


def distinct_id_for(header_id: str | None, user_id: Any, options: HttpOptions) -> str | None:
    """Whose request it is: the header's id or the logged-in user's, as the options prefer; None for nobody."""
    user = clean_text(user_id if isinstance(user_id, (str, bytes)) or user_id is None else str(user_id))
    return (user or header_id) if options.prefer_authenticated_user else (header_id or user)


@contextmanager
def request_context(
    facts: RequestFacts,
    options: HttpOptions,
    *,
    user_id: Any = None,
    extra: Mapping[str, Any] | None = None,
    fresh: bool = False,
) -> Iterator[None]:
    """
    The context of one request: ids and tags set, shared between the request's own threads and tasks.

    Does not capture: an integration captures at the framework's own boundary, where it knows the status and the route. What
    the facts fail on is left out; the request itself is never disturbed.
    """
    with phtrack.new_context(fresh=fresh, capture_exceptions=False, client=options.client, shared=True):
        enter_request(facts, options, user_id=user_id, extra=extra)
        yield


def open_request(
    facts: RequestFacts,
    options: HttpOptions,
    *,
    user_id: Any = None,
    extra: Mapping[str, Any] | None = None,
    fresh: bool = False,
) -> carry:
    """
    `request_context` that can be entered again, any number of times, by one piece of code after the other: for a body that is
    streamed when the application's function is long over.

    *facts* are read now. *fresh* cuts what surrounds it, but for the switches that say which values are shown.
    """
    with phtrack.new_context(
        fresh=fresh, capture_exceptions=False, client=options.client, shared=True, keep_switches=True
    ):
        enter_request(facts, options, user_id=user_id, extra=extra)
        return carry()


def enter_request(
    facts: RequestFacts, options: HttpOptions, *, user_id: Any = None, extra: Mapping[str, Any] | None = None
) -> None:
    """Put a request's ids and tags into the current context."""
    try:
        header_id, session_id = tracing_ids(facts.get_header) if options.capture_tracing_headers else (None, None)
        who = distinct_id_for(header_id, user_id, options)
        if who is not None:
            identify_context(who)
        if session_id is not None:
            set_context_session(session_id)
        tags = _RequestTags(current_tags(), facts, options, extra)
        set_tags(tags if facts.lasting else tags.read())
    except Exception as error:
        _guard.swallowed("reading a request", error)


class _RequestTags(Mapping[str, Any]):
    """The tags of a request, made of its facts when something asks for them: most requests end without an event."""

    __slots__ = ("_about", "_tags")

    def __init__(
        self, before: Mapping[str, Any], facts: RequestFacts, options: HttpOptions, extra: Mapping[str, Any] | None
    ) -> None:
        self._about: tuple[Any, ...] | None = (before, facts, options, extra)
        self._tags: dict[str, Any] = {}

    @property
    def finds_route(self) -> bool:
        """True while nobody has asked, if the facts will know the route by then."""
        return self._about is not None and callable(self._about[1].route)

    def read(self) -> dict[str, Any]:
        """All tags, as a dict. What can't be read is left out: an event that asks is not lost for it."""
        about = self._about
        if about is not None:
            before, facts, options, extra = about
            tags = dict(before)
            with _guard.shield("reading a request"):
                tags.update(facts.tags(options))
            if extra:
                with _guard.shield("reading a request's extra properties"):
                    tags.update((name, value) for name, value in extra.items() if value is not None)
            self._tags = tags
            self._about = None
        return self._tags

    def __getitem__(self, name: str) -> Any:
        return self.read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.read())

    def __len__(self) -> int:
        return len(self.read())


def forget_request() -> None:
    """Take ids and tags out of the current context again: the application wants this request left alone."""
    identify_context(None)
    set_context_session(None)
    set_tags({})


def forget_tracing_ids(get_header: GetHeader) -> None:
    """Take the ids of tracing headers out of the current context again: the application wants none read."""
    header_id, session_id = tracing_ids(get_header)
    if header_id is not None and get_context_distinct_id() == header_id:
        identify_context(None)
    if session_id is not None and get_context_session_id() == session_id:
        set_context_session(None)


def tell_route(route: Any) -> None:
    """Add the route's pattern to the current context; tags that nobody has read yet find it by themselves (`RequestFacts.route`)."""
    tags = current_tags()
    if not (isinstance(tags, _RequestTags) and tags.finds_route):
        tell({"$request_route": clean_text(route, MAX_PATH)})


def tell(tags: Mapping[str, Any]) -> None:
    """Add *tags* to the current context; missing values are left out."""
    tag_all({name: value for name, value in tags.items() if value is not None})


MAX_BODY = 10_000


def note_body(*, form: Any = None, raw: Any = None, content_type: Any = None) -> None:
    """
    Note what the application has read of the body as a step, which is scrubbed, and which only exceptions carry.

    Args:
        form: The form's fields as a mapping, files not among them.
        raw: The body's bytes. Only JSON of at most `MAX_BODY` bytes is told: what is no data can't be scrubbed.
    """
    if isinstance(form, Mapping):
        fields = {str(name)[:200]: _bounded(value) for name, value in list(form.items())[:100]}
        phtrack.step("request body", kind="request", form=fields)
    elif isinstance(raw, bytes) and 0 < len(raw) <= MAX_BODY and "json" in (clean_text(content_type) or ""):
        try:
            read = json.loads(raw)
        except (ValueError, RecursionError):
            return
        phtrack.step("request body", kind="request", json=read)


def note_raw_body(raw: bytes, content_type: Any) -> None:
    """`note_body` for frameworks whose body is only known as bytes: a form in a URL's encoding, or JSON."""
    if "x-www-form-urlencoded" in (clean_text(content_type) or ""):
        if len(raw) <= MAX_BODY:
            from urllib.parse import parse_qs

            form = parse_qs(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=1_000)
            note_body(form={name: values[0] if len(values) == 1 else values for name, values in form.items()})
    else:
        note_body(raw=raw, content_type=content_type)


def _bounded(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_bounded(one) for one in value[:20]]
    return value[:MAX_TEXT] if isinstance(value, str) else value if isinstance(value, (int, float, bool)) else None


def captures(options: HttpOptions) -> bool:
    """True if errors are to be captured; left open in the options, it is as the client's `enable_exception_autocapture` says."""
    if options.capture_exceptions is not None:
        return options.capture_exceptions
    client = options.client or phtrack.setup()
    return client.options.errors.enable_exception_autocapture


def answer_of(what: str, ask: Callable[..., Any], *args: Any) -> Any:
    """What a user's callback says; None if it raises, which is said in the log and nowhere else."""
    try:
        return ask(*args)
    except Exception as error:
        _guard.say("warning", "%s raised %s; the request goes on without it", what, type(error).__name__, every=60)
        return None


def capture(
    exception: BaseException,
    options: HttpOptions,
    *,
    source: str,
    handled: bool = False,
    mechanism: str = "middleware",
    level: str = "error",
    status: int | None = None,
    route: Any = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Capture *exception* at a framework's boundary, with what only the boundary knows; *more* are further properties."""
    if options.capture_exceptions is False:
        return
    properties: dict[str, Any] = dict(more or {})
    if status is not None:
        properties["$response_status_code"] = status
    if route is not None:
        properties["$request_route"] = clean_text(route, MAX_PATH)
    target: Any = options.client or phtrack
    target.capture_exception(
        exception, properties=properties, source=source, handled=handled, mechanism_type=mechanism, level=level
    )
