"""urllib.request: a step for each HTTP request, and tracing headers for chosen hosts. Wraps `AbstractHTTPHandler.do_open`, which all go through."""

from __future__ import annotations

from collections import ChainMap
from typing import TYPE_CHECKING, Any

from ._outbound import outgoing, propagate_to, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def install(propagate: Iterable[str] | None = None) -> Callable[[], None]:
    """
    Note every HTTP request, each one of a chain of redirects too. Returns the undo.

    Args:
        propagate: Exact hosts that get PostHog's tracing headers; see `_outbound.propagate_to`.
    """
    from urllib.request import AbstractHTTPHandler

    if propagate is not None:
        propagate_to(propagate)
    return replace(AbstractHTTPHandler, "do_open", _wrap)


install_auto = install


def _wrap(do_open: Any) -> Any:
    def wrapper(self: Any, http_class: Any, req: Any, **http_conn_args: Any) -> Any:
        # The first mapping is the one that is added to; the second has what the caller asked for.
        headers: ChainMap[str, Any] = ChainMap(req.unredirected_hdrs, req.headers)
        with outgoing(req.get_method(), req.full_url, headers) as sent:
            response = do_open(self, http_class, req, **http_conn_args)
            sent.status = getattr(response, "status", None)
            return response

    return wrapper
