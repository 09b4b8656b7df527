"""httpx: a step for each request, and tracing headers for chosen hosts. Wraps `send` of both clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._outbound import propagate_to, replace, start, tracing_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def install(propagate: Iterable[str] | None = None) -> Callable[[], None]:
    """Note every request of every client, sync and async. Returns the undo. *propagate*: see `_outbound.propagate_to`."""
    import httpx

    if propagate is not None:
        propagate_to(propagate)
    undos = [replace(httpx.Client, "send", _wrap), replace(httpx.AsyncClient, "send", _wrap_async)]

    def undo() -> None:
        for one in undos:
            one()

    return undo


install_auto = install


def _add_headers(request: Any) -> None:
    for name, value in tracing_headers(request.url).items():
        request.headers.setdefault(name, value)


def _wrap(send: Any) -> Any:
    def wrapper(self: Any, request: Any, **kwargs: Any) -> Any:
        call = start(request.method, request.url)
        if call is None:
            return send(self, request, **kwargs)
        _add_headers(request)
        try:
            response = send(self, request, **kwargs)
        except BaseException as error:
            call.end(error=error)
            raise
        call.end(response.status_code)
        return response

    return wrapper


def _wrap_async(send: Any) -> Any:
    async def wrapper(self: Any, request: Any, **kwargs: Any) -> Any:
        call = start(request.method, request.url)
        if call is None:
            return await send(self, request, **kwargs)
        _add_headers(request)
        try:
            response = await send(self, request, **kwargs)
        except BaseException as error:
            call.end(error=error)
            raise
        call.end(response.status_code)
        return response

    return wrapper
