"""
One request for flags, one `Reply`, within a time that is kept.

No retries, no cookies, no redirects with a key to elsewhere, no exception: what went wrong is a word in the reply. Requests go
straight to the session's adapter, so that instrumentation of `requests` in the application doesn't see them. `requests` loads
with the first request.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from phtrack import _guard, http

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

MAX_BYTES = 256 * 1024 * 1024
"""More of an answer is not read."""
_CONNECTIONS = 10


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int | None = None
    """The HTTP status; None if there was no answer."""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: str | None = None
    """``timeout``, ``connection_error``, ``connection_refused`` or ``unknown_error`` where `status` is None."""
    detail: str = ""
    """For log lines: the class of the error."""


class Transport(Protocol):
    """**Seam.** Moves one request. Called from any thread, several at once."""

    def __call__(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Reply:
        """Never raises; answers within *timeout* seconds (connecting and reading each get no more)."""
        ...


class HttpTransport:
    """`requests` over kept-alive connections."""

    def __init__(self, *, proxies: Mapping[str, str] | None = None, verify: bool | str = True) -> None:
        self._proxies = proxies
        self._verify = verify
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget connections and lock; they are the parent's."""
        self._lock = threading.Lock()
        self._session: requests.Session | None = None
        self._generation = -1

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def __call__(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Reply:
        """See `Transport`."""
        with _guard.quiet():
            try:
                return self._send(method, url, headers, body, timeout)
            except Exception as error:
                return Reply(failure=_failure(error), detail=type(error).__name__)

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Reply:
        if http.reuses_connections():
            return self._ask(self._connect(), method, url, headers, body, timeout)
        once = self._new_session()  # asking the server to close its end is not enough: the next request may be faster
        try:
            return self._ask(once, method, url, headers, body, timeout)
        finally:
            once.close()

    def _ask(
        self,
        session: requests.Session,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
    ) -> Reply:
        import requests

        deadline = monotonic() + timeout
        prepared = session.prepare_request(requests.Request(method, url, headers=dict(headers), data=body))
        settings = session.merge_environment_settings(url, {}, True, None, None)
        answer = session.get_adapter(url).send(
            prepared,
            stream=True,
            timeout=timeout,
            proxies=settings["proxies"],
            verify=settings["verify"] if settings["verify"] is not None else True,
            cert=settings["cert"],
        )
        try:
            content = _read(answer.raw, deadline)
        except BaseException:
            answer.close()
            raise
        answer.raw.release_conn()
        return Reply(answer.status_code, content, answer.headers)

    def _connect(self) -> requests.Session:
        with self._lock:
            session = self._session
            if session is None or self._generation != http.generation:
                self._generation = http.generation
                session = self._session = self._new_session()
            return session

    def _new_session(self) -> requests.Session:
        session = http.new_session(proxies=self._proxies, verify=self._verify, connections=_CONNECTIONS)
        session.auth = _no_auth  # or `requests` would look into ~/.netrc
        return session


def _no_auth(request: Any) -> Any:
    return request


def _read(raw: Any, deadline: float) -> bytes:
    """The whole body; a server that sends it drop by drop is given up at *deadline*."""
    read1 = getattr(raw, "read1", None)
    if read1 is None:  # urllib3 before 2
        return raw.read(MAX_BYTES, decode_content=True)  # type: ignore[no-any-return]
    pieces, size = [], 0
    while piece := read1(64 * 1024, decode_content=True):
        pieces.append(piece)
        size += len(piece)
        if monotonic() > deadline:
            raise TimeoutError
        if size > MAX_BYTES:
            raise OverflowError
    return b"".join(pieces)


def _failure(error: BaseException) -> str:
    import requests

    seen = list(_causes(error))
    if any(isinstance(one, ConnectionRefusedError) for one in seen):
        return "connection_refused"
    if any(isinstance(one, (requests.Timeout, TimeoutError)) for one in seen) or _is_read_timeout(seen):
        return "timeout"
    if isinstance(error, (requests.ConnectionError, OSError)) or _is_broken_read(seen):
        return "connection_error"
    return "unknown_error"


def _is_read_timeout(seen: list[BaseException]) -> bool:
    from urllib3.exceptions import TimeoutError as Urllib3Timeout

    return any(isinstance(one, Urllib3Timeout) for one in seen)


def _is_broken_read(seen: list[BaseException]) -> bool:
    from urllib3.exceptions import DecodeError, HTTPError

    return any(isinstance(one, HTTPError) and not isinstance(one, DecodeError) for one in seen)


def _causes(error: BaseException) -> Any:
    """*error* and what it came from: causes, contexts, and what urllib3 keeps in `reason` and `args`."""
    waiting: list[BaseException] = [error]
    known: set[int] = set()
    while waiting and len(known) < 50:
        one = waiting.pop()
        if id(one) in known:
            continue
        known.add(id(one))
        yield one
        linked = [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
        waiting += [other for other in linked if isinstance(other, BaseException)]
