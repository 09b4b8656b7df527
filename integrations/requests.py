"""requests: a step for each request, and tracing headers for chosen hosts. Wraps `Session.send`; requests has no hook for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._outbound import propagate_to, replace, start, tracing_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def install(propagate: Iterable[str] | None = None) -> Callable[[], None]:
    """
    Note every request of every session. Returns the undo.

    Args:
        propagate: Exact hosts that get PostHog's tracing headers; see `_outbound.propagate_to`.
    """
    import requests

    if propagate is not None:
        propagate_to(propagate)
    return replace(requests.Session, "send", _wrap)


install_auto = install


def _wrap(send: Any) -> Any:
    def wrapper(self: Any, request: Any, **kwargs: Any) -> Any:
        call = start(request.method, request.url)
        if call is None:
            return send(self, request, **kwargs)
        for name, value in tracing_headers(request.url).items():
            request.headers.setdefault(name, value)
        try:
            response = send(self, request, **kwargs)
        except BaseException as error:
            call.end(error=error)
            raise
        call.end(response.status_code)
        return response

    return wrapper
