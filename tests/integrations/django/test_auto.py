"""A program that only calls `phtrack.init`: Django is noticed when it is imported, and its tasks where it has them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import django
import pytest

from ..behaviours import Watched, described

PROGRAM = """
import json, sys
import phtrack
from phtrack import auto
from phtrack.testing import FakeClock, RecordingTransport
client = phtrack.init("phc_test", transport=RecordingTransport(), clock=FakeClock())
assert not [name for name in sys.modules if name.split(".")[0] == "django"], "phtrack imported Django"
from types import ModuleType
from django.conf import settings
urls = ModuleType("urls")
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls, LOGGING_CONFIG=None, SECRET_KEY="x",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
import django
django.setup()
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.urls import path
def view(request):
    connection.cursor().execute("SELECT 4711")
    raise ValueError("in a view")
urls.urlpatterns = [path("orders", view)]
application = get_wsgi_application()
from django.core.management import base
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/orders", "SERVER_NAME": "x", "SERVER_PORT": "80",
    "wsgi.input": sys.stdin.buffer, "wsgi.url_scheme": "http", "HTTP_X_POSTHOG_DISTINCT_ID": "u1"}
b"".join(application(environ, lambda *_: None))
client.flush()
print(json.dumps([auto.status(), phtrack.default_client._delivery._transport.events]))
"""


def test_init_is_all_it_takes() -> None:
    """The error of a request is one event, with its user, its route and its statements; phtrack imports no Django itself."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, input="", timeout=60)
    assert done.returncode == 0, done.stderr
    status, events = json.loads(done.stdout)
    assert {status[name] for name in ("django", "django_commands", "django_database")} == {"on"}
    assert (status["drf"], status["channels"]) == ("waiting", "waiting")
    (event,) = [one for one in events if one["event"] == "$exception"]
    about = described(event)
    assert (about["source"], about["route"], about["status"]) == ("django.middleware", "orders", 500)
    assert event["distinct_id"] == "u1"
    steps = [one["$message"] for one in event["properties"]["$exception_steps"] if one.get("kind") == "sql"]
    assert "SELECT ?" in steps


@pytest.mark.skipif(django.VERSION < (6, 0), reason="needs Python 3.12, and with it Django 6")
def test_a_background_task_that_fails(watched: Watched) -> None:
    """One event that names the task; none for one that works."""
    from django.tasks import task
    from phtrack.integrations import django_tasks

    undo = django_tasks.install(client=watched.client)
    assert django_tasks.install() is undo
    task(works).enqueue()
    task(fails).enqueue()
    undo()
    task(fails).enqueue()
    event = watched.the_exception()
    about = described(event)
    assert (about["source"], about["mechanism"], about["handled"]) == ("django.tasks", "task", False)
    assert event["properties"]["task"].endswith("test_auto.fails")


def works() -> Any:
    return 1


def fails() -> Any:
    raise ZeroDivisionError("in a task")
