"""
The middleware: a context around each request. For its errors see `_django_errors`.

    PosthogContextMiddleware    settings POSTHOG_MW_*, methods for subclasses

Rules: wire contract, context-and-headers.md §4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

import phtrack
from phtrack import _guard
from phtrack.contexts import carry

from . import _django_errors, _http
from ._django_request import (
    User,
    answer_to,
    described,
    evaluated,
    facts,
    function_named,
    options_from_settings,
    route_of,
    said,
)
from ._django_visit import KEY, Visit

if TYPE_CHECKING:
    from django.http import HttpRequest


class PosthogContextMiddleware:
    """
    The context of a request: ids of the tracing headers or the logged-in user, tags, and the route once it is known.

    Works with WSGI and ASGI. The user is asked for here, or before the view where `AuthenticationMiddleware` stands further
    in. Settings: `POSTHOG_MW_CLIENT`, `POSTHOG_MW_CAPTURE_EXCEPTIONS`, `POSTHOG_MW_REQUEST_FILTER`,
    `POSTHOG_MW_EXTRA_PROPERTIES`, `POSTHOG_MW_PROPERTIES_MAP`, `POSTHOG_MW_CAPTURE_TRACING_HEADERS`, and
    `POSTHOG_MW_HTTP`, a dict of further fields of `HttpOptions`. Callbacks that raise are said in the log; the request goes on.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._configure()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
            self.__dict__["process_view"] = self._aprocess_view
        _django_errors.report_for(self)

    def is_on(self) -> bool:
        """True while its requests are watched."""
        return True

    def _configure(self) -> None:
        self.options = options_from_settings()
        self.request_filter = function_named("POSTHOG_MW_REQUEST_FILTER")
        self.extra_properties = function_named("POSTHOG_MW_EXTRA_PROPERTIES", "POSTHOG_MW_EXTRA_TAGS")
        self.properties_map = function_named("POSTHOG_MW_PROPERTIES_MAP", "POSTHOG_MW_TAG_MAP")

    def __call__(self, request: HttpRequest) -> Any:
        """The response, which is the application's own."""
        __tracebackhide__ = True
        if self._is_async:
            return self._acall(request)
        visit = self._visit(request)
        if visit is None:
            return self.get_response(request)
        with phtrack.new_context(capture_exceptions=False, client=self.options.client, shared=True):
            visit.carried = carry()
            self._enter(visit, request)
            response = self.get_response(request)
        return visit.watch(request, response)

    async def _acall(self, request: HttpRequest) -> Any:
        __tracebackhide__ = True
        visit = self._visit(request)
        if visit is None:
            return await self.get_response(request)
        with phtrack.new_context(capture_exceptions=False, client=self.options.client, shared=True):
            visit.carried = carry()
            await self._aenter(visit, request)
            response = await self.get_response(request)
        return visit.watch(request, response)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        """Before the view: the route is known, and the user, if `AuthenticationMiddleware` stands further in than we do."""
        visit = getattr(request, KEY, None)
        if isinstance(visit, Visit) and visit.middleware is self:
            with _guard.shield("reading a Django request before its view"):
                _http.tell({"$request_route": route_of(request)})
                if visit.wants_user() and visit.ask_user(request, self.extract_request_user):
                    self._tell_user(visit)

    async def _aprocess_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        visit = getattr(request, KEY, None)
        if isinstance(visit, Visit) and visit.middleware is self:
            with _guard.shield("reading a Django request before its view"):
                _http.tell({"$request_route": route_of(request)})
                if visit.wants_user() and await visit.aask_user(request, self.aextract_request_user):
                    self._tell_user(visit)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """For subclasses that call it. What happens to the error is not decided yet when Django calls this."""

    # --- what subclasses may change ---

    def extract_properties(self, request: HttpRequest) -> dict[str, Any]:
        """The request as properties of every event in its context."""
        found = facts(request).tags(self.options)
        visit = getattr(request, KEY, None)
        if self.options.capture_email and isinstance(visit, Visit) and visit.user[1] is not None:
            found["email"] = visit.user[1]
        extra = answer_to("POSTHOG_MW_EXTRA_PROPERTIES", self.extra_properties, request)
        if isinstance(extra, Mapping):
            found.update(extra)
        mapped = answer_to("POSTHOG_MW_PROPERTIES_MAP", self.properties_map, found)
        return dict(mapped) if isinstance(mapped, Mapping) else found

    def extract_tags(self, request: HttpRequest) -> dict[str, Any]:
        """The older name of `extract_properties`; the one of the two that is overridden counts."""
        return self.extract_properties(request)

    def extract_request_user(self, request: HttpRequest) -> User:
        """(id, e-mail address) of the logged-in user."""
        return described(getattr(request, "user", None))

    async def aextract_properties(self, request: HttpRequest) -> dict[str, Any]:
        """`extract_properties` in an asynchronous request; what needs the database runs in a thread."""
        try:
            return self.extract_tags(request)
        except SynchronousOnlyOperation:
            return await sync_to_async(self.extract_tags)(request)

    async def aextract_tags(self, request: HttpRequest) -> dict[str, Any]:
        """The older name of `aextract_properties`."""
        return await self.aextract_properties(request)

    async def aextract_request_user(self, request: HttpRequest) -> User:
        """`extract_request_user` in an asynchronous request."""
        ask = getattr(request, "auser", None)
        if ask is not None:
            return described(await ask())
        if evaluated(getattr(request, "user", None)):
            return self.extract_request_user(request)
        return await sync_to_async(self.extract_request_user)(request)

    # --- the way in ---

    def _visit(self, request: HttpRequest) -> Visit | None:
        """A new visit; None where another instance of ours has the request, or the filter says no."""
        if hasattr(request, KEY):
            return None
        wanted = self.request_filter is None or answer_to(
            "POSTHOG_MW_REQUEST_FILTER", self.request_filter, request, True
        )
        visit = Visit(self, request) if wanted else None
        setattr(request, KEY, visit)
        return visit

    def _enter(self, visit: Visit, request: HttpRequest) -> None:
        try:
            if visit.wants_user() and hasattr(request, "user"):
                visit.ask_user(request, self.extract_request_user)
            self._identify(visit)
            _http.tell(self.extract_tags(request))
        except Exception as error:
            said("reading a Django request", error)

    async def _aenter(self, visit: Visit, request: HttpRequest) -> None:
        try:
            if visit.wants_user() and hasattr(request, "user"):
                await visit.aask_user(request, self.aextract_request_user)
            self._identify(visit)
            _http.tell(await self.aextract_tags(request))
        except Exception as error:
            said("reading a Django request", error)

    def _identify(self, visit: Visit) -> None:
        who = _http.distinct_id_for(visit.header_id, visit.user[0], self.options)
        if who is not None:
            phtrack.identify_context(who)
        if visit.session_id is not None:
            phtrack.set_context_session(visit.session_id)

    def _tell_user(self, visit: Visit) -> None:
        """What became known of the user between the middleware and the view."""
        who, email = visit.user
        if who is not None and (visit.header_id is None or self.options.prefer_authenticated_user):
            phtrack.identify_context(who)
        if email is not None and self.options.capture_email:
            _http.tell({"email": email})
