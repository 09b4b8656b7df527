"""
Django REST framework: errors that it turns into a response.

    REST_FRAMEWORK = {"EXCEPTION_HANDLER": "phtrack.integrations.drf.exception_handler"}
    install() -> undo, install_auto() -> undo

The handler that was configured answers first. Without an answer the error goes on to Django, where it is captured; an answer
of 500 and above (with *capture_4xx* 400 and above) is one event that says `handled`. Rules: wire contract,
context-and-headers.md §4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.conf import settings
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler as default_handler

from phtrack import _guard

from . import _http
from ._django_request import route_of
from ._django_visit import KEY, Visit, options_of, passes_filter

if TYPE_CHECKING:
    from phtrack import Client

SOURCE = "django_rest_framework.exception_handler"

Handler = Callable[[Exception, Mapping[str, Any]], Any]


def create_exception_handler(
    handler: Handler | None = None,
    *,
    client: Client | None = None,
    capture_exceptions: bool | None = None,
    capture_4xx: bool = False,
    exception_filter: Callable[[Exception, Any, Mapping[str, Any]], bool] | None = None,
) -> Handler:
    """
    An exception handler for REST framework that captures what *handler* answers with a server error.

    Args:
        handler: Answers; default REST framework's own.
        client: Captures; default `POSTHOG_DRF_CLIENT`, then `POSTHOG_MW_CLIENT`, then the default client.
        capture_exceptions: False: nothing. None: as `POSTHOG_MW_CAPTURE_EXCEPTIONS` says.
        capture_4xx: Client errors too.
        exception_filter: `f(exc, response, context) -> bool`; False leaves an error alone.
    """
    answer = handler or default_handler

    @wraps(answer)
    def handle(exc: Exception, context: Mapping[str, Any]) -> Any:
        __tracebackhide__ = True
        response = answer(exc, context)
        with _guard.shield("capturing an error that REST framework answered"):
            status = getattr(response, "status_code", None)
            if isinstance(status, int) and status >= (400 if capture_4xx else 500):
                request = getattr(context.get("request"), "_request", None)
                if _wanted(request, exc, response, context):
                    _capture(exc, request, status)
        return response

    def _wanted(request: Any, exc: Exception, response: Any, context: Mapping[str, Any]) -> bool:
        if exception_filter is not None:
            try:
                if not exception_filter(exc, response, context):
                    return False
            except Exception as error:
                _guard.say("warning", "exception_filter raised %s; it is ignored", type(error).__name__, every=60)
        return request is None or passes_filter(request)

    def _capture(exc: Exception, request: Any, status: int) -> None:
        changes: dict[str, Any] = {} if capture_exceptions is None else {"capture_exceptions": capture_exceptions}
        asked = client or getattr(settings, "POSTHOG_DRF_CLIENT", None)
        options = options_of(request, client=asked, **changes) if asked else options_of(request, **changes)
        if not _http.captures(options):
            return
        visit = getattr(request, KEY, None)
        if isinstance(visit, Visit):
            visit.captured = True
        _http.capture(exc, options, source=SOURCE, handled=True, status=status, route=route_of(request))

    handle.__phtrack__ = True  # type: ignore[attr-defined]
    return handle


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Any:
    """REST framework's own handler, with errors it answers with a server error captured; for the setting."""
    return _default(exc, context)


_default = create_exception_handler()
exception_handler.__phtrack__ = True  # type: ignore[attr-defined]

_installed: list[Callable[[], None]] = []


def install(**arguments: Any) -> Callable[[], None]:
    """
    Go around the exception handler that is configured, and return a function that takes that back.

    Args:
        arguments: As of `create_exception_handler`, except *handler*.

    Where the setting names a handler of ours nothing changes. Installing again returns the same function.
    """
    if _installed:
        return _installed[0]
    before = api_settings.EXCEPTION_HANDLER
    ours = before if getattr(before, "__phtrack__", False) else create_exception_handler(before, **arguments)

    def undo() -> None:
        # REST framework forgets what was set when its settings change (tests).
        if api_settings.__dict__.get("EXCEPTION_HANDLER") is ours:
            api_settings.EXCEPTION_HANDLER = before
        _installed.clear()

    api_settings.EXCEPTION_HANDLER = ours
    _installed.append(undo)
    return undo


def install_auto() -> Callable[[], None]:
    """The same for the default client, or the one the settings name."""
    return install()
