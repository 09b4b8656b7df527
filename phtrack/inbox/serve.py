"""
Run the inbox: bind the address, start uvicorn, in this thread or in one of its own.
"""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import uvicorn

from phtrack import _guard
from phtrack.inbox.app import create_app
from phtrack.inbox.records import issue_record
from phtrack.inbox.store import Store

if TYPE_CHECKING:
    import os

START_TIMEOUT = 30.0
"""Seconds a start may take on a busy machine; it takes a fraction of one."""


def bind(host: str, port: int) -> socket.socket:
    """
    A listening socket on *host* and *port* (0 picks a free one): who connects from now on waits instead of failing.

    Raises:
        OSError: The name is unknown or the address can't be bound.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server((address[0], port), family=family, backlog=512)


def url_of(host: str, listening: socket.socket) -> str:
    """The address of the inbox that listens on *host* with the socket *listening*."""
    return url_at(host, listening.getsockname()[1])


def url_at(host: str, port: int) -> str:
    """The address to point a browser or an SDK on this machine at."""
    if host in ("0.0.0.0", "::", ""):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def running_at(host: str, port: int) -> dict[str, Any] | None:
    """What the inbox that listens on *host* and *port* says about itself, or None if none does."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection("127.0.0.1" if host in ("0.0.0.0", "") else host, port, timeout=2.0)
    try:
        connection.request("GET", "/about.json")
        answer = json.loads(connection.getresponse().read(10_000))
    except (OSError, ValueError, HTTPException):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) and answer.get("app") == "phtrack inbox" else None


def server(
    store: Store, host: str, flags: str | os.PathLike[str] | None = None, started: threading.Event | None = None
) -> uvicorn.Server:
    """A uvicorn server of the inbox over *store*; ``run(sockets=[bind(...)])`` runs it until `should_exit`."""
    app = create_app(store, host=host, flags=flags, on_start=started.set if started else None)
    config = uvicorn.Config(
        app, log_config=None, log_level="warning", access_log=False, server_header=False, ws="none", lifespan="on",
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    return uvicorn.Server(config)


class RunningInbox:
    """An inbox in a thread of this process; see `phtrack.inbox.serve_in_thread`. Stops at the end of its `with` block."""

    url: str
    """Where it listens, e.g. ``http://127.0.0.1:40123``: the `host` to give to an SDK, the address of the page."""
    store: Store

    def __init__(
        self,
        db: str | os.PathLike[str],
        port: int,
        *,
        host: str = "127.0.0.1",
        flags: str | os.PathLike[str] | None = None,
    ) -> None:
        listening = bind(host, port)
        try:
            self.store = Store(db)
            try:
                started = threading.Event()
                self._server = server(self.store, host, flags, started)
                self.url = url_of(host, listening)
                self._failure: BaseException | None = None
                self._thread = threading.Thread(target=self._run, args=(listening,), name="phtrack-inbox", daemon=True)
                self._thread.start()
                self._wait(started)
            except BaseException:
                self.store.close()
                raise
        except BaseException:
            listening.close()
            raise

    def _run(self, listening: socket.socket) -> None:
        # An SDK in the same process must not report what its own inbox does.
        with _guard.quiet():
            try:
                self._server.run(sockets=[listening])
            except BaseException as error:
                self._failure = error

    def _wait(self, started: threading.Event) -> None:
        waited = 0.0
        while not started.wait(0.05):
            waited += 0.05
            if waited > START_TIMEOUT or not self._thread.is_alive():
                self._server.should_exit = True
                raise RuntimeError("The inbox did not start") from self._failure

    def issues(self) -> list[dict[str, Any]]:
        """The issues, the last seen first, as `/issues.json` has them."""
        return [issue_record(issue) for issue in self.store.issues()]

    def event_names(self) -> dict[str, int]:
        """How many ordinary events arrived, by name."""
        return {each.name: each.count for each in self.store.names()}

    def stop(self) -> None:
        """Answer what is being asked, then end. Idempotent."""
        self._server.should_exit = True
        self._thread.join(10.0)
        self.store.close()

    def __enter__(self) -> RunningInbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
