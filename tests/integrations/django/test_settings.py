"""The middleware as the settings name it: all of `POSTHOG_MW_*`, the methods of subclasses, the user, and its place among others."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.test import Client as Browser
from django.test.utils import override_settings
from django.urls import path
from phtrack.integrations import django as integration
from phtrack.integrations import django_commands
from phtrack.integrations.django import PosthogContextMiddleware

import phtrack

from ..behaviours import Code, Watched, described, fetch, serve_asgi, serve_wsgi
from .project import MIDDLEWARE, OURS, AppMiddleware, ProjectApp, async_urls, urls

BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["wsgi", "asgi"])


@contextlib.contextmanager
def serving(watched: Watched, asynchronous: bool = False, *, more: Any = (), **changes: Any) -> Iterator[str]:
    """The project with the middleware in its settings, between those of sessions and the views unless *changes* say."""
    code = Code(watched.client)
    AppMiddleware.code = code
    changes = {"MIDDLEWARE": [*MIDDLEWARE, OURS], "POSTHOG_MW_CLIENT": watched.client, **changes}
    routes = [*(async_urls(code) if asynchronous else urls(code)), *more]
    app = ProjectApp(routes, ASGIHandler if asynchronous else WSGIHandler, **changes)
    with app.made() as handler:
        with serve_asgi(handler, lifespan="off") if asynchronous else serve_wsgi(handler) as base:
            yield base


@pytest.fixture
def ann() -> Iterator[Any]:
    """A user with an e-mail address, and the cookie of their session."""
    user = get_user_model().objects.create_user("ann", "ann@example.com", "pw")
    browser = Browser()
    browser.force_login(user)
    yield user, f"sessionid={browser.cookies['sessionid'].value}"
    user.delete()


# --- the user --------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("order", [[*MIDDLEWARE, OURS], [OURS, *MIDDLEWARE]], ids=["inside", "outside"])
def test_the_logged_in_user_is_the_distinct_id(watched: Watched, ann: Any, asynchronous: bool, order: Any) -> None:
    """Wherever the middleware stands, the view and the event know the user; the address is told only when asked for."""
    user, cookie = ann
    with serving(watched, asynchronous, MIDDLEWARE=order) as base:
        seen = fetch(base, "/whoami", {"Cookie": cookie}).json()
        fetch(base, "/boom", {"Cookie": cookie})
    assert seen["distinct_id"] == str(user.pk)
    assert "email" not in seen["tags"]
    assert seen["tags"]["$request_route"] == "whoami"
    assert watched.the_exception()["distinct_id"] == str(user.pk)


@BOTH
@pytest.mark.parametrize(("prefer", "expected"), [(False, "from-header"), (True, None)])
def test_the_header_beats_the_user_unless_told_otherwise(
    watched: Watched, ann: Any, asynchronous: bool, prefer: bool, expected: str | None
) -> None:
    """`prefer_authenticated_user` turns the order around."""
    user, cookie = ann
    sent: dict[str, str | bytes] = {"Cookie": cookie, "X-PostHog-Distinct-Id": "from-header"}
    more = {"prefer_authenticated_user": prefer, "capture_email": True}
    with serving(watched, asynchronous, POSTHOG_MW_HTTP=more) as base:
        seen = fetch(base, "/whoami", sent).json()
    assert seen["distinct_id"] == (expected or str(user.pk))
    assert seen["tags"]["email"] == "ann@example.com"


@BOTH
def test_looking_at_the_user_leaves_the_response_alone(watched: Watched, ann: Any, asynchronous: bool) -> None:
    """No `Vary: Cookie`, which would keep caches from keeping the page, because we looked at the session."""
    _, cookie = ann
    with serving(watched, asynchronous, MIDDLEWARE=MIDDLEWARE) as base:
        bare = fetch(base, "/ok", {"Cookie": cookie})
    for order in ([*MIDDLEWARE, OURS], [OURS, *MIDDLEWARE]):
        with serving(watched, asynchronous, MIDDLEWARE=order) as base:
            assert fetch(base, "/ok", {"Cookie": cookie}).comparable() == bare.comparable()
    assert "vary" not in bare.headers


def test_a_user_who_logs_in_during_the_request_is_on_its_event(watched: Watched, ann: Any) -> None:
    """A login view, or an API that reads a token: known by the time of the error."""
    user, _ = ann

    def enter(request: Any) -> Any:
        request.user = user
        raise ValueError("after the login")

    with serving(watched, more=[path("enter", enter)]) as base:
        fetch(base, "/enter")
    assert watched.the_exception()["distinct_id"] == str(user.pk)


def test_a_user_that_can_not_be_loaded_breaks_nothing(watched: Watched) -> None:
    """The database is down: the request goes on without a user."""
    with serving(watched, MIDDLEWARE=[f"{__name__}.BrokenUser", OURS]) as base:
        assert fetch(base, "/ok").body == b"fine"
        assert fetch(base, "/whoami").json()["distinct_id"] is None


def BrokenUser(get_response: Any) -> Any:
    from django.utils.functional import SimpleLazyObject

    def load() -> Any:
        raise ConnectionError("no database")

    def middleware(request: Any) -> Any:
        request.user = SimpleLazyObject(load)
        return get_response(request)

    return middleware


# --- settings --------------------------------------------------------------------------------------------------------


@BOTH
def test_callbacks_of_the_settings(watched: Watched, asynchronous: bool) -> None:
    """The filter leaves requests alone, extra properties are merged over ours, and the map has the last word."""
    with serving(
        watched,
        asynchronous,
        POSTHOG_MW_REQUEST_FILTER=lambda request: request.path != "/boom",
        POSTHOG_MW_EXTRA_PROPERTIES=lambda request: {"tenant": "acme", "$request_method": "mine"},
        POSTHOG_MW_PROPERTIES_MAP=lambda tags: {name: tag for name, tag in tags.items() if name != "$ip"},
    ) as base:
        seen = fetch(base, "/whoami").json()["tags"]
        assert fetch(base, "/boom").status == 500
    assert (seen["tenant"], seen["$request_method"]) == ("acme", "mine")
    assert "$ip" not in seen
    assert watched.exceptions() == []


def test_older_names_of_the_settings(watched: Watched) -> None:
    """`..._EXTRA_TAGS`, `..._TAG_MAP` and `..._TRUST_TRACING_HEADERS` still work."""
    with serving(
        watched,
        POSTHOG_MW_EXTRA_TAGS=lambda request: {"tenant": "acme"},
        POSTHOG_MW_TAG_MAP=lambda tags: {**tags, "mapped": True},
        POSTHOG_MW_TRUST_TRACING_HEADERS=False,
    ) as base:
        seen = fetch(base, "/whoami", {"X-PostHog-Distinct-Id": "u1"}).json()
    assert (seen["tags"]["tenant"], seen["tags"]["mapped"]) == ("acme", True)
    assert seen["distinct_id"] is None


@BOTH
def test_callbacks_that_raise_break_nothing(watched: Watched, asynchronous: bool) -> None:
    """Each failing callback is as if it weren't there."""

    def fail(_: Any) -> Any:
        raise RuntimeError("callback")

    names = ("REQUEST_FILTER", "EXTRA_PROPERTIES", "PROPERTIES_MAP")
    with serving(watched, asynchronous, **{f"POSTHOG_MW_{name}": fail for name in names}) as base:
        assert fetch(base, "/whoami").json()["tags"]["$request_path"] == "/whoami"
        fetch(base, "/boom")
    assert described(watched.the_exception())["type"] == "Boom"


@BOTH
def test_a_callback_that_asks_the_database(watched: Watched, ann: Any, asynchronous: bool) -> None:
    """In an asynchronous request it is asked again in a thread, where it may."""
    user, cookie = ann

    def extra(request: Any) -> Any:
        return {"name": get_user_model().objects.get(pk=user.pk).username}

    with serving(watched, asynchronous, POSTHOG_MW_EXTRA_PROPERTIES=extra) as base:
        assert fetch(base, "/whoami", {"Cookie": cookie}).json()["tags"]["name"] == "ann"


@pytest.mark.parametrize(
    ("value", "autocapture", "captured"),
    [(True, False, True), (False, True, False), (None, False, False), (None, True, True), ("yes", False, True)],
)
def test_capturing_can_be_set(value: Any, autocapture: bool, captured: bool) -> None:
    """True without the setting or with a malformed one; None asks the client."""
    watched = Watched(enable_exception_autocapture=autocapture)
    with serving(watched, POSTHOG_MW_CAPTURE_EXCEPTIONS=value) as base:
        fetch(base, "/boom")
    assert len(watched.exceptions()) == captured
    watched.client.shutdown()


def test_a_body_is_told_when_asked_for_and_read(watched: Watched) -> None:
    """Bounded, scrubbed, as a step; not read for it: the view that doesn't read it still can't be told."""
    import json

    def read(request: Any) -> Any:
        json.loads(request.body)
        raise ValueError("after reading")

    def unread(request: Any) -> Any:
        raise KeyError("before reading")

    from django.views.decorators.csrf import csrf_exempt

    more = [path("read", csrf_exempt(read)), path("unread", csrf_exempt(unread))]
    body = json.dumps({"item": "book", "password": "hunter2"}).encode()
    with serving(watched, more=more, POSTHOG_MW_HTTP={"capture_body": True}) as base:
        for where in ("/read", "/unread"):
            request = f"POST {where} HTTP/1.0\r\nHost: {base[7:]}\r\nContent-Type: application/json\r\n"
            from ..behaviours import exchange

            exchange(base, f"{request}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    events = {event["properties"]["$exception_type"]: event["properties"] for event in watched.exceptions()}
    (step,) = [one for one in events["ValueError"]["$exception_steps"] if one.get("kind") == "request"]
    assert step["json"]["item"] == "book"
    assert "hunter2" not in json.dumps(step)
    assert not [one for one in events["KeyError"].get("$exception_steps", ()) if one.get("kind") == "request"]


# --- subclasses ------------------------------------------------------------------------------------------------------


class OwnTags(PosthogContextMiddleware):
    def extract_tags(self, request: Any) -> dict[str, Any]:
        return {**super().extract_tags(request), "own": "tag"}

    def extract_request_user(self, request: Any) -> Any:
        return "user-of-subclass", None

    async def aextract_request_user(self, request: Any) -> Any:
        return "user-of-subclass", None

    def process_exception(self, request: Any, exception: Exception) -> Any:
        super().process_exception(request, exception)


class OwnProperties(PosthogContextMiddleware):
    def extract_properties(self, request: Any) -> dict[str, Any]:
        return {**super().extract_properties(request), "own": "property"}

    async def aextract_properties(self, request: Any) -> dict[str, Any]:
        return {**await super().aextract_properties(request), "own": "property"}


@BOTH
def test_subclasses_change_what_is_told(watched: Watched, asynchronous: bool) -> None:
    """By the newer and the older name of each method."""
    with serving(watched, asynchronous, MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.OwnTags"]) as base:
        seen = fetch(base, "/whoami").json()
        fetch(base, "/boom")
    assert (seen["tags"]["own"], seen["distinct_id"]) == ("tag", "user-of-subclass")
    assert described(watched.the_exception())["source"] == "django.middleware"
    with serving(watched, asynchronous, MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.OwnProperties"]) as base:
        assert fetch(base, "/whoami").json()["tags"]["own"] == "property"


# --- its place -------------------------------------------------------------------------------------------------------


def test_listed_and_installed_is_one_event(watched: Watched) -> None:
    """`install` adds nothing where the settings list the middleware, and both together report once."""
    undo = integration.install(client=watched.client)
    with serving(watched) as base:
        fetch(base, "/boom")
        assert fetch(base, "/whoami").json()["tags"]["$request_path"] == "/whoami"
    undo()
    assert described(watched.the_exception())["route"] == "boom"


def test_an_error_outside_of_our_middleware(watched: Watched) -> None:
    """A middleware further out fails before our own ran: the event has the request's facts all the same."""
    outside = f"{AppMiddleware.__module__}.AppMiddleware"
    with serving(watched, MIDDLEWARE=[outside, *MIDDLEWARE, OURS]) as base:
        fetch(base, "/middleware-boom", {"X-PostHog-Distinct-Id": "u1"})
        after = fetch(base, "/whoami").json()
    event = watched.the_exception()
    assert event["distinct_id"] == "u1"
    assert event["properties"]["$request_path"] == "/middleware-boom"
    assert described(event)["status"] == 500
    assert after["distinct_id"] is None


def FailsAfterwards(get_response: Any) -> Any:
    def middleware(request: Any) -> Any:
        get_response(request)
        raise ValueError("on the way out")

    return middleware


def test_an_error_on_the_way_out(watched: Watched) -> None:
    """A middleware further out fails after our own has left: the event is in the request's context."""
    with serving(watched, MIDDLEWARE=[f"{__name__}.FailsAfterwards", *MIDDLEWARE, OURS]) as base:
        fetch(base, "/whoami", {"X-PostHog-Distinct-Id": "u1"})
    event = watched.the_exception()
    assert event["distinct_id"] == "u1"
    assert described(event)["route"] == "whoami"


def test_a_handler_made_before_the_install(watched: Watched) -> None:
    """It reports errors, with the request's facts, though it has no context."""
    code = Code(watched.client)
    app = ProjectApp(urls(code), WSGIHandler, MIDDLEWARE=MIDDLEWARE)
    with app.made() as handler:
        undo = integration.install(client=watched.client)
        with serve_wsgi(handler) as base:
            fetch(base, "/boom", {"X-PostHog-Distinct-Id": "u1"})
        undo()
    event = watched.the_exception()
    assert event["distinct_id"] == "u1"
    assert described(event)["source"] == "django.middleware"


def test_an_undo_puts_django_back() -> None:
    """The methods that `install` changes are Django's own again, however often it was called."""

    def state() -> Any:
        return BaseHandler.load_middleware, HttpResponseBase.close

    before = state()
    undo = integration.install()
    assert integration.install_auto() is undo
    assert not set(before) & set(state())
    undo()
    assert state() == before


def test_an_undo_leaves_what_the_settings_list(watched: Watched) -> None:
    """A handler whose settings list the middleware reports on, although the one that `install` added was made after it."""
    with serving(watched) as base:
        undo = integration.install(client=watched.client)
        with ProjectApp(urls(Code(watched.client)), WSGIHandler, MIDDLEWARE=MIDDLEWARE).made():
            undo()
        fetch(base, "/boom")
    assert described(watched.the_exception())["source"] == "django.middleware"


def test_synchronous_middleware_in_an_asynchronous_handler(watched: Watched) -> None:
    """Django runs us in a thread then; the view, elsewhere, shares the context."""
    inner = f"{AppMiddleware.__module__}.AppMiddleware"
    with serving(watched, True, MIDDLEWARE=[OURS, *MIDDLEWARE, inner]) as base:
        fetch(base, "/identify")
    event = watched.the_exception()
    assert (event["distinct_id"], event["properties"]["plan"]) == ("found-in-handler", "pro")
    assert [f["filename"] for f in event["properties"]["$exception_list"][0]["stacktrace"]["frames"]][-1].endswith(
        "behaviours.py"
    )


# --- what is no error ------------------------------------------------------------------------------------------------


def test_answers_that_are_no_errors(watched: Watched) -> None:
    """Forbidden, bad requests, and a client that hung up while its body was read."""
    from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation

    def fails(error: Exception) -> Any:
        def view(request: Any) -> Any:
            raise error

        return view

    errors = [PermissionDenied(), BadRequest("x"), SuspiciousOperation("x"), UnreadablePostError("client went away")]
    more = [path(f"error-{n}", fails(error)) for n, error in enumerate(errors)]
    with serving(watched, more=more) as base:
        assert [fetch(base, f"/error-{n}").status for n in range(4)] == [403, 400, 400, 500]
    assert watched.exceptions() == []


def test_files_are_left_to_the_server(watched: Watched, tmp_path: Any) -> None:
    """A file that the server may send by itself stays one."""
    (tmp_path / "file.txt").write_bytes(b"content" * 1000)
    seen: list[Any] = []

    def download(request: Any) -> Any:
        response = FileResponse(open(tmp_path / "file.txt", "rb"))
        seen.append((response, response.file_to_stream))
        return response

    with serving(watched, more=[path("download", download)]) as base:
        assert fetch(base, "/download").body == b"content" * 1000
    assert seen[0][1] is not None


def test_requests_and_responses_can_be_pickled(watched: Watched) -> None:
    """Caches pickle responses, and queues requests: nothing of ours stands in the way."""

    def pickled(request: Any) -> Any:
        request.resolver_match = None
        kept = {name: value for name, value in request.__dict__.items() if name.startswith("_phtrack")}
        pickle.loads(pickle.dumps(kept))
        return HttpResponse("x")

    with serving(watched, MIDDLEWARE=[f"{__name__}.Pickles", OURS], more=[path("pickled", pickled)]) as base:
        assert fetch(base, "/pickled").body == b"x"


def Pickles(get_response: Any) -> Any:
    return lambda request: pickle.loads(pickle.dumps(get_response(request)))


# --- the check -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"MIDDLEWARE": [*MIDDLEWARE, OURS]}, []),
        ({"MIDDLEWARE": [OURS, *MIDDLEWARE]}, []),
        ({"MIDDLEWARE": [OURS, *MIDDLEWARE], "POSTHOG_MW_EXTRA_PROPERTIES": dict}, ["phtrack.W001"]),
        ({"MIDDLEWARE": [OURS, OURS]}, ["phtrack.W002"]),
        ({"MIDDLEWARE": [OURS, "posthog.integrations.django.PosthogContextMiddleware"]}, ["phtrack.W003"]),
        ({"POSTHOG_MW_REQUEST_FILTER": "shop.wanted"}, ["phtrack.W004"]),
        ({"POSTHOG_MW_CAPTURE_EXCEPTIONS": "no"}, ["phtrack.W005"]),
    ],
)
def test_the_system_check(changes: Any, expected: list[str]) -> None:
    """`manage.py check` says what is wrong with the settings, and nothing after the undo."""
    undo = django_commands.install()
    with override_settings(**changes):
        assert [one.id for one in run_checks(tags=["phtrack"])] == expected
    undo()
    assert run_checks(tags=["phtrack"]) == []


def test_options_that_there_are_not() -> None:
    """A typing error shows at the call."""
    with pytest.raises(TypeError, match="clinet"):
        integration.install(clinet=None)
    assert phtrack.get_tags() == {}
