"""
The pages, as HTML for people and as JSON for programs: every page has a twin that ends in `.json`.

Reads the store, asks `view` what an event says, fills a template. All of it works without JavaScript.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import escape
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from phtrack.inbox.literal import with_words
from phtrack.inbox.records import event_record, issue_record
from phtrack.inbox.text import as_json, visible
from phtrack.inbox.view import age, clock, view_of
from phtrack.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from phtrack.inbox.store import Issue, Store, StoredEvent

MAX_ISSUES = 1_000
"""Issues in one list."""
MAX_EVENTS = 100
"""Ordinary events in one list."""


def routes(store: Store) -> list[Route]:
    """Routes of all pages and their twins. The endpoints are plain functions, which Starlette runs in a thread."""
    templates = _Templates()

    def home(request: Request) -> Response:
        return RedirectResponse(request.url_for("issues").path, 302)

    def issues(request: Request) -> Response:
        total, ordinary = store.counts()
        return templates.page(
            request,
            "issues.html",
            issues=store.issues(MAX_ISSUES),
            total=total,
            ordinary=ordinary,
            revision=store.revision(),
            address=str(request.base_url).rstrip("/"),
        )

    def issues_json(request: Request) -> Response:
        return JSONResponse([issue_record(issue) for issue in store.issues(MAX_ISSUES)])

    def issue(request: Request) -> Response:
        found, event = _find(store, request)
        return templates.page(
            request,
            "issue.html",
            issue=found,
            event=event,
            view=view_of(event, found),
            around=store.neighbours(event),
            revision=store.revision(),
        )

    def issue_json(request: Request) -> Response:
        found, event = _find(store, request)
        around = store.neighbours(event)
        record = {**issue_record(found), "event": event_record(event)}
        return JSONResponse({**record, "older_event": around.older, "newer_event": around.newer})

    def events(request: Request) -> Response:
        name = request.query_params.get("name")
        listed = store.ordinary_events(name, _number(request.query_params.get("before")), MAX_EVENTS)
        return templates.page(
            request,
            "events.html",
            events=listed,
            name=name,
            names=store.names(),
            more=listed[-1].id if len(listed) == MAX_EVENTS else None,
            revision=store.revision(),
        )

    def events_json(request: Request) -> Response:
        name = request.query_params.get("name")
        listed = store.ordinary_events(name, _number(request.query_params.get("before")), MAX_EVENTS)
        return JSONResponse([event_record(event) for event in listed])

    def event(request: Request) -> Response:
        found = _event(store, request)
        return templates.page(request, "event.html", event=found, raw=as_json(found.body, indent=2))

    def event_json(request: Request) -> Response:
        return JSONResponse(event_record(_event(store, request)))

    def revision(request: Request) -> Response:
        return JSONResponse({"revision": store.revision()})

    def about(request: Request) -> Response:
        return JSONResponse({"app": "phtrack inbox", "version": VERSION, "store": store.path})

    paths: list[tuple[str, Callable[[Request], Response]]] = [
        ("/", home),
        ("/issues", issues),
        ("/issues.json", issues_json),
        ("/issues/{issue:int}.json", issue_json),
        ("/issues/{issue:int}", issue),
        ("/issues/{issue:int}/events/{event:int}.json", issue_json),
        ("/issues/{issue:int}/events/{event:int}", issue),
        ("/events", events),
        ("/events.json", events_json),
        ("/events/{event:int}.json", event_json),
        ("/events/{event:int}", event),
        ("/revision.json", revision),
        ("/about.json", about),
    ]
    return [Route(path, endpoint, methods=["GET"], name=endpoint.__name__) for path, endpoint in paths]


def not_found(request: Request, error: Exception) -> Response:
    """The answer to what doesn't exist, in the form that was asked for."""
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (404, "Not Found")
    headers = error.headers if isinstance(error, HTTPException) else None
    if request.method != "GET" or request.url.path.endswith(".json"):
        return JSONResponse({"error": detail}, status, headers)
    return _Templates().page(request, "missing.html", status=status, detail=detail)


def unreadable(request: Request, error: Exception) -> Response:
    """The answer when the store can't be read: its file was damaged, or is locked for too long."""
    return not_found(request, HTTPException(503, f"The inbox can't read its file: {error}"))


def _find(store: Store, request: Request) -> tuple[Issue, StoredEvent]:
    """The issue and event that the path names; without an event, the issue's newest."""
    issue = store.issue(_id(request, "issue"))
    if issue is None:
        raise HTTPException(404, "There is no such issue; it may have been cleared.")
    event = store.event(_id(request, "event")) if "event" in request.path_params else store.newest_event(issue.id)
    if event is None or event.issue != issue.id:
        raise HTTPException(404, "This event is no longer kept, or belongs to another issue.")
    return issue, event


def _event(store: Store, request: Request) -> StoredEvent:
    event = store.event(_id(request, "event"))
    if event is None:
        raise HTTPException(404, "There is no such event; it may have given way to newer ones.")
    return event


def _id(request: Request, name: str) -> int:
    """The number in the path; 0, which no row has, for one that SQLite can't hold."""
    number: int = request.path_params[name]
    return number if number < 2**63 else 0


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 18 else None


class _Templates:
    """Jinja2 over the package's templates; everything is escaped, and a misspelt name fails."""

    def __init__(self) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("phtrack.inbox", "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            finalize=lambda value: visible(with_words(value)) if type(value) is str else value,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            clock=clock, exactly=lambda text: escape(visible(text)), thousands=lambda number: f"{number:,}"
        )

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        now = time.time()
        html = self._environment.get_template(template).render(
            status=status, age=lambda then: age(max(0.0, now - then)), path=request.url.path, **values
        )
        return HTMLResponse(html, status)
