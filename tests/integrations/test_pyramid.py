"""Pyramid under wsgiref."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Pyramid 2.0 imports pkg_resources
    from pyramid.config import Configurator

from phtrack.integrations import pyramid as integration
from pyramid.httpexceptions import HTTPNotFound, HTTPServiceUnavailable
from pyramid.request import Request
from pyramid.response import Response

import phtrack

from .behaviours import (
    Bodies,
    Code,
    Degraded,
    Handled,
    Middlewares,
    Requests,
    Streams,
    Teardowns,
    Watched,
    fetch,
    serve_wsgi,
)
from .behaviours import described as described


def configuration(code: Code, **settings: Any) -> Configurator:
    config = Configurator(settings=settings)

    def view(path: str, answer: Callable[[Any], Any], **more: Any) -> None:
        config.add_route(path, path)
        config.add_view(answer, route_name=path, **more)

    def missing(request: Any) -> Any:
        raise HTTPNotFound("no such order")

    def later(request: Any) -> Any:
        raise HTTPServiceUnavailable("come back")

    def last_words(request: Any) -> Any:
        request.add_finished_callback(lambda request: code.teardown(request.path))
        return Response(code.ok())

    def inner(request: Any) -> Any:
        return request.invoke_subrequest(Request.blank("/boom"), use_tweens=True)

    view("/ok", lambda request: Response(code.ok()))
    view("/teardown-boom", last_words)
    view("/boom", lambda request: code.boom())
    view("/inner", inner)
    view("/items/{number}", lambda request: code.boom(request.matchdict["number"]))
    view("/handled", lambda request: code.handled())
    view("/degraded", lambda request: code.degraded())
    view("/missing", missing)
    view("/later", later)
    view("/whoami", lambda request: code.whoami(), renderer="json")
    view("/identify", lambda request: code.identify())
    view("/meet/{number}", lambda request: code.meet(request.matchdict["number"]), renderer="json")
    view("/echo", lambda request: Response(request.body))
    view("/stream-boom", lambda request: Response(app_iter=code.chunks()))
    view("/post-boom", lambda request: code.boom(len(request.json if "json" in request.content_type else request.POST)))
    config.add_exception_view(lambda request: Response("conflict", 409), context=Handled)
    config.add_exception_view(lambda request: Response("later", 503), context=Degraded)
    config.registry.code = code
    config.add_tween(f"{__name__}.gate_factory")
    return config


def gate_factory(handler: Any, registry: Any) -> Any:
    """A tween of the application's."""

    def gate(request: Any) -> Any:
        registry.code.middleware(request.path)
        return handler(request)

    return gate


class TestPyramid(Requests, Streams, Middlewares, Teardowns, Bodies):
    """All behaviours; "middleware" is a tween, and "teardown" a finished callback."""

    source = "pyramid.execution_policy"
    handled_source = "pyramid.exception_view"
    routes = {"/boom": "/boom", "/items/7": "/items/{number}", "/stream-boom": "/stream-boom"}

    def build(self, code: Code) -> Any:
        return configuration(code).make_wsgi_app()

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        return integration.install(app, **options)

    def install_auto(self) -> Callable[[], None] | None:
        return integration.install_auto()

    def run(self, app: Any) -> AbstractContextManager[str]:
        return serve_wsgi(app)

    def test_a_server_error_that_is_raised_is_an_answer(self, watched: Watched) -> None:
        """`HTTPServiceUnavailable` is the application's decision."""
        with self.serving(watched) as base:
            assert fetch(base, "/later").status == 503
        assert watched.exceptions() == []

    def test_the_route_is_in_the_context(self, watched: Watched) -> None:
        """Events that a view captures have its route."""
        with self.serving(watched) as base:
            assert fetch(base, "/whoami").json()["tags"]["$request_route"] == "/whoami"

    def test_a_subrequest(self, watched: Watched) -> None:
        """Its error is the request's, and one event with the address that was asked for."""
        with self.serving(watched) as base:
            fetch(base, "/inner", {"X-POSTHOG-DISTINCT-ID": "user-1"})
        event = watched.the_exception()
        assert (event["distinct_id"], event["properties"]["$request_path"]) == ("user-1", "/inner")

    def test_an_undo_leaves_nothing_behind(self, watched: Watched) -> None:
        """Neither the policy nor handlers of events."""
        app = self.build(Code(watched.client))

        def state() -> Any:
            return (app.execution_policy, len(list(app.registry.registeredHandlers())), sorted(vars(app)))

        before = state()
        undo = self.install(app, client=watched.client)
        assert state() != before
        undo()
        assert state() == before


def test_include(watched: Watched) -> None:
    """`config.include` and the settings are enough."""
    phtrack.default_client = watched.client
    config = configuration(Code(watched.client), phtrack={"extra_properties": lambda environ: {"shop": "berlin"}})
    config.include("phtrack.integrations.pyramid")
    with serve_wsgi(config.make_wsgi_app()) as base:
        fetch(base, "/boom")
    assert watched.the_exception()["properties"]["shop"] == "berlin"


def test_options_that_there_are_not() -> None:
    """They are refused when the configuration is made."""
    config = Configurator(settings={"phtrack": {"capture_bodies": True}})
    with pytest.raises(TypeError, match="capture_bodies"):
        config.include("phtrack.integrations.pyramid")
