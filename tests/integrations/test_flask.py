"""Flask under werkzeug's own server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import click
import pytest
from click.testing import CliRunner
from flask import Flask, Response, abort, appcontext_pushed, got_request_exception, jsonify, request, session
from flask.cli import AppGroup, FlaskGroup, ScriptInfo
from phtrack.integrations import flask as integration
from phtrack.integrations.flask import PosthogFlaskIntegration
from phtrack.integrations.wsgi import PosthogWSGIMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import WSGIRequestHandler, make_server

import phtrack

from .behaviours import (
    HANG,
    Backgrounds,
    Bodies,
    Code,
    Degraded,
    Departures,
    Handled,
    Middlewares,
    Requests,
    Streams,
    Teardowns,
    Watched,
    fetch,
)
from .behaviours import described as described


def application(code: Code) -> Flask:
    app = Flask("shop")
    app.secret_key = "not a secret"

    @app.get("/ok")
    @app.get("/teardown-boom")
    def ok() -> str:
        return code.ok()

    @app.get("/boom")
    @app.get("/items/<int:number>")
    def boom(number: int = 0) -> Any:
        return code.boom(number)

    @app.get("/async-boom")
    async def async_boom() -> Any:
        phtrack.tag("asynchronous", True)
        return code.boom()

    for name in ("handled", "degraded", "identify"):
        app.get(f"/{name}", endpoint=name)(getattr(code, name))

    @app.get("/missing")
    def missing() -> Any:
        abort(404)

    @app.get("/whoami")
    def whoami() -> Any:
        return jsonify(code.whoami())

    @app.get("/meet/<number>")
    def meet(number: str) -> Any:
        return jsonify(code.meet(number))

    @app.post("/echo")
    def echo() -> Any:
        return Response(request.get_data())

    @app.get("/stream-boom")
    def stream() -> Any:
        return Response(code.chunks())

    @app.get("/endless")
    def endless() -> Any:
        return Response(code.endless())

    @app.get("/background")
    def background() -> Any:
        response = Response("started")
        response.call_on_close(code.background)  # Flask's only way to do something when the answer is out
        return response

    @app.post("/post-boom")
    def post_boom() -> Any:
        return code.boom(len(request.get_json() if request.is_json else request.form))

    @app.errorhandler(Handled)
    def conflict(error: Handled) -> Any:
        return "conflict", 409

    @app.errorhandler(Degraded)
    def unavailable(error: Degraded) -> Any:
        return "later", 503

    @app.teardown_request
    def teardown(error: Any) -> None:
        code.teardown(request.path)

    gated = app.wsgi_app

    def gate(environ: Any, start_response: Any) -> Any:
        code.middleware(environ["PATH_INFO"])
        return gated(environ, start_response)

    app.wsgi_app = gate  # type: ignore[method-assign]
    return app


@contextmanager
def serve(app: Flask) -> Iterator[str]:
    """werkzeug's server, a thread per request; at the end everything that it started is over."""

    class Quiet(WSGIRequestHandler):
        def log(self, *args: Any, **kwargs: Any) -> None:
            pass

    app.logger.disabled = True
    server: Any = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    server.daemon_threads = False
    server.block_on_close = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(HANG)
        server.server_close()


class TestFlask(Requests, Streams, Backgrounds, Middlewares, Teardowns, Bodies, Departures):
    """All behaviours."""

    source = "flask.got_request_exception"
    streamed_source = "wsgi.middleware"
    routes = {"/boom": "/boom", "/items/7": "/items/<int:number>", "/stream-boom": "/stream-boom"}

    def build(self, code: Code) -> Any:
        return application(code)

    def install(self, app: Any, **options: Any) -> Callable[[], None]:
        return integration.install(app, **options)

    def install_auto(self) -> Callable[[], None] | None:
        return integration.install_auto()

    def run(self, app: Any) -> AbstractContextManager[str]:
        return serve(app)

    def test_an_async_view(self, watched: Watched) -> None:
        """Its error is one event like any other, with what the view said, although it ran in another thread."""
        with self.serving(watched) as base:
            fetch(base, "/async-boom")
        assert watched.the_exception()["properties"]["asynchronous"] is True

    def test_a_debug_server_lets_errors_through(self, watched: Watched) -> None:
        """Seen by the signal and again when it escapes, it is one event with the first one's source."""
        app = self.build(Code(watched.client))
        app.config["PROPAGATE_EXCEPTIONS"] = True
        self.install(app, client=watched.client)
        with self.run(app) as base:
            fetch(base, "/boom")
        assert described(watched.the_exception()) == self.unhandled("/boom")


def test_the_extension_object(watched: Watched) -> None:
    """By constructor or `init_app`, once per application; it captures as the client does unless told otherwise."""
    first, second, third = (application(Code(watched.client)) for _ in range(3))
    extension = PosthogFlaskIntegration(first, client=watched.client, capture_exceptions=True)
    extension.init_app(second)
    with pytest.raises(RuntimeError, match="already.*'shop'"):
        extension.init_app(first)
    with pytest.raises(RuntimeError, match="already"):
        PosthogFlaskIntegration(first)
    PosthogFlaskIntegration(third, client=watched.client)
    for app in (first, second, third):
        with serve(app) as base:
            fetch(base, "/boom")
    assert [described(event)["source"] for event in watched.exceptions()] == ["flask.got_request_exception"] * 2


def test_the_application_replaces_what_was_installed_for_all(watched: Watched) -> None:
    """An application that says itself what it wants is no error after `install_auto` has seen it, and its words count."""
    undo = integration.install_auto()
    try:
        app = application(Code(watched.client))
        with serve(app) as base:
            fetch(base, "/ok")
            PosthogFlaskIntegration(app, client=watched.client, capture_exceptions=True)
            fetch(base, "/boom")
        assert described(watched.the_exception())["source"] == "flask.got_request_exception"
    finally:
        undo()
    assert app.extensions["phtrack"].automatic is False


@pytest.mark.parametrize(
    ("options", "seen", "events"),
    [
        ({"request_filter": lambda environ: False}, None, 0),
        ({"capture_exceptions": False}, "user-1", 0),
        ({"capture_tracing_headers": False}, None, 1),
    ],
    ids=["filter", "no captures", "no headers"],
)
def test_plain_middleware_that_is_put_in_by_hand(watched: Watched, options: Any, seen: Any, events: int) -> None:
    """What it says holds, although the integration stands around it."""
    app = application(Code(watched.client))
    app.wsgi_app = PosthogWSGIMiddleware(app.wsgi_app, client=watched.client, **options)  # type: ignore[method-assign]
    undo = integration.install(app, client=watched.client)
    sent: dict[str, str | bytes] = {"X-POSTHOG-DISTINCT-ID": "user-1"}
    with serve(app) as base:
        assert fetch(base, "/whoami", sent).json()["distinct_id"] == seen
        assert fetch(base, "/teardown-boom", sent).status in (200, 500)
        assert fetch(base, "/boom", sent).status == 500
    undo()
    assert len(watched.exceptions()) == 2 * events


def test_an_undo_puts_flask_back(watched: Watched) -> None:
    """The methods that `install_auto` changes, and the application that it found, are as they were."""

    def state() -> Any:
        return Flask.__call__, ScriptInfo.load_app

    app = application(Code(watched.client))
    before, wsgi = state(), app.wsgi_app
    undo = integration.install_auto()
    assert integration.install_auto() is undo
    assert not set(before) & set(state())
    app.test_client().get("/ok")
    assert app.wsgi_app is not wsgi
    undo()
    assert (state(), app.wsgi_app) == (before, wsgi)
    assert list(got_request_exception.receivers_for(app)) == []


def test_unknown_options_are_refused_at_once() -> None:
    """Not at the first request."""
    with pytest.raises(TypeError, match="capture_bodies"):
        PosthogFlaskIntegration(capture_bodies=True)


def test_callbacks_see_flasks_request(watched: Watched) -> None:
    """With its endpoint; the filter leaves requests alone, extra properties are on events, and either may fail."""

    def wanted(request: Any) -> bool:
        if request.args.get("fail"):
            raise LookupError("the callback's own")
        return bool(request.args.get("number") != "1")

    app = application(Code(watched.client))
    integration.install(
        app, client=watched.client, request_filter=wanted, extra_properties=lambda it: {"page": it.endpoint}
    )
    with serve(app) as base:
        fetch(base, "/boom?number=1", {"X-POSTHOG-DISTINCT-ID": "user-1"})
        assert fetch(base, "/whoami?number=1", {"X-POSTHOG-DISTINCT-ID": "user-1"}).json() == {
            "distinct_id": None,
            "session_id": None,
            "tags": {},
        }
        assert watched.exceptions() == []
        fetch(base, "/boom?number=2")
        fetch(base, "/boom?fail=1")
    assert [event["properties"]["page"] for event in watched.exceptions()] == ["boom", "boom"]


def test_switches_of_the_surroundings_stay(watched: Watched) -> None:
    """The request's context is a fresh one, but what its surroundings say about values holds inside."""
    app = application(Code(watched.client))
    integration.install(app, client=watched.client)
    seen: list[Any] = []
    app.before_request(lambda: seen.append(phtrack.get_tags()))
    with phtrack.new_context():
        phtrack.tag("outside", 1)
        phtrack.set_capture_exception_code_variables_context(False)
        app.test_client().get("/boom")
    assert "outside" not in seen[0]
    frames = watched.the_exception()["properties"]["$exception_list"][0]["stacktrace"]["frames"]
    assert frames and not any("code_variables" in frame for frame in frames)


def test_the_address_behind_a_proxy(watched: Watched) -> None:
    """Where the application trusts its proxy (`ProxyFix`), the client's address and the public host are told."""
    app = application(Code(watched.client))
    app.wsgi_app = ProxyFix(app.wsgi_app, x_host=1, x_proto=1)  # type: ignore[method-assign]
    integration.install(app, client=watched.client)
    with serve(app) as base:
        sent: dict[str, str | bytes] = {
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Host": "shop.example",
            "X-Forwarded-Proto": "https",
        }
        tags = fetch(base, "/whoami", sent).json()["tags"]
    assert (tags["$ip"], tags["$current_url"]) == ("203.0.113.9", "https://shop.example/whoami")


def test_who_is_logged_in(watched: Watched) -> None:
    """Flask-Login's id in the session is the user where no header says another; looking at it leaves no trace."""
    app = application(Code(watched.client))
    app.login_manager = object()  # type: ignore[attr-defined] # as Flask-Login leaves it

    @app.get("/login")
    def login() -> str:
        session["_user_id"] = "anna"
        return ""

    integration.install(app, client=watched.client)
    browser = app.test_client()
    browser.get("/login")
    answer = browser.get("/whoami")
    assert answer.json["distinct_id"] == "anna"  # type: ignore[index]
    assert "Vary" not in answer.headers
    answer = browser.get("/whoami", headers={"X-POSTHOG-DISTINCT-ID": "ben"})
    assert answer.json["distinct_id"] == "ben"  # type: ignore[index]


class TestCommands:
    """`app.cli`."""

    def build(self, code: Code) -> Flask:
        app = application(code)

        @app.cli.command("import-orders")
        @click.argument("number")
        def import_orders(number: str) -> None:
            code.boom(number)

        @app.cli.command("stop")
        @click.argument("how")
        def stop(how: str) -> None:
            raise {"exit": click.exceptions.Exit(3), "abort": click.Abort(), "usage": click.UsageError("no")}[how]

        users = AppGroup("users")

        @users.command("purge")
        def purge() -> None:
            code.boom()

        app.cli.add_command(users)
        return app

    @pytest.mark.parametrize(
        ("arguments", "name"), [(["import-orders", "7"], "import-orders"), (["users", "purge"], "users purge")]
    )
    def test_an_error_is_one_fatal_event(self, watched: Watched, arguments: list[str], name: str) -> None:
        """With the command's name; the error goes on as it would without us."""
        app = self.build(Code(watched.client))
        undo = integration.install(app, client=watched.client)
        result = app.test_cli_runner().invoke(args=arguments)
        assert type(result.exception).__name__ == "Boom"
        event = watched.the_exception()
        assert described(event) == {
            "type": "Boom",
            "level": "fatal",
            "mechanism": "onuncaughtexception",
            "handled": False,
            "source": "click.command",
            "route": None,
            "status": None,
        }
        assert event["properties"]["cli_command"].endswith(name)
        undo()
        app.test_cli_runner().invoke(args=arguments)
        assert len(watched.exceptions()) == 1

    @pytest.mark.parametrize("how", ["exit", "abort", "usage"])
    def test_ways_to_stop_are_no_errors(self, watched: Watched, how: str) -> None:
        """click ends commands by exceptions of its own."""
        app = self.build(Code(watched.client))
        integration.install(app, client=watched.client)
        assert app.test_cli_runner().invoke(args=["stop", how]).exit_code in (1, 2, 3)
        assert watched.exceptions() == []

    def test_installed_for_every_app(self, watched: Watched) -> None:
        """`install_auto` sees commands too, as the `flask` command loads their application."""
        phtrack.default_client = watched.client
        undo = integration.install_auto()
        try:
            app = self.build(Code(watched.client))
            CliRunner().invoke(FlaskGroup(create_app=lambda: app), ["import-orders", "7"])
        finally:
            undo()
        assert described(watched.the_exception())["source"] == "click.command"
        assert "phtrack" not in app.extensions

    def test_installed_by_the_application_as_it_loads(self, watched: Watched) -> None:
        """`flask --app shop import-orders`: Flask is there first, and `phtrack.init` stands in the module that it loads."""
        phtrack.default_client = watched.client
        undos: list[Callable[[], None]] = []

        def create_app() -> Flask:
            undos.append(integration.install_auto())
            return self.build(Code(watched.client))

        CliRunner().invoke(FlaskGroup(create_app=create_app), ["import-orders", "7"])
        undos[0]()
        assert described(watched.the_exception())["source"] == "click.command"
        assert not appcontext_pushed.receivers
