"""
A Django project in memory: settings for one test, and the routes of `behaviours` as views.

Django has one configuration per process. It is made once, with a SQLite file for users and sessions; a test overrides what
it needs, and its handler is made while the override is in force.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import django
from django.conf import settings
from django.http import Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from ..behaviours import Code, Degraded, Handled

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
OURS = "phtrack.integrations.django.PosthogContextMiddleware"


def configure() -> None:
    """Set Django up, once per process."""
    if settings.configured:
        return
    folder = tempfile.mkdtemp(prefix="phtrack-django-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1", "testserver"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(folder, "db.sqlite3")}},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "rest_framework",
        ],
        LOGGING_CONFIG=None,
        MIDDLEWARE=MIDDLEWARE,
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF="",
        SECRET_KEY="test",
        USE_TZ=True,
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


class ProjectApp:
    """What makes a handler: its URLs and its settings."""

    def __init__(self, urls: list[Any], handler: Callable[[], Any], **changes: Any) -> None:
        self._urls = urls
        self._handler = handler
        self._changes = changes

    @contextlib.contextmanager
    def made(self) -> Iterator[Any]:
        """The handler, while the settings are in force."""
        from django.test.utils import override_settings
        from django.urls import clear_url_caches

        urlconf = ModuleType("urls")
        urlconf.urlpatterns = self._urls  # type: ignore[attr-defined]
        with override_settings(ROOT_URLCONF=urlconf, **self._changes):
            clear_url_caches()
            yield self._handler()
        clear_url_caches()


class AppMiddleware:
    """A middleware of the application: it answers some errors, and fails for some requests."""

    code: Code

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        self.code.middleware(request.path)
        return self.get_response(request)

    def process_exception(self, request: Any, exception: Exception) -> Any:
        return answer(exception)


def answer(exception: Exception) -> Any:
    """What the application answers an error with that it handles."""
    if isinstance(exception, Handled):
        return HttpResponse("handled", status=409)
    if isinstance(exception, Degraded):
        return HttpResponse("degraded", status=503)
    return None


def urls(code: Code) -> list[Any]:
    """The routes, with plain views."""

    def missing(request: Any) -> Any:
        raise Http404("no such thing")

    return [
        path("ok", lambda request: HttpResponse(code.ok())),
        path("boom", lambda request: code.boom()),
        path("middleware-boom", lambda request: HttpResponse("never")),
        path("teardown-boom", lambda request: HttpResponse("done")),
        path("items/<int:number>", lambda request, number: code.boom(number)),
        path("handled", lambda request: code.handled()),
        path("degraded", lambda request: code.degraded()),
        path("missing", missing),
        path("whoami", lambda request: JsonResponse(code.whoami())),
        path("identify", lambda request: code.identify()),
        path("meet/<int:number>", lambda request, number: JsonResponse(code.meet(number))),
        path("echo", lambda request: HttpResponse(request.body)),
        path("stream-boom", lambda request: StreamingHttpResponse(code.chunks())),
        path("endless", lambda request: StreamingHttpResponse(code.endless())),
    ]


def async_urls(code: Code) -> list[Any]:
    """The same with asynchronous views."""

    def view(answer: Callable[..., Any]) -> Any:
        async def called(request: Any, **arguments: Any) -> Any:
            return answer(request, **arguments)

        return called

    async def meet(request: Any, number: int) -> Any:
        return JsonResponse(await code.ameet(number))

    def cancelled(request: Any) -> Any:
        raise asyncio.CancelledError

    plain = {str(one.pattern): one.callback for one in urls(code)}
    plain["stream-boom"] = lambda request: StreamingHttpResponse(code.achunks())
    plain["cancelled"] = cancelled
    plain["endless"] = lambda request: StreamingHttpResponse(code.aendless())
    return [path(route, meet if route.startswith("meet") else view(called)) for route, called in plain.items()]
