"""The other parts of Django: REST framework, Channels, management commands, and the database."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.urls import path
from phtrack.integrations import channels as channels_integration
from phtrack.integrations import django_commands, django_database, drf

import phtrack

from ..behaviours import Watched, described, fetch, logged_to, serve_asgi, serve_wsgi
from .project import MIDDLEWARE, OURS, ProjectApp

# --- Django REST framework -------------------------------------------------------------------------------------------


def api() -> list[Any]:
    """Views of REST framework that fail in all ways."""
    from rest_framework.exceptions import APIException, NotFound, ValidationError
    from rest_framework.response import Response
    from rest_framework.views import APIView

    class Unavailable(APIException):
        status_code = 503

    def view(error: Exception | None) -> Any:
        class View(APIView):
            authentication_classes = []

            def get(self, request: Any, **_: Any) -> Any:
                if error is not None:
                    raise error
                return Response({"ok": True})

        return View.as_view()

    return [
        path("api/ok", view(None)),
        path("api/unavailable/<int:number>", view(Unavailable())),
        path("api/missing", view(NotFound())),
        path("api/invalid", view(ValidationError("name"))),
        path("api/broken", view(ZeroDivisionError("in the view"))),
    ]


@contextlib.contextmanager
def serving_api(watched: Watched, **changes: Any) -> Iterator[str]:
    """The API behind a real server, with the middleware."""
    changes = {"MIDDLEWARE": [*MIDDLEWARE, OURS], "POSTHOG_MW_CLIENT": watched.client, **changes}
    with ProjectApp(api(), WSGIHandler, **changes).made() as handler, serve_wsgi(handler) as base:
        yield base


BY_SETTING = {"REST_FRAMEWORK": {"EXCEPTION_HANDLER": "phtrack.integrations.drf.exception_handler"}}


def test_an_error_that_rest_framework_answers(watched: Watched) -> None:
    """A 503 is one event that says `handled`, with the boundary's source, the status and the route."""
    with serving_api(watched, **BY_SETTING) as base:
        assert fetch(base, "/api/unavailable/7", {"X-PostHog-Distinct-Id": "u1"}).status == 503
    event = watched.the_exception()
    assert described(event) == {
        "type": "api.<locals>.Unavailable",
        "level": "error",
        "mechanism": "middleware",
        "handled": True,
        "source": "django_rest_framework.exception_handler",
        "route": "api/unavailable/<int:number>",
        "status": 503,
    }
    assert event["distinct_id"] == "u1"


def test_an_error_that_rest_framework_answers_is_logged_too(watched: Watched) -> None:
    """Django logs "Service Unavailable", without the exception: no second event."""
    with serving_api(watched, **BY_SETTING) as base, logged_to(watched):
        assert fetch(base, "/api/unavailable/7").status == 503
    assert described(watched.the_exception())["source"] == "django_rest_framework.exception_handler"


def test_a_line_of_the_development_server_is_no_event(watched: Watched) -> None:
    """`runserver` logs a 5xx as an error, which reaches our handler where the settings configure the logger `django`."""
    server = logging.getLogger("django.server")
    before, server.propagate = server.propagate, True
    try:
        with serving_api(watched, **BY_SETTING), logged_to(watched):
            server.error('"GET /?email=ann HTTP/1.1" 500 4')
    finally:
        server.propagate = before
    assert watched.exceptions() == []


def test_an_error_that_rest_framework_leaves_to_django(watched: Watched) -> None:
    """One event, Django's, not handled."""
    with serving_api(watched, **BY_SETTING) as base:
        assert fetch(base, "/api/broken").status == 500
    about = described(watched.the_exception())
    assert (about["type"], about["source"], about["handled"]) == ("ZeroDivisionError", "django.middleware", False)


def test_client_errors_of_an_api(watched: Watched) -> None:
    """None by default; with `capture_4xx` each, unless the filter says no."""
    with serving_api(watched, **BY_SETTING) as base:
        assert [fetch(base, f"/api/{what}").status for what in ("ok", "missing", "invalid")] == [200, 404, 400]
    assert watched.exceptions() == []
    undo = drf.install(
        client=watched.client,
        capture_4xx=True,
        exception_filter=lambda exc, response, context: response.status_code != 404,
    )
    with serving_api(watched) as base:
        assert [fetch(base, f"/api/{what}").status for what in ("ok", "missing", "invalid")] == [200, 404, 400]
    undo()
    about = described(watched.the_exception())
    assert (about["type"], about["status"]) == ("ValidationError", 400)


def test_an_api_installs_and_undoes(watched: Watched) -> None:
    """`install_auto` goes around the handler that is configured; twice does no harm; the undo puts it back."""
    from rest_framework.settings import api_settings

    before = api_settings.EXCEPTION_HANDLER
    phtrack.default_client = watched.client
    undo = drf.install_auto()
    assert drf.install_auto() is undo
    with serving_api(watched) as base:
        fetch(base, "/api/unavailable/1")
    assert described(watched.the_exception())["handled"] is True
    undo()
    assert api_settings.EXCEPTION_HANDLER is before
    with serving_api(watched) as base:
        fetch(base, "/api/unavailable/1")
    assert len(watched.exceptions()) == 1


def test_clients_and_switches_of_an_api(watched: Watched) -> None:
    """`POSTHOG_DRF_CLIENT` beats `POSTHOG_MW_CLIENT`; the middleware's switch and filter hold here too; a failing filter is ignored."""
    other = Watched()
    with serving_api(watched, POSTHOG_DRF_CLIENT=other.client, **BY_SETTING) as base:
        fetch(base, "/api/unavailable/1")
    assert (len(watched.exceptions()), len(other.exceptions())) == (0, 1)
    with serving_api(watched, POSTHOG_MW_CAPTURE_EXCEPTIONS=False, **BY_SETTING) as base:
        fetch(base, "/api/unavailable/1")
    with serving_api(watched, POSTHOG_MW_REQUEST_FILTER=lambda request: False, **BY_SETTING) as base:
        fetch(base, "/api/unavailable/1")
    assert watched.exceptions() == []

    def fails(*_: Any) -> bool:
        raise RuntimeError("filter")

    undo = drf.install(client=watched.client, exception_filter=fails)
    with serving_api(watched) as base:
        fetch(base, "/api/unavailable/1")
    undo()
    assert len(watched.exceptions()) == 1
    other.client.shutdown()


# --- management commands ---------------------------------------------------------------------------------------------


class Failing(BaseCommand):
    """A command that ends as it is told."""

    requires_system_checks: Any = []

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("how")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["how"] == "message":
            raise CommandError("no such file")
        if options["how"] == "nested":
            with contextlib.suppress(ZeroDivisionError):
                call_command(Failing(), "error")
            return
        if options["how"] == "exit":
            sys.exit(3)
        raise ZeroDivisionError("in a command")


@pytest.fixture
def commands(watched: Watched) -> Iterator[Watched]:
    """Commands report to *watched*."""
    undo = django_commands.install(client=watched.client)
    assert django_commands.install() is undo
    yield watched
    undo()


def test_what_escapes_a_command(commands: Watched) -> None:
    """One fatal event that names the command; the error goes on as before."""
    with pytest.raises(ZeroDivisionError):
        Failing().run_from_argv(["manage.py", "failing", "error"])
    event = commands.the_exception()
    about = described(event)
    assert (about["level"], about["mechanism"], about["handled"]) == ("fatal", "onuncaughtexception", False)
    assert about["source"] == "django.management_command"
    assert event["properties"]["management_command"] == "failing"


@pytest.mark.parametrize("how", ["message", "exit", "nested"])
def test_ends_of_a_command_that_are_no_errors(commands: Watched, how: str, capsys: Any) -> None:
    """A message to the user, an exit code, and an error that the caller of `call_command` expects."""
    with pytest.raises(SystemExit) if how != "nested" else contextlib.nullcontext():
        Failing().run_from_argv(["manage.py", "failing", how])
    assert commands.exceptions() == []


def test_commands_after_the_undo(watched: Watched) -> None:
    """Nothing of ours is left."""
    before = BaseCommand.run_from_argv
    phtrack.default_client = watched.client
    undo = django_commands.install_auto()
    assert BaseCommand.run_from_argv is not before
    undo()
    assert BaseCommand.run_from_argv is before


# --- the database ----------------------------------------------------------------------------------------------------


def steps(watched: Watched) -> list[dict[str, Any]]:
    """The statements on the only exception."""
    noted = watched.the_exception()["properties"].get("$exception_steps", [])
    return [one for one in noted if one.get("kind") == "sql"]


def test_statements_are_steps(watched: Watched) -> None:
    """The text without literals and without parameters, the duration, and the error of one that failed."""
    undo = django_database.install()
    assert django_database.install() is undo
    with phtrack.new_context(client=watched.client):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 'ann@example.com', %s, 4711", ["hunter2"])
            with contextlib.suppress(Exception):
                cursor.execute("SELECT * FROM no_such_table")
        watched.client.capture_exception(ValueError("x"))
    undo()
    first, second = steps(watched)
    assert first["$message"] == "SELECT ?, %s, ?"
    assert first["system"] == "sqlite"
    assert first["ms"] >= 0
    assert second["error"] == "OperationalError"
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert connection.execute_wrappers == []


def test_statements_of_a_request(watched: Watched) -> None:
    """Connections that are made later, in the server's threads, are seen; the steps are the request's own."""

    def view(request: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 AS one")
        connection.close()
        raise ValueError("after a query")

    undo = django_database.install_auto()
    changes = {"MIDDLEWARE": [*MIDDLEWARE, OURS], "POSTHOG_MW_CLIENT": watched.client}
    with ProjectApp([path("query", view)], WSGIHandler, **changes).made() as handler, serve_wsgi(handler) as base:
        fetch(base, "/query")
    undo()
    assert [one["$message"] for one in steps(watched)] == ["SELECT ? AS one"]


# --- Channels --------------------------------------------------------------------------------------------------------


def consumers() -> Any:
    """An ASGI application of consumers: synchronous, asynchronous, and one over HTTP."""
    from channels.exceptions import StopConsumer
    from channels.generic.http import AsyncHttpConsumer
    from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
    from channels.routing import ProtocolTypeRouter, URLRouter

    class Async(AsyncWebsocketConsumer):
        async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            if text_data == "boom":
                raise ZeroDivisionError("in a consumer")
            phtrack.tag("said", text_data)
            await self.send(text_data=phtrack.get_context_distinct_id() or "nobody")

    class Sync(WebsocketConsumer):
        def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            if text_data == "boom":
                raise ZeroDivisionError("in a consumer")
            if text_data == "stop":
                self.close()
                raise StopConsumer
            phtrack.tag("said", text_data)
            self.send(text_data=phtrack.get_context_distinct_id() or "nobody")

    class Http(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            if self.scope["path"] == "/http-boom":
                raise ZeroDivisionError("in a consumer")
            await self.send_response(200, b"fine")

    sockets = URLRouter([path("async", Async.as_asgi()), path("sync", Sync.as_asgi())])
    return ProtocolTypeRouter({"http": Http.as_asgi(), "websocket": sockets})


async def talk(base: str, where: str, *words: str, who: str) -> list[str]:
    """What the consumer answers to each of *words*; it may hang up."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    answers = []
    async with connect(f"ws{base[4:]}/{where}", additional_headers={"X-PostHog-Distinct-Id": who}) as socket:
        with contextlib.suppress(ConnectionClosed):
            for word in words:
                await socket.send(word)
                answers.append(str(await socket.recv()))
    return answers


@pytest.fixture
def channels(watched: Watched) -> Iterator[str]:
    """The consumers behind a real server."""
    undo = channels_integration.install(client=watched.client)
    assert channels_integration.install() is undo
    with serve_asgi(consumers(), lifespan="off") as base:
        yield base
    undo()


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_what_escapes_a_consumer(watched: Watched, channels: str, kind: str) -> None:
    """One event, in the context of the connection, with what its earlier messages set."""
    assert asyncio.run(talk(channels, kind, "hello", "boom", who="u1")) == ["u1"]
    event = watched.the_exception()
    about = described(event)
    assert (about["type"], about["handled"], about["level"]) == ("ZeroDivisionError", False, "error")
    assert about["source"] == "channels.consumer"
    assert event["distinct_id"] == "u1"
    told = event["properties"]
    assert (told["said"], told["$request_path"]) == ("hello", f"/{kind}")
    assert told["consumer"].endswith(kind.capitalize())


def test_a_consumer_that_ends(watched: Watched, channels: str) -> None:
    """Hanging up, from either side, is no error."""
    asyncio.run(talk(channels, "sync", "hello", "stop", who="u1"))
    asyncio.run(talk(channels, "async", "hello", who="u1"))
    assert fetch(channels, "/http").body == b"fine"
    assert watched.exceptions() == []


def test_an_http_consumer(watched: Watched, channels: str) -> None:
    """The same for requests."""
    fetch(channels, "/http-boom", {"X-PostHog-Distinct-Id": "u2"})
    event = watched.the_exception()
    assert event["distinct_id"] == "u2"
    assert described(event)["source"] == "channels.consumer"


def test_connections_at_the_same_time_never_mix(watched: Watched, channels: str) -> None:
    """Each of 50 connections sees its own user."""

    async def all_of_them() -> list[list[str]]:
        return await asyncio.gather(
            *(talk(channels, "async" if n % 2 else "sync", "a", "b", who=f"u{n}") for n in range(50))
        )

    assert asyncio.run(all_of_them()) == [[f"u{n}"] * 2 for n in range(50)]
    assert watched.exceptions() == []


def test_consumers_after_the_undo(watched: Watched) -> None:
    """Channels is as it was."""
    from channels.consumer import AsyncConsumer

    before = AsyncConsumer.__call__
    phtrack.default_client = watched.client
    undo = channels_integration.install_auto()
    undo()
    assert AsyncConsumer.__call__ is before
