"""
Django Channels: what escapes a consumer is one event, in the context of its connection.

    install() -> undo, install_auto() -> undo

One context from connect to disconnect, with the user of the scope and the tracing headers. Consumers are called by one method
of Channels, which has no extension point of its own: that is patched.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from channels.consumer import AsyncConsumer

import phtrack
from phtrack import _guard

from . import _http, asgi
from ._http import HttpOptions

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

SOURCE = "channels.consumer"

_installed: list[Callable[[], None]] = []


def install(**http: Any) -> Callable[[], None]:
    """
    Report errors of all consumers, and return a function that stops it.

    Args:
        http: Fields of `HttpOptions`.

    Raises:
        TypeError: an option that there is not.

    Installing again changes nothing and returns the same function.
    """
    if _installed:
        return _installed[0]
    options = HttpOptions(**http)
    call = AsyncConsumer.__call__

    @wraps(call)
    async def watched(self: Any, scope: Any, receive: Any, send: Any) -> Any:
        __tracebackhide__ = True
        with phtrack.new_context(capture_exceptions=False, client=options.client, shared=True):
            with _guard.shield("reading the scope of a consumer"):
                _enter(self, scope, options)
            try:
                return await call(self, scope, receive, send)
            except Exception as error:
                with _guard.shield("capturing what left a consumer"):
                    if not asgi.is_disconnect(error):
                        _http.capture(error, options, source=SOURCE)
                raise

    def undo() -> None:
        if AsyncConsumer.__call__ is watched:
            AsyncConsumer.__call__ = call
        _installed.clear()

    AsyncConsumer.__call__ = watched
    _installed.append(undo)
    return undo


def install_auto() -> Callable[[], None]:
    """The same for the default client."""
    return install()


def _enter(consumer: Any, scope: MutableMapping[str, Any], options: HttpOptions) -> None:
    kind = type(consumer)
    extra = {"consumer": f"{kind.__module__}.{kind.__qualname__}", "channel": scope.get("channel")}
    if scope.get("type") in ("http", "websocket"):
        _http.enter_request(asgi.facts(scope), options, user_id=_user_of(scope), extra=extra)
    else:
        _http.tell(extra)


def _user_of(scope: MutableMapping[str, Any]) -> Any:
    """The id of the scope's user, which `AuthMiddleware` has loaded by now; nobody else's lazy object is woken for us."""
    user = scope.get("user")
    if user is None or (hasattr(user, "_wrapped") and not hasattr(user._wrapped, "pk")):
        return None
    return user.pk if getattr(user, "is_authenticated", False) is True else None
