"""
Django: a context around each request, and one event for what Django answers with "server error".

    MIDDLEWARE = ["phtrack.integrations.django.PosthogContextMiddleware", ...]      settings POSTHOG_MW_*
    install() -> undo, install_auto() -> undo                                       no settings needed

Errors are captured where Django itself calls them errors (`_django_errors`). Only a streamed body fails later, in the server's
hands; it is watched through the response (`_django_visit`). For `install`, Django has no extension point that reaches every
handler but the setting: the middleware is added to it while a handler loads, by one patched method. Django's commands, database
and tasks have modules of their own (`django_commands`, ...). Rules: wire contract, context-and-headers.md §4.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.utils.module_loading import import_string

from ._django_errors import report_all
from ._django_middleware import PosthogContextMiddleware
from ._django_request import options_from_settings
from ._http import HttpOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.http import HttpRequest

    from ._django_visit import Visit

__all__ = ["Installed", "PosthogContextMiddleware", "install", "install_auto"]


class _Installation:
    """What `install` was given."""

    def __init__(self, functions: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        self.functions = functions
        self.changes = changes
        self.undo: Callable[[], None] = _nothing


def _nothing() -> None:
    """No undo yet."""


_installation: _Installation | None = None


class Installed(PosthogContextMiddleware):
    """The middleware that `install` adds: options of `install`, else the settings; out of the way after its undo."""

    def _configure(self) -> None:
        super()._configure()
        self._installation = _installation
        if _installation is not None:
            self.options = options_from_settings(**_installation.changes)
            for name, function in _installation.functions.items():
                if function is not None:
                    setattr(self, name, function)

    def is_on(self) -> bool:
        """True until the undo of the `install` that added it."""
        return self._installation is _installation

    def _visit(self, request: HttpRequest) -> Visit | None:
        return super()._visit(request) if self.is_on() else None


def install(
    *,
    request_filter: Callable[[HttpRequest], bool] | None = None,
    extra_properties: Callable[[HttpRequest], Mapping[str, Any]] | None = None,
    properties_map: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
    **http: Any,
) -> Callable[[], None]:
    """
    Report errors of every Django handler of this process, and return a function that stops it.

    Args:
        request_filter: `f(request) -> bool`; False leaves a request alone.
        extra_properties: `f(request) -> dict`, merged over the request's tags.
        properties_map: `f(dict) -> dict`, the last word on the tags.
        http: Fields of `HttpOptions`: `client`, `capture_exceptions`, `headers`, ... What is not given here is read from
            the settings. Handlers made earlier report errors too, but their requests have no context.

    Raises:
        TypeError: an option that there is not.

    Where the settings list the middleware already it is not added again. Installing again changes nothing and returns the
    same function.
    """
    global _installation
    if _installation is not None:
        return _installation.undo
    HttpOptions(**http)  # what is wrong with the options shows now
    functions = {
        "request_filter": request_filter,
        "extra_properties": extra_properties,
        "properties_map": properties_map,
    }
    installation = _installation = _Installation(functions, http)
    load = BaseHandler.load_middleware

    @wraps(load)
    def load_middleware(self: BaseHandler, *args: Any, **kwargs: Any) -> Any:
        before = settings.MIDDLEWARE
        if _installation is not installation or _lists_ours(before):
            return load(self, *args, **kwargs)
        settings.MIDDLEWARE = [f"{__name__}.{Installed.__name__}", *before]
        try:
            return load(self, *args, **kwargs)
        finally:
            settings.MIDDLEWARE = before

    def undo() -> None:
        global _installation
        if _installation is not installation:
            return
        _installation = None
        if BaseHandler.load_middleware is load_middleware:
            BaseHandler.load_middleware = load
        stop_reporting()

    installation.undo = undo
    stop_reporting = report_all(lambda: Installed(_no_response))
    BaseHandler.load_middleware = load_middleware
    return undo


def _no_response(request: HttpRequest) -> Any:
    raise NotImplementedError  # for an instance that only stands for its options


def _lists_ours(paths: Any) -> bool:
    for path in paths:
        try:
            found = import_string(path)
        except ImportError:
            continue  # Django will say so
        if isinstance(found, type) and issubclass(found, PosthogContextMiddleware):
            return True
    return False


def install_auto() -> Callable[[], None]:
    """Every handler that is made from now on, with the default client unless the settings name one."""
    return install()
