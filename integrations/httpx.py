"""httpx: a step for each request, and tracing headers for chosen hosts. Wraps what both clients send with, their transports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._outbound import outgoing, propagate_to, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def install(propagate: Iterable[str] | None = None) -> Callable[[], None]:
    """
    Note every request of every client, sync and async, each one of a chain of redirects too. Returns the undo.

    Args:
        propagate: Exact hosts that get PostHog's tracing headers; see `_outbound.propagate_to`.
    """
    import httpx

    if propagate is not None:
        propagate_to(propagate)
    undos = [
        replace(httpx.HTTPTransport, "handle_request", _wrap),
        replace(httpx.AsyncHTTPTransport, "handle_async_request", _wrap_async),
    ]

    def undo() -> None:
        for one in undos:
            one()

    return undo


install_auto = install


def _wrap(handle: Any) -> Any:
    def wrapper(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        with outgoing(request.method, request.url, request.headers) as sent:
            response = handle(self, request, *args, **kwargs)
            sent.status = response.status_code
            return response

    return wrapper


def _wrap_async(handle: Any) -> Any:
    async def wrapper(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        with outgoing(request.method, request.url, request.headers) as sent:
            response = await handle(self, request, *args, **kwargs)
            sent.status = response.status_code
            return response

    return wrapper
