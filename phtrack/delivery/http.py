"""
The transport that talks to a server: one batch in, one `Outcome` out, over kept-alive connections of `requests`.

It knows endpoints, headers and how to read an answer; when to try again is the worker's business. Requests go straight to the
session's adapter: no cookies, no hooks, no redirects, and no instrumentation of `Session.send` that would see them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phtrack import http
from phtrack.capture_v1 import CaptureV1Error
from phtrack.delivery import native, payload, policy
from phtrack.delivery.v1 import results_of
from phtrack.request import APIError
from phtrack.seams import Outcome
from phtrack.version import VERSION

if TYPE_CHECKING:
    import requests

    from phtrack.options import DeliveryOptions
    from phtrack.seams import Batch, Clock

PATHS = {
    ("events", "v0"): "/batch/",
    ("events", "v1"): "/i/v1/analytics/events",
    ("ai", "v0"): "/i/v0/ai/batch/",
}
"""(route, protocol) -> path below the host."""
MAX_ANSWER_BYTES = 1024 * 1024
"""More of an answer is not read."""


class HttpTransport:
    """Sends batches to one host with one key."""

    def __init__(self, options: DeliveryOptions, *, api_key: str, host: str, clock: Clock) -> None:
        self._options = options
        self._api_key = api_key
        self._host = host
        self._clock = clock
        self._forget()

    def _forget(self) -> None:
        self._lock = native.new_lock()
        self._session: requests.Session | None = None
        self._generation = -1
        self._settings: dict[str, dict[str, Any]] = {}
        """url -> what `requests` makes of proxies and certificates for it, from arguments and environment."""

    def prepare(self) -> None:
        """Load `requests` and what it loads late, and make the session."""
        "host".encode("idna")
        self._connect()

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def reset_after_fork(self) -> None:
        """Forget the session; closing it is the parent's business."""
        self._forget()

    def send(self, batch: Batch, timeout: float) -> Outcome:
        """One attempt. Every failure is an `Outcome`; `retry` unless the request itself can never be sent."""
        size = 0
        try:
            session = self._connect()
            url = self._host + PATHS[batch.route, batch.protocol]
            chunks = self._chunks(batch)
            size = sum(map(len, chunks))
            request = self._request(url, batch, chunks, size)
            answer = session.get_adapter(url).send(
                request, stream=True, timeout=timeout, **self._environment(session, url)
            )
            try:
                body = answer.raw.read(MAX_ANSWER_BYTES, decode_content=True)
            finally:
                answer.close() if not http.reuses_connections() else answer.raw.release_conn()
        except Exception as error:
            return self._unanswered(batch, error, size)
        return self._answered(batch, answer, body, size)

    # --- asking ----------------------------------------------------------------------------------------------------

    def _connect(self) -> requests.Session:
        with self._lock:
            session = self._session
            if session is None or self._generation != http.generation:
                self._generation = http.generation
                session = self._session = http.new_session(
                    proxies=self._options.proxies, verify=self._options.verify, connections=self._options.thread + 1
                )
                self._settings.clear()
            return session

    def _environment(self, session: requests.Session, url: str) -> dict[str, Any]:
        settings = self._settings.get(url)
        if settings is None:
            merged = session.merge_environment_settings(url, {}, True, None, None)
            settings = {name: merged[name] for name in ("proxies", "verify", "cert")}
            self._settings[url] = settings
        return settings

    def _chunks(self, batch: Batch) -> list[bytes]:
        if batch.payload is None:
            batch.payload = payload.build(
                batch,
                api_key=self._api_key,
                historical=self._options.historical_migration,
                compression=self._compression(batch),
            )
        chunks: list[bytes] = batch.payload.chunks(payload.rfc3339(self._clock.time()))
        return chunks

    def _compression(self, batch: Batch) -> str | None:
        encoding = self._options.compression
        if batch.protocol == "v0" and encoding is not None:
            return "gzip"  # the only one that v0 has
        return encoding

    def _request(self, url: str, batch: Batch, chunks: list[bytes], size: int) -> requests.PreparedRequest:
        import requests

        headers = {
            "User-Agent": http.USER_AGENT,
            "Content-Type": "application/json",
            "Content-Length": str(size),
            "Accept-Encoding": "gzip, deflate",
        }
        encoding = self._compression(batch)
        if encoding is not None:
            headers["Content-Encoding"] = encoding
        if not http.reuses_connections():
            headers["Connection"] = "close"
        if batch.protocol == "v1":
            headers["Authorization"] = f"Bearer {self._api_key}"
            headers["PostHog-Sdk-Info"] = f"phtrack/{VERSION}"
            headers["PostHog-Attempt"] = str(batch.attempt)
            headers["PostHog-Request-Id"] = batch.request_id or ""
            headers["PostHog-Request-Timestamp"] = payload.rfc3339(self._clock.time())
        request = requests.PreparedRequest()
        request.method = "POST"
        request.url = url
        request.headers = requests.structures.CaseInsensitiveDict(headers)
        # urllib3 sends an iterable of bytes piece by piece; with a Content-Length it is not chunked.
        request.body = chunks[0] if len(chunks) == 1 else chunks  # type: ignore[assignment,unused-ignore]
        return request

    # --- reading the answer ----------------------------------------------------------------------------------------

    def _unanswered(self, batch: Batch, error: Exception, size: int) -> Outcome:
        import requests

        never = isinstance(
            error,
            (
                requests.exceptions.InvalidURL,
                requests.exceptions.InvalidHeader,
                requests.exceptions.MissingSchema,
                KeyError,
            ),
        )
        failure = self._error(batch, None, _reason(error), None)
        failure.__cause__ = error
        return Outcome("refused" if never else "retry", error=failure, size=size)

    def _answered(self, batch: Batch, answer: requests.Response, body: bytes, size: int) -> Outcome:
        status = answer.status_code
        verdict = policy.judge(status, protocol=batch.protocol)
        asked = policy.retry_after(answer.headers.get("Retry-After"), self._clock.time())
        if verdict == "delivered":
            if batch.protocol != "v1":
                return Outcome(verdict, status=status, size=size)
            results = _results(body)
            if results is not None:
                return Outcome(verdict, status=status, retry_after=asked, results=results, size=size)
            error = self._error(batch, status, "the answer is not what protocol v1 promises", None)
            return Outcome("refused", status=status, error=error, size=size)
        text = body[:500].decode("utf-8", "replace").strip() or str(answer.reason or "")
        if 300 <= status < 400:
            text = f"redirected to {answer.headers.get('Location')!r}, which is not followed; check `host`"
        error = self._error(batch, status, text, asked)
        return Outcome(verdict, status=status, error=error, retry_after=asked, size=size)

    def _error(self, batch: Batch, status: int | None, message: str, asked: float | None) -> APIError:
        if batch.protocol == "v1":
            return CaptureV1Error(status, message, asked, request_id=batch.request_id, attempts=batch.attempt)
        return APIError(status, message, asked)


def _results(body: bytes) -> dict[str, tuple[str, str | None]] | None:
    import json

    try:
        return results_of(json.loads(body))
    except ValueError:
        return None


def _reason(error: BaseException) -> str:
    """What went wrong, in one line: of the nested errors of requests and urllib3 the innermost, which knows."""
    while error.args and isinstance(inner := getattr(error.args[0], "reason", error.args[0]), BaseException):
        error = inner
    if error.__cause__ is not None and not isinstance(error, OSError):
        error = error.__cause__
    text = f"{type(error).__name__}: {error}"
    return text if len(text) <= 300 else text[:297] + "..."
