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
    from collections.abc import Callable, Iterable

MAX_PATH = 300
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
    """The headers that a request to *url* carries from the current context; usually none. Never raises."""
    if not _hosts:
        return {}
    try:
        if (urlsplit(str(url)).hostname or "").lower() not in _hosts:
            return {}
    except ValueError:
        return {}
    found = {"X-POSTHOG-DISTINCT-ID": get_context_distinct_id(), "X-POSTHOG-SESSION-ID": get_context_session_id()}
    return {name: value for name, value in found.items() if value is not None}


class Call:
    """One outgoing call, from its start to its step. Use `start`; `end` may be called once, from anywhere."""

    __slots__ = ("_method", "_started", "_url")

    def __init__(self, method: Any, url: Any) -> None:
        self._method = method
        self._url = url
        self._started = perf_counter()

    def end(self, status: int | None = None, error: BaseException | None = None) -> None:
        """Note the step. Never raises."""
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


def start(method: Any, url: Any) -> Call | None:
    """Begin a call; None when it is phtrack's own and must not be noted."""
    return None if _guard.is_quiet() else Call(method, url)


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
