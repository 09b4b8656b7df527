"""aiohttp's client: a step for each request, through its own tracing interface, which every session gets when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._outbound import propagate_to, replace, start, tracing_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def install(propagate: Iterable[str] | None = None) -> Callable[[], None]:
    """Note every request of sessions made from now on. Returns the undo. *propagate*: see `_outbound.propagate_to`."""
    import aiohttp

    if propagate is not None:
        propagate_to(propagate)
    return replace(aiohttp.ClientSession, "__init__", _wrap)


install_auto = install


def trace_config() -> Any:
    """A `TraceConfig` that notes the requests of the session it is given to."""
    import aiohttp

    config = aiohttp.TraceConfig()
    config.on_request_start.append(_started)
    config.on_request_end.append(_ended)
    config.on_request_exception.append(_failed)
    return config


def _wrap(init: Any) -> Any:
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        kwargs["trace_configs"] = [*(kwargs.get("trace_configs") or ()), trace_config()]
        init(self, *args, **kwargs)

    return wrapper


async def _started(session: Any, about: Any, params: Any) -> None:
    about.phtrack_call = start(params.method, params.url)
    for name, value in tracing_headers(params.url).items():
        params.headers.setdefault(name, value)


async def _ended(session: Any, about: Any, params: Any) -> None:
    call = getattr(about, "phtrack_call", None)
    if call is not None:
        call.end(params.response.status)


async def _failed(session: Any, about: Any, params: Any) -> None:
    call = getattr(about, "phtrack_call", None)
    if call is not None:
        call.end(error=params.exception)
