"""One real server on loopback for the tests that only ask; it is emptied before each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from phtrack.inbox import serve_in_thread
from phtrack.inbox.serve import RunningInbox
from tests.inbox.pages import Page


class Http:
    """A connection to an inbox."""

    def __init__(self, inbox: RunningInbox) -> None:
        self.inbox = inbox
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.inbox.url + path, timeout=30, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.session.post(self.inbox.url + path, timeout=30, **options)

    def send(self, *events: Any) -> None:
        """Deliver *events* as a batch of protocol v0."""
        answer = self.post("/batch/", json={"api_key": "phc_any", "batch": list(events)})
        assert (answer.status_code, answer.json()) == (200, {"status": 1})

    def page(self, path: str) -> Page:
        """The page at *path*, which must exist and be harmless."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        page = Page(answer.text)
        page.assert_harmless()
        return page

    def issue_page(self, event: Any) -> Page:
        """Deliver one exception into an empty inbox, and look at its page."""
        self.send(event)
        (issue,) = self.inbox.issues()
        return self.page(f"/issues/{issue['id']}")


@pytest.fixture(scope="session")
def _server() -> Iterator[Http]:
    with serve_in_thread() as inbox:
        http = Http(inbox)
        yield http
        http.session.close()


@pytest.fixture
def http(_server: Http) -> Http:
    """An empty inbox, and a connection to it."""
    _server.inbox.store.clear()
    return _server
