"""urllib.request: a step for each opened address. Wraps `OpenerDirector.open`, which `urlopen` goes through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._outbound import propagate_to, replace, start, tracing_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def install(propagate: Iterable[str] | None = None) -> Callable[[], None]:
    """Note every address that is opened. Returns the undo. *propagate*: see `_outbound.propagate_to`."""
    from urllib.request import OpenerDirector

    if propagate is not None:
        propagate_to(propagate)
    return replace(OpenerDirector, "open", _wrap)


install_auto = install


def _wrap(open_: Any) -> Any:
    def wrapper(self: Any, fullurl: Any, *args: Any, **kwargs: Any) -> Any:
        url = fullurl if isinstance(fullurl, str) else fullurl.full_url
        method = "GET" if isinstance(fullurl, str) else fullurl.get_method()
        call = start(method, url) if url.startswith(("http:", "https:")) else None
        if call is None:
            return open_(self, fullurl, *args, **kwargs)
        headers = tracing_headers(url)
        if headers:
            from urllib.request import Request

            if isinstance(fullurl, str):
                fullurl = Request(fullurl)
            for name, value in headers.items():
                if not fullurl.has_header(name.capitalize()):
                    fullurl.add_header(name, value)
        try:
            response = open_(self, fullurl, *args, **kwargs)
        except BaseException as error:
            call.end(getattr(error, "code", None), error)
            raise
        call.end(response.status)
        return response

    return wrapper
