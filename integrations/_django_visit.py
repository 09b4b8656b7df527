"""
One request that Django answers, from the middleware to the end of its body: whose it is, what it fails with.

    request -> Visit, which hangs on the request -> capture, watched stream
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, UnreadablePostError

import phtrack
from phtrack import _guard
from phtrack.contexts import carry

from . import _http
from ._django_request import (
    Unseen,
    User,
    answer_to,
    described,
    evaluated,
    function_named,
    header_of,
    note_body,
    options_from_settings,
    route_of,
    said,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from ._django_middleware import PosthogContextMiddleware
    from ._http import HttpOptions

SOURCE = "django.middleware"

KEY = "_phtrack"
"""Where a request holds its `Visit`; None when the filter said no."""


class Visit:
    """One request, from the middleware to the end of its body. Hangs on the request, and so must not hold it."""

    __slots__ = ("asked", "captured", "carried", "header_id", "middleware", "session_id", "user")

    def __init__(self, middleware: PosthogContextMiddleware, request: HttpRequest) -> None:
        self.middleware = middleware
        self.carried: carry | None = None
        """The request's context, for what happens outside of the middleware."""
        self.user: User = (None, None)
        self.asked = False
        self.captured = False
        """True once an error of this request was captured."""
        wanted = middleware.options.capture_tracing_headers
        self.header_id, self.session_id = _http.tracing_ids(header_of(request)) if wanted else (None, None)

    def __reduce__(self) -> Any:
        return (str, ("phtrack",))  # a request that is pickled leaves us behind

    def wants_user(self) -> bool:
        """True if who is logged in makes a difference, and is not known yet: asking costs the application queries."""
        options = self.middleware.options
        return not self.asked and (self.header_id is None or options.prefer_authenticated_user or options.capture_email)

    def ask_user(self, request: HttpRequest, extract: Callable[[HttpRequest], User]) -> bool:
        """Find out who is logged in. False if that can't be said yet."""
        if not hasattr(request, "user"):
            return False
        self.asked = True
        with Unseen(request):
            try:
                self.user = extract(request)
            except Exception as error:
                said("extract_request_user", error)
        return True

    async def aask_user(self, request: HttpRequest, extract: Callable[[HttpRequest], Awaitable[User]]) -> bool:
        """`ask_user` in an asynchronous request."""
        if not hasattr(request, "user"):
            return False
        self.asked = True
        with Unseen(request):
            try:
                self.user = await extract(request)
            except Exception as error:
                said("aextract_request_user", error)
        return True

    def capture(self, request: HttpRequest, error: BaseException, status: int, traceback: Any = None) -> None:
        """Capture *error* in the request's context; *traceback* if it is another than the error's own."""
        with _guard.shield("capturing a Django error"), self.carried or carry():
            if isinstance(error, UnreadablePostError) or not _http.captures(self.middleware.options):
                return
            if phtrack.get_context_distinct_id() is None:
                # Somebody may have logged in meanwhile: a login view, or an API's token.
                user = request.__dict__.get("user")
                who = described(user)[0] if user is not None and evaluated(user) else None
                if who is not None:
                    phtrack.identify_context(who)
            if self.middleware.options.capture_body:
                note_body(request)
            what: Any = error if traceback is None else (type(error), error, traceback)
            self.captured = True
            _http.capture(what, self.middleware.options, source=SOURCE, status=status, route=route_of(request))

    def watch(self, request: HttpRequest, response: Any) -> Any:
        """*response*; if it is a stream, one that is read in the request's context, and whose errors are captured."""
        # For `_django_errors.closing_failed`. Pickled with the response by a cache, a visit is a word.
        response.__dict__[KEY] = self
        # A file is left to the server, which may have a faster way to send it.
        if getattr(response, "streaming", False) and getattr(response, "file_to_stream", None) is None:
            with _guard.shield("watching a streamed response"):
                watched = self._achunks if response.is_async else self._chunks
                response.streaming_content = watched(request, response.streaming_content, response.status_code)
        return response

    def _chunks(self, request: HttpRequest, chunks: Iterator[bytes], status: int) -> Iterator[bytes]:
        __tracebackhide__ = True
        carried = self.carried or carry()
        while True:
            try:
                with carried:
                    chunk = next(chunks)
            except StopIteration:
                return
            except Exception as error:
                self.capture(request, error, status)
                raise
            yield chunk

    async def _achunks(self, request: HttpRequest, chunks: AsyncIterator[bytes], status: int) -> AsyncIterator[bytes]:
        __tracebackhide__ = True
        carried = self.carried or carry()
        while True:
            try:
                with carried:
                    chunk = await chunks.__anext__()
            except StopAsyncIteration:
                return
            except Exception as error:
                self.capture(request, error, status)
                raise
            yield chunk


def options_of(request: Any, **changes: Any) -> HttpOptions:
    """The options in force for *request*: its middleware's, else the settings', with *changes*."""
    visit = getattr(request, KEY, None)
    return (
        replace(visit.middleware.options, **changes) if isinstance(visit, Visit) else options_from_settings(**changes)
    )


def passes_filter(request: HttpRequest) -> bool:
    """False for a request that `POSTHOG_MW_REQUEST_FILTER` leaves alone."""
    if hasattr(request, KEY):
        return isinstance(getattr(request, KEY), Visit)
    return bool(answer_to("POSTHOG_MW_REQUEST_FILTER", function_named("POSTHOG_MW_REQUEST_FILTER"), request, True))
