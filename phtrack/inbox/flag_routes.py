"""
Feature flags without an account: `/flags/` and the definitions, answered from a file (`phtrack inbox --flags`).

Without a file there are no flags, in the same shapes. A file that changes is read again; while it is broken, the last
good one stands.
"""

from __future__ import annotations

import os
import time
import uuid
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from phtrack import _guard, encode
from phtrack.inbox.incoming import Refused
from phtrack.inbox.ingest import answering_refusals, read_json

if TYPE_CHECKING:
    from starlette.requests import Request

    from phtrack.inbox.flags import FlagFile


def routes(path: str | os.PathLike[str] | None) -> list[Route]:
    """
    Routes of the flag endpoints, answered from the file at *path*.

    Raises:
        OSError, ValueError: The file can't be read, or says something impossible.
    """
    source = None if path is None else _Watched(path)

    async def evaluate(request: Request) -> Response:
        body = await read_json(request)
        if not isinstance(body, dict):
            raise Refused(400, "invalid_payload", "The body must be a JSON object")
        if source is None:
            return JSONResponse(_nothing())
        return _json(await run_in_threadpool(lambda: source.current().evaluate(body)))

    def definitions(request: Request) -> Response:
        if source is None:
            return JSONResponse({"flags": [], "group_type_mapping": {}, "cohorts": {}})
        answer = dict(source.current().definitions())
        etag = answer.pop("etag", None)
        headers = {"ETag": etag} if isinstance(etag, str) else None
        if headers and request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return _json(answer, headers)

    answers = {
        "/flags": (answering_refusals(evaluate), "POST"),
        "/flags/definitions": (definitions, "GET"),
        "/api/feature_flag/local_evaluation": (definitions, "GET"),
    }
    return [
        Route(path + slash, endpoint, methods=[method])
        for path, (endpoint, method) in answers.items()
        for slash in ("", "/")
    ]


def _json(content: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    # With our encoder: a TOML file may hold dates.
    return Response(encode.dumps(content), headers=headers, media_type="application/json")


def _nothing() -> dict[str, Any]:
    return {
        "flags": {},
        "errorsWhileComputingFlags": False,
        "requestId": str(uuid.uuid4()),
        "evaluatedAt": int(time.time() * 1000),
        "quotaLimited": [],
    }


class _Watched:
    """The file of flags, read again when it has changed."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from phtrack.inbox.flags import load

        self._load = load
        self._path = os.fspath(path)
        self._stamp = self._stat()
        self._flags: FlagFile = load(self._path)

    def _stat(self) -> tuple[int, int]:
        found = os.stat(self._path)
        return found.st_mtime_ns, found.st_size

    def current(self) -> FlagFile:
        try:
            stamp = self._stat()
            if stamp != self._stamp:
                self._stamp = stamp
                self._flags = self._load(self._path)
        except (OSError, ValueError) as error:
            _guard.say("warning", "%s can't be used, so the flags stay as they were: %s", self._path, error)
        return self._flags
