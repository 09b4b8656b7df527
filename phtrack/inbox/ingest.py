"""
The endpoints SDKs talk to: read the body within its limit, hand the events to the store, answer as PostHog does.

Any API key is taken. An answer of success means that the events are stored.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from phtrack import _guard
from phtrack.inbox.incoming import MAX_BODY, Incoming, Refused, decompress, events_v0, events_v1, parse

if TYPE_CHECKING:
    from starlette.requests import Request

    from phtrack.inbox.store import Store

V0_PATHS = ("/batch", "/capture", "/e", "/i/v0/e", "/i/v0/ai/batch")
V1_PATHS = ("/i/v1/analytics/events", "/i/v1/ai/events")


def routes(store: Store) -> list[Route]:
    """Routes for all paths of both protocols, each with and without a slash at its end."""

    async def v0(request: Request) -> Response:
        events = await _receive(request, events_v0)
        await run_in_threadpool(store.add, events)
        return JSONResponse({"status": 1})

    async def v1(request: Request) -> Response:
        sdk = request.headers.get("posthog-sdk-info", "")
        events = await _receive(request, partial(events_v1, sdk=sdk))
        await run_in_threadpool(store.add, events)
        request_id = request.headers.get("posthog-request-id")
        headers = {"PostHog-Request-Id": request_id} if request_id else None
        return JSONResponse({"results": dict(map(_result, events))}, headers=headers)

    return [
        Route(path + slash, answering_refusals(endpoint), methods=["POST"])
        for paths, endpoint in ((V0_PATHS, v0), (V1_PATHS, v1))
        for path in paths
        for slash in ("", "/")
    ]


async def read_json(request: Request) -> Any:
    """
    The JSON value in the body of *request*, decompressed.

    Raises:
        Refused: It is too large, in an unknown encoding, or no JSON.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused(413, "payload_too_large", f"The body is larger than {MAX_BODY // 2**20} MiB")
    encoding = request.headers.get("content-encoding", "")
    return await run_in_threadpool(lambda: parse(decompress(bytes(body), encoding)))


async def _receive(request: Request, read: Callable[[Any, float], list[Incoming]]) -> list[Incoming]:
    return read(await read_json(request), time.time())


def _result(event: Incoming) -> tuple[str, dict[str, str]]:
    """The sender's uuid as it spelled it, and what became of that event."""
    uuid = event.body.get("uuid")
    result = {"result": "warning", "details": event.complaint} if event.complaint else {"result": "ok"}
    return uuid if isinstance(uuid, str) else event.uuid, result


Endpoint = Callable[["Request"], Awaitable[Response]]


def answering_refusals(endpoint: Endpoint) -> Endpoint:
    """*endpoint*, with what it refuses or can't store turned into the answer an SDK understands."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refused as refused:
            return _error(refused.status, refused.code, refused.detail)
        except ClientDisconnect:
            return _error(400, "request_decoding_error", "The connection ended within the body")
        except sqlite3.Error as error:
            # Disk full, or locked for too long. SDKs keep the events and try again after a 503.
            _guard.say("error", "The inbox could not store events: %s", error, every=10.0)
            return _error(503, "overloaded", f"The inbox could not store the events: {error}")

    return answer


def _error(status: int, code: str, detail: str) -> Response:
    # The first three as protocol v1 has them, the others as v0; no SDK minds the rest.
    content = {"error": code, "error_description": detail, "error_uri": ""}
    return JSONResponse({**content, "type": "validation_error", "code": code, "detail": detail}, status)
