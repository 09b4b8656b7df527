"""
Errors where Django itself calls them errors: its `got_request_exception` signal, sent for views, middlewares and templates
alike, and never for what becomes a 4xx or what a middleware answers; and receivers of `request_finished` that fail. What
Django logs of a response whose error was captured is no second event.

    report_for(middleware)        report_all(make) -> stop
"""

from __future__ import annotations

import sys
from logging import getLogger
from typing import TYPE_CHECKING, Any
from weakref import ref

from django.core.signals import got_request_exception
from django.http import HttpRequest
from django.utils.log import request_logger

import phtrack
from phtrack import _guard
from phtrack.contexts import carry

from . import _django_close, _http
from ._django_visit import KEY, Visit

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import LogRecord

    from ._django_middleware import PosthogContextMiddleware

_UID = "phtrack"
_SERVER_LOG = getLogger("django.server")

_instances: list[ref[PosthogContextMiddleware]] = []
"""All that were made and may still be in use, the newest last."""

_standing_in: list[Callable[[], PosthogContextMiddleware]] = []
"""Makes an instance for requests that had none; at most one."""


def report_for(middleware: PosthogContextMiddleware) -> None:
    """Report errors from now on; *middleware* is whom a request belongs to that failed before it reached its own."""
    _instances[:] = [*(one for one in _instances if one() is not None), ref(middleware)]
    _listen()


def report_all(make: Callable[[], PosthogContextMiddleware]) -> Callable[[], None]:
    """Report errors of all requests, as what *make* makes would; return what stops it."""
    _standing_in[:] = [make]
    stop_watching = _django_close.watch(_closing_failed)
    _listen()

    def stop() -> None:
        _standing_in.clear()
        stop_watching()
        if _alive() is None:
            got_request_exception.disconnect(dispatch_uid=_UID)
            request_logger.removeFilter(_mark_known)
            _SERVER_LOG.removeFilter(_mark_line)

    return stop


def _listen() -> None:
    got_request_exception.connect(_on_error, dispatch_uid=_UID, weak=False)
    request_logger.addFilter(_mark_known)
    _SERVER_LOG.addFilter(_mark_line)


def _mark_known(record: LogRecord) -> bool:
    """A filter that lets all pass: "Internal Server Error" without an exception is said of every 5xx, DRF's answers too."""
    visit = getattr(getattr(record, "request", None), KEY, None)
    if isinstance(visit, Visit) and visit.captured and not record.exc_info:
        phtrack.PosthogLoggingHandler.ignore(record)
    return True


def _mark_line(record: LogRecord) -> bool:
    """A filter that lets all pass: a line of the development server's access log is no error, though a 5xx is said as one."""
    if not record.exc_info:
        phtrack.PosthogLoggingHandler.ignore(record)
    return True


def _alive() -> PosthogContextMiddleware | None:
    made = (one() for one in reversed(_instances))
    return next((one for one in made if one is not None and one.is_on()), None)


def _on_error(sender: Any, request: Any = None, **_: Any) -> None:
    """Django is about to answer "server error"."""
    with _guard.shield("capturing a Django error"):
        error = sys.exc_info()[1]
        if error is None or not isinstance(request, HttpRequest):
            return
        visit = getattr(request, KEY, Visit)
        if isinstance(visit, Visit):
            visit.capture(request, error, 500, _own_traceback(error))
        elif visit is Visit:
            _on_error_before_us(error, request)


def _on_error_before_us(error: BaseException, request: HttpRequest) -> None:
    """A middleware outside of ours failed on the way in, or the handler was made before `install`."""
    middleware = _standing_in[0]() if _standing_in else _alive()
    visit = middleware._visit(request) if middleware is not None else None
    if middleware is None or visit is None:
        return
    with phtrack.new_context(capture_exceptions=False, client=middleware.options.client, shared=True):
        visit.carried = carry()
        visit.asked = True  # who it is may be known, but is not asked now: the database may be what failed
        middleware._enter(visit, request)
        visit.capture(request, error, 500, _own_traceback(error))


def _closing_failed(response: Any, error: Exception) -> None:
    """A receiver of `request_finished` failed, when the request's response had been sent."""
    visit = response.__dict__.get(KEY)
    if isinstance(visit, Visit) and visit.middleware.is_on() and _http.captures(visit.middleware.options):
        with visit.carried or carry():
            _http.capture(error, visit.middleware.options, source="django.request_finished")


def _own_traceback(error: BaseException) -> Any:
    """The traceback without the frame of the thread in which Django makes the response to an asynchronous request."""
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None and tb.tb_frame.f_code.co_name == "thread_handler":
        if tb.tb_frame.f_globals.get("__name__") != "asgiref.sync":
            break
        tb = tb.tb_next
    return tb
