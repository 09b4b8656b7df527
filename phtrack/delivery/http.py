"""
The transport that talks to a server: one batch in, one `Outcome` out, over kept-alive connections.

It knows endpoints, headers and how to read an answer; when to try again is the worker's business. `requests` chooses the way
(proxies, certificates), once; the requests themselves go straight to the pool of urllib3 behind it: no cookies, no hooks, no
redirects, a third less CPU, and no instrumentation of `Session.send` that would see them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from phtrack import http
from phtrack._locks import new_lock
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


class _Line(NamedTuple):
    """The way to one address."""

    pool: Any
    """urllib3's pool of connections to the host, or to the proxy before it."""
    target: str
    """What stands in the request line: a path, or the whole address for a proxy."""
    timeout: Any
    """urllib3's class of that name."""


def _resolve(session: requests.Session, url: str) -> _Line:
    import requests
    import urllib3

    settings = session.merge_environment_settings(url, {}, True, None, None)
    proxies, verify, cert = settings["proxies"], settings["verify"], settings["cert"]
    request = requests.Request("POST", url).prepare()
    adapter: Any = session.get_adapter(url)
    if hasattr(adapter, "get_connection_with_tls_context"):
        pool = adapter.get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
    else:  # requests before 2.32
        pool = adapter.get_connection(url, proxies)
    adapter.cert_verify(pool, url, verify, cert)
    return _Line(pool, adapter.request_url(request, proxies), urllib3.Timeout)


class HttpTransport:
    """Sends batches to one host with one key."""

    def __init__(self, options: DeliveryOptions, *, api_key: str, host: str, clock: Clock) -> None:
        self._options = options
        self._api_key = api_key
        self._host = host
        self._clock = clock
        self._forget()

    def _forget(self) -> None:
        self._lock = new_lock()
        self._session: requests.Session | None = None
        self._generation = -1
        self._lines: dict[str, _Line] = {}

    def prepare(self) -> None:
        """Load `requests` and what it loads late, and make the session."""
        "host".encode("idna")
        self._connect()
        if native.patched_by() is not None:
            # Green sockets look names up in a thread of their own, which can't be started any more when the process ends.
            import socket
            from urllib.parse import urlsplit

            try:
                socket.getaddrinfo(urlsplit(self._host).hostname, None)
            except OSError:
                pass  # the first request will say so

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            session, self._session = self._session, None
            self._lines = {}
        if session is not None:
            session.close()

    def reset_after_fork(self) -> None:
        """Forget the session; closing it is the parent's business."""
        self._forget()

    def send(self, batch: Batch, timeout: float) -> Outcome:
        """One attempt. Every failure is an `Outcome`; `retry` unless the request itself can never be sent."""
        size = 0
        # Told not to reuse connections: a session that ends with the request. That the server is asked to close its end is not
        # enough; the next request may be faster, and find a connection that is closed under its hands.
        once = None
        try:
            url = self._host + PATHS[batch.route, batch.protocol]
            if http.reuses_connections():
                line = self._line(url)
            else:
                once = self._new_session()
                line = _resolve(once, url)
            body = self._body(batch)
            size = len(body) if isinstance(body, bytes) else sum(map(len, body))
            answer = line.pool.urlopen(
                "POST",
                line.target,
                # urllib3 sends an iterable piece by piece; with a Content-Length it is not chunked.
                body=body,
                headers=self._headers(batch, size),
                timeout=line.timeout(connect=timeout, read=timeout),
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
            )
            try:
                content = answer.read(MAX_ANSWER_BYTES, decode_content=True)
            finally:
                if answer.isclosed():
                    answer.release_conn()
                else:
                    answer.close()  # not read to its end: what is left of it must not meet the next request
        except Exception as error:
            return self._unanswered(batch, error, size)
        finally:
            if once is not None:
                once.close()
        return self._answered(batch, answer, content, size)

    # --- asking ----------------------------------------------------------------------------------------------------

    def _connect(self) -> requests.Session:
        with self._lock:
            session = self._session
            if session is None or self._generation != http.generation:
                self._generation = http.generation
                session = self._session = self._new_session()
                self._lines = {}
            return session

    def _new_session(self) -> requests.Session:
        return http.new_session(
            proxies=self._options.proxies, verify=self._options.verify, connections=self._options.thread + 1
        )

    def _line(self, url: str) -> _Line:
        """The way to *url*: `requests` decides about proxies and certificates, from arguments and environment, once."""
        session = self._connect()
        line = self._lines.get(url)
        if line is None:
            line = self._lines[url] = _resolve(session, url)
        return line

    def _body(self, batch: Batch) -> payload.Body:
        if batch.payload is None:
            batch.payload = payload.build(
                batch,
                api_key=self._api_key,
                historical=self._options.historical_migration,
                compression=self._compression(batch),
            )
        made: payload.Payload = batch.payload
        return made.body(payload.rfc3339(self._clock.time()))

    def _compression(self, batch: Batch) -> str | None:
        encoding = self._options.compression
        if batch.protocol == "v0" and encoding is not None:
            return "gzip"  # the only one that v0 has
        return encoding

    def _headers(self, batch: Batch, size: int) -> dict[str, str]:
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
        return headers

    # --- reading the answer ----------------------------------------------------------------------------------------

    def _unanswered(self, batch: Batch, error: Exception, size: int) -> Outcome:
        import requests

        never = isinstance(
            error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, ValueError, KeyError)
        )
        failure = self._error(batch, None, _reason(error), None)
        failure.__cause__ = error
        return Outcome("refused" if never else "retry", error=failure, size=size)

    def _answered(self, batch: Batch, answer: Any, body: bytes, size: int) -> Outcome:
        status: int = answer.status
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
