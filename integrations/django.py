"""
Django: a context around each request, and one event for what Django answers with "server error".

    MIDDLEWARE = ["phtrack.integrations.django.PosthogContextMiddleware", ...]      settings POSTHOG_MW_*
    install() -> undo, install_auto() -> undo                                       no settings needed

Errors are captured where Django itself calls them errors: its `got_request_exception` signal, sent for views, middlewares and
templates alike, and never for what becomes a 4xx or what a middleware answers. Only a streamed body fails later, in the
server's hands; it is watched through the response. For `install`, Django has no extension point that reaches every handler
but the setting: the middleware is added to it while a handler loads, by one patched method. Django's commands, database and
tasks have modules of their own (`django_commands`, ...). Rules: wire contract, context-and-headers.md §4.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any
from weakref import ref

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.core.handlers.base import BaseHandler
from django.core.signals import got_request_exception
from django.http import HttpRequest, UnreadablePostError
from django.utils.module_loading import import_string

import phtrack
from phtrack import _guard
from phtrack.contexts import carry

from . import _django_close, _http
from ._django_request import (
    Unseen,
    User,
    answer_to,
    described,
    evaluated,
    facts,
    function_named,
    header_of,
    note_body,
    options_from_settings,
    route_of,
    said,
)
from ._http import HttpOptions

SOURCE = "django.middleware"


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
        _listen()
        _newest.append(ref(self))
        del _newest[:-1]

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
        visit = getattr(request, _KEY, None)
        if isinstance(visit, Visit) and visit.middleware is self:
            with _guard.shield("reading a Django request before its view"):
                _http.tell({"$request_route": route_of(request)})
                if visit.wants_user() and visit.ask_user(request, self.extract_request_user):
                    self._tell_user(visit)

    async def _aprocess_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        visit = getattr(request, _KEY, None)
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
        visit = getattr(request, _KEY, None)
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
        if hasattr(request, _KEY):
            return None
        wanted = self.request_filter is None or answer_to(
            "POSTHOG_MW_REQUEST_FILTER", self.request_filter, request, True
        )
        visit = Visit(self, request) if wanted else None
        setattr(request, _KEY, visit)
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


class Visit:
    """One request, from the middleware to the end of its body. Hangs on the request, and so must not hold it."""

    __slots__ = ("asked", "carried", "header_id", "middleware", "session_id", "user")

    def __init__(self, middleware: PosthogContextMiddleware, request: HttpRequest) -> None:
        self.middleware = middleware
        self.carried: carry | None = None
        """The request's context, for what happens outside of the middleware."""
        self.user: User = (None, None)
        self.asked = False
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
            _http.capture(what, self.middleware.options, source=SOURCE, status=status, route=route_of(request))

    def watch(self, request: HttpRequest, response: Any) -> Any:
        """*response*; if it is a stream, one that is read in the request's context, and whose errors are captured."""
        # For `_closing_failed`. Pickled with the response by a cache, a visit is a word.
        response.__dict__[_KEY] = self
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


_KEY = "_phtrack"
"""Where a request holds its `Visit`; None when the filter said no."""


def options_of(request: Any, **changes: Any) -> HttpOptions:
    """The options in force for *request*: its middleware's, else the settings', with *changes*."""
    visit = getattr(request, _KEY, None)
    return (
        replace(visit.middleware.options, **changes) if isinstance(visit, Visit) else options_from_settings(**changes)
    )


def passes_filter(request: HttpRequest) -> bool:
    """False for a request that `POSTHOG_MW_REQUEST_FILTER` leaves alone."""
    if hasattr(request, _KEY):
        return isinstance(getattr(request, _KEY), Visit)
    return bool(answer_to("POSTHOG_MW_REQUEST_FILTER", function_named("POSTHOG_MW_REQUEST_FILTER"), request, True))


# --- errors ----------------------------------------------------------------------------------------------------------

_newest: list[ref[PosthogContextMiddleware]] = []
"""The instance that was made last, at most one."""


def _alive() -> PosthogContextMiddleware | None:
    found = _newest[0]() if _newest else None
    return found if found is not None and found.is_on() else None


def _listen() -> None:
    got_request_exception.connect(_on_error, dispatch_uid="phtrack", weak=False)


def _on_error(sender: Any, request: Any = None, **_: Any) -> None:
    """Django is about to answer "server error"."""
    with _guard.shield("capturing a Django error"):
        error = sys.exc_info()[1]
        if error is None or not isinstance(request, HttpRequest):
            return
        visit = getattr(request, _KEY, Visit)
        if isinstance(visit, Visit):
            visit.capture(request, error, 500, _own_traceback(error))
        elif visit is Visit:
            _on_error_before_us(error, request)


def _on_error_before_us(error: BaseException, request: HttpRequest) -> None:
    """A middleware outside of ours failed on the way in, or the handler was made before `install`."""
    middleware = Installed(_no_response) if _installation is not None else _alive()
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
    visit = response.__dict__.get(_KEY)
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


def _no_response(request: HttpRequest) -> Any:
    raise NotImplementedError  # for an instance that only stands for its options


# --- without settings ------------------------------------------------------------------------------------------------


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
        stop_watching()
        if _alive() is None:
            got_request_exception.disconnect(dispatch_uid="phtrack")

    installation.undo = undo
    stop_watching = _django_close.watch(_closing_failed)
    BaseHandler.load_middleware = load_middleware
    _listen()
    return undo


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
