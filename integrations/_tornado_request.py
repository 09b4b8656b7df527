"""
What a Tornado request says: its facts, the route it was found by, the body that Tornado has read.

    handler -> RequestFacts, route
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tornado.routing import PathMatches

from . import _http
from ._http import RequestFacts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tornado.web import Application, RequestHandler


def facts(handler: RequestHandler) -> RequestFacts:
    """The facts of a handler's request."""
    request = handler.request
    return RequestFacts(
        method=request.method,
        url=f"{request.protocol}://{request.host}{request.path}",
        path=request.path,
        route=route_of(handler),
        get_header=request.headers.get,
        peer=request.remote_ip,
    )


def route_of(handler: RequestHandler) -> str | None:
    """The pattern that a request was found by, as the application wrote it; None if there is none."""
    patterns = _patterns(handler.application, type(handler))
    path = handler.request.path or ""
    found = patterns[0] if len(patterns) == 1 else next((one for one in patterns if one.match(path)), None)
    return found.pattern.removesuffix("$") if found is not None else None


def _patterns(app: Application, kind: type) -> list[Any]:
    """The patterns under which *app* has handlers of a class, found once."""
    known: dict[type, list[Any]] = vars(app).setdefault("_phtrack_patterns", {})
    if kind not in known:
        known[kind] = [regex for regex, target in _rules(app.default_router, 0) if target is kind]
    return known[kind]


def _rules(router: Any, depth: int) -> Iterator[tuple[Any, Any]]:
    for rule in getattr(router, "rules", ()) if depth < 10 else ():
        if isinstance(rule.matcher, PathMatches) and isinstance(rule.target, type):
            yield rule.matcher.regex, rule.target
        else:
            yield from _rules(rule.target, depth + 1)


def note_body(handler: RequestHandler) -> None:
    """The body, which Tornado has read before the handler runs, unless it is one that streams."""
    request = handler.request
    kind = request.headers.get("Content-Type", "")
    if kind.startswith("multipart/"):
        fields = request.body_arguments
        _http.note_body(form={name: [one.decode("utf-8", "replace") for one in fields[name]] for name in fields})
    elif isinstance(request.body, bytes):
        _http.note_raw_body(request.body, kind)
