"""
What a Django request says: its facts, who is logged in, the body that was read, and what the settings `POSTHOG_MW_*` want.

    request, settings -> RequestFacts, User, HttpOptions

Nothing here is captured or remembered. Looking is not the application's looking: nothing is read from a stream, and a session
that is looked at for the user does not change the response.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.utils.functional import LazyObject, empty

from phtrack import _guard

from . import _http
from ._http import HttpOptions, RequestFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

User = tuple[str | None, str | None]
"""(id, e-mail address) of the logged-in user; None for nobody."""


def options_from_settings(**changes: Any) -> HttpOptions:
    """What `POSTHOG_MW_*` say, with *changes*; malformed values are as if not given."""
    wanted = getattr(settings, "POSTHOG_MW_CAPTURE_EXCEPTIONS", True)
    more = getattr(settings, "POSTHOG_MW_HTTP", {})
    options = HttpOptions(
        client=getattr(settings, "POSTHOG_MW_CLIENT", None),
        capture_exceptions=wanted if wanted is None or isinstance(wanted, bool) else True,
        capture_tracing_headers=_http.headers_wanted(
            getattr(settings, "POSTHOG_MW_CAPTURE_TRACING_HEADERS", None),
            getattr(settings, "POSTHOG_MW_TRUST_TRACING_HEADERS", None),
        ),
    )
    return replace(options, **{**more, **changes})


def function_named(*names: str) -> Any:
    """The function that the first of these settings holds; None where there is none."""
    return next((found for name in names if callable(found := getattr(settings, name, None))), None)


def answer_to(what: str, ask: Any, about: Any, otherwise: Any = None) -> Any:
    """What a user's callback says; *otherwise* if there is none, or it raises."""
    if ask is None:
        return otherwise
    try:
        return ask(about)
    except SynchronousOnlyOperation:
        raise  # asked again in a thread
    except Exception as error:
        said(what, error)
        return otherwise


def said(what: str, error: Exception) -> None:
    """Log that something of the application's, called *what*, failed while a request was read."""
    _guard.say("warning", "%s raised %s; the request goes on without it", what, type(error).__name__, every=60)


def route_of(request: Any) -> str | None:
    """The route's pattern as Django writes it (`orders/<int:id>`), once the address was resolved."""
    return getattr(getattr(request, "resolver_match", None), "route", None) or None


def facts(request: HttpRequest) -> RequestFacts:
    """The facts of a Django request."""
    return RequestFacts(
        method=request.method,
        url=_url(request),
        path=request.path,
        get_header=header_of(request),
        peer=request.META.get("REMOTE_ADDR"),
    )


def _url(request: HttpRequest) -> str | None:
    try:
        return f"{request.scheme}://{request.get_host()}{request.path}"
    except Exception:  # a Host header that Django refuses
        return None


def header_of(request: HttpRequest) -> Callable[[str], Any]:
    """Header name in lower case -> its value, or None."""
    meta = request.META
    # With ASGI Django joins repeated headers; of an id the first one counts.
    headers = getattr(request, "scope", {}).get("headers") or ()

    def get_header(name: str) -> Any:
        if headers:
            wanted = name.encode()
            return next((value for key, value in headers if key.lower() == wanted and _http.clean_text(value)), None)
        name = name.upper().replace("-", "_")
        return meta.get(name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}")

    return get_header


class Unseen:
    """While inside, a look at the session is not the application's: it must not add `Vary: Cookie` to the response."""

    def __init__(self, request: HttpRequest) -> None:
        self._session: Any = getattr(request, "session", None)

    def __enter__(self) -> None:
        self._accessed = getattr(self._session, "accessed", None)

    def __exit__(self, *_: object) -> None:
        if self._accessed is False and not self._session.modified:
            self._session.accessed = False


def evaluated(user: Any) -> bool:
    """False for a lazy user that nobody has looked at."""
    return not isinstance(user, LazyObject) or user.__dict__.get("_wrapped", empty) is not empty


def described(user: Any) -> User:
    """(id, e-mail address) of a user object; nothing of an anonymous one."""
    known = getattr(user, "is_authenticated", False)
    if not (known() if callable(known) else known):
        return None, None
    key = getattr(user, "pk", None)
    email = getattr(user, "email", None)
    return (None if key is None else str(key)), (email if isinstance(email, str) and email else None)


def note_body(request: HttpRequest) -> None:
    """What the application has read of the body already; nothing is read for it."""
    read = request.__dict__
    form = read.get("_post")
    _http.note_body(
        form={name: form.getlist(name) for name in form} if form else None,
        raw=read.get("_body"),
        content_type=request.META.get("CONTENT_TYPE"),
    )
