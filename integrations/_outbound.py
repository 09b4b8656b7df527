"""
What all clients of other services share: a step for each call, and PostHog's tracing headers for chosen hosts.

    call -> step "GET api.example.com/orders -> 200" (method, host, path without query, status, milliseconds)

Calls that phtrack itself makes are never noted. Tracing headers leave only for hosts that were named exactly, since they
tell a user's id.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from phtrack import _guard
from phtrack.contexts import get_context_distinct_id, get_context_session_id, step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping

DISTINCT_ID = "X-posthog-distinct-id"
SESSION_ID = "X-posthog-session-id"
"""The tracing headers, in the letters that urllib knows headers by; to all others they are the same in any."""
MAX_PATH = 300
MAX_ID = 1_000
_hosts: frozenset[str] = frozenset()


def propagate_to(hosts: Iterable[str]) -> None:
    """
    Send PostHog's distinct id and session id headers along with requests to these *hosts*, and to no others.

    Args:
        hosts: Exact host names, e.g. `["api.example.com"]`; empty turns it off.
    """
    global _hosts
    _hosts = frozenset(host.lower() for host in hosts)


def tracing_headers(url: Any) -> dict[str, str]:
    """
    The headers that a request to *url* carries from the current context; usually none. Never raises.

    An id that is no plain text stays here: clients refuse a request with such a header.
    """
    if not _hosts:
        return {}
    try:
        if (urlsplit(str(url)).hostname or "").lower() not in _hosts:
            return {}
    except ValueError:
        return {}
    found = {DISTINCT_ID: get_context_distinct_id(), SESSION_ID: get_context_session_id()}
    return {name: value for name, value in found.items() if value is not None and _fits(value)}


def _fits(value: str) -> bool:
    return len(value) <= MAX_ID and value.isascii() and value.isprintable() and value == value.strip()


class Call:
    """One outgoing call, from its start to its step. `end` may be called once, from anywhere; does nothing if *noted* is False."""

    __slots__ = ("_method", "_noted", "_started", "_url")

    def __init__(self, method: Any, url: Any, noted: bool = True) -> None:
        self._method = method
        self._url = url
        self._noted = noted
        self._started = perf_counter()

    def end(self, status: int | None = None, error: BaseException | None = None) -> None:
        """Note the step. Never raises."""
        if not self._noted:
            return
        with _guard.shield("noting an outgoing call"):
            took = (perf_counter() - self._started) * 1000
            parts = urlsplit(str(self._url))
            host = (parts.hostname or "?")[:200] + (f":{parts.port}" if parts.port else "")
            method = str(self._method).upper()[:16]
            about: dict[str, Any] = {"kind": "http", "method": method, "host": host, "path": parts.path[:MAX_PATH]}
            if status is not None:
                about["status"] = status
            if error is not None:
                about["error"] = type(error).__name__
            outcome = status if status is not None else about.get("error", "?")
            step(f"{method} {host}{parts.path[:MAX_PATH]} -> {outcome}", ms=round(took, 1), **about)


class outgoing:  # noqa: N801 - reads as a statement: `with outgoing(...):`
    """
    One request on its way to one host: a step at its end, and tracing headers while it is sent.

        with outgoing(request.method, request.url, request.headers) as sent:
            response = send(request)
            sent.status = response.status_code

    The headers are gone again from the request afterwards, which clients copy for a redirect to another host, and which an
    application may send again for another user. phtrack's own calls are neither noted nor given headers.
    """

    __slots__ = ("_added", "_call", "_headers", "_url", "status")

    def __init__(self, method: Any, url: Any, headers: MutableMapping[str, Any]) -> None:
        self.status: int | None = None
        """The status of the response, once there is one."""
        self._url = url
        self._headers = headers
        self._added: dict[str, str] = {}
        self._call = Call(method, url, noted=not _guard.is_quiet())

    def __enter__(self) -> outgoing:
        if not _guard.is_quiet():
            with _guard.shield("adding tracing headers"):
                self._added = {
                    name: value for name, value in tracing_headers(self._url).items() if name not in self._headers
                }
                self._headers.update(self._added)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, tb: Any) -> None:
        with _guard.shield("removing tracing headers"):
            for name in self._added:
                self._headers.pop(name, None)
        self._call.end(self.status, error)


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> Callable[[], None]:
    """
    Put ``make(original)`` in the place of a method, once. Answers with the undo, which leaves a place alone that somebody
    else has wrapped since.
    """
    original = getattr(owner, name)
    if getattr(original, "_phtrack_undo", None) is not None:
        undo: Callable[[], None] = original._phtrack_undo
        return undo
    from functools import wraps

    ours: Any = wraps(original)(make(original))

    def put_back() -> None:
        if owner.__dict__.get(name) is ours:
            setattr(owner, name, original)

    ours._phtrack_undo = put_back
    setattr(owner, name, ours)
    return put_back
