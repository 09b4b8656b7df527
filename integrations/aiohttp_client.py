"""
aiohttp's client: a step for each request, through its own tracing interface, which every session gets when it is made.

Redirects are followed inside of a request: its step has the address that was asked for, and the last status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from phtrack import _guard

from ._outbound import Call, propagate_to, replace, tracing_headers

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
    config.on_request_redirect.append(_redirected)
    config.on_request_end.append(_ended)
    config.on_request_exception.append(_failed)
    return config


def _wrap(init: Any) -> Any:
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        kwargs["trace_configs"] = [*(kwargs.get("trace_configs") or ()), trace_config()]
        init(self, *args, **kwargs)

    return wrapper


async def _started(session: Any, about: Any, params: Any) -> None:
    about.phtrack_call = Call(params.method, params.url, noted=not _guard.is_quiet())
    about.phtrack_headers = _add_headers(params.headers, params.url)


async def _redirected(session: Any, about: Any, params: Any) -> None:
    """The next request has the same headers; ours only if its host is a chosen one too."""
    for name in getattr(about, "phtrack_headers", ()):
        params.headers.pop(name, None)
    target = params.response.headers.get("Location") or params.response.headers.get("URI") or ""
    about.phtrack_headers = _add_headers(params.headers, urljoin(str(params.url), target))


async def _ended(session: Any, about: Any, params: Any) -> None:
    call = getattr(about, "phtrack_call", None)
    if call is not None:
        call.end(params.response.status)


async def _failed(session: Any, about: Any, params: Any) -> None:
    call = getattr(about, "phtrack_call", None)
    if call is not None:
        call.end(error=params.exception)


def _add_headers(headers: Any, url: Any) -> list[str]:
    """Add tracing headers for a chosen host, and tell which: not those that the application has set."""
    if not _guard.is_quiet():
        with _guard.shield("adding tracing headers"):
            added = {name: value for name, value in tracing_headers(url).items() if name not in headers}
            headers.update(added)
            return list(added)
    return []
