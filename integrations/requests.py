"""requests: a step for each request, and tracing headers for chosen hosts. Wraps `HTTPAdapter.send`; requests has no hook for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._outbound import outgoing, propagate_to, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def install(propagate: Iterable[str] | None = None) -> Callable[[], None]:
    """
    Note every request of every session, each one of a chain of redirects too. Returns the undo.

    Args:
        propagate: Exact hosts that get PostHog's tracing headers; see `_outbound.propagate_to`.
    """
    from requests.adapters import HTTPAdapter

    if propagate is not None:
        propagate_to(propagate)
    return replace(HTTPAdapter, "send", _wrap)


install_auto = install


def _wrap(send: Any) -> Any:
    def wrapper(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        with outgoing(request.method, request.url, request.headers) as sent:
            response = send(self, request, *args, **kwargs)
            sent.status = getattr(response, "status_code", None)
            return response

    return wrapper
