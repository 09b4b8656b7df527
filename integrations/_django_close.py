"""
The end of a Django request: `response.close()`, which the server calls, and which sends `request_finished`.

What a receiver of that signal raises goes to the server, past every middleware. Django tells nobody, so this one method is
patched, by `django.install` only.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from django.http.response import HttpResponseBase

from phtrack import _guard

if TYPE_CHECKING:
    from collections.abc import Callable


def watch(failed: Callable[[Any, Exception], None]) -> Callable[[], None]:
    """Call *failed* with the response and the error when closing one fails, and return a function that stops it."""
    close = HttpResponseBase.close

    @wraps(close)
    def watched(self: Any) -> Any:
        __tracebackhide__ = True
        try:
            return close(self)
        except Exception as error:
            with _guard.shield("capturing an error at the end of a Django request"):
                failed(self, error)
            raise

    def undo() -> None:
        if HttpResponseBase.close is watched:
            HttpResponseBase.close = close

    HttpResponseBase.close = watched
    return undo
