"""
Sessions of `requests` for everything phtrack sends, made the same way once: agent, proxies, certificates, sockets.

What goes in are options; what comes out is a `requests.Session` that never takes a key to another host. What is sent, and
what an answer means, is the caller's. `requests` loads with the first session.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from phtrack.version import VERSION

if TYPE_CHECKING:
    import requests

USER_AGENT = f"phtrack/{VERSION}"

SocketOptions = Sequence[tuple[int, int, int | bytes]]
"""As `socket.setsockopt` takes them: (level, name, value)."""

_socket_options: SocketOptions | None = None
_reuse = True
generation = 0
"""Goes up when a setting below changes: a session made before is out of date."""


def set_socket_options(options: SocketOptions | None) -> None:
    """
    Options for every socket phtrack opens from now on; None goes back to the defaults of urllib3.

    Raises:
        TypeError: *options* is not a sequence of (level, name, value).
    """
    global _socket_options, generation
    if options is not None:
        options = list(options)
        for one in options:
            if not (isinstance(one, tuple) and len(one) == 3 and all(isinstance(part, (int, bytes)) for part in one)):
                raise TypeError(f"a socket option is a tuple (level, name, value), got {one!r}")
    _socket_options = options
    generation += 1


def enable_keep_alive() -> None:
    """Let the operating system probe idle connections, so that a silent firewall between is noticed: 60 s, then every 60 s."""
    options: list[tuple[int, int, int | bytes]] = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    ]
    # Linux and Windows name the idle time TCP_KEEPIDLE, macOS TCP_KEEPALIVE.
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPALIVE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 3)):
        number = getattr(socket, name, None)
        if number is not None and not (name == "TCP_KEEPALIVE" and hasattr(socket, "TCP_KEEPIDLE")):
            options.append((socket.IPPROTO_TCP, number, value))
    set_socket_options(options)


def disable_connection_reuse() -> None:
    """Open a connection per request, for networks that drop idle ones silently."""
    global _reuse, generation
    _reuse = False
    generation += 1


def reuses_connections() -> bool:
    """False after `disable_connection_reuse`."""
    return _reuse


def new_session(
    *, proxies: Mapping[str, str] | None = None, verify: bool | str = True, connections: int = 1
) -> requests.Session:
    """
    A session with our agent and sockets.

    Proxies and certificates are taken as `requests` takes the arguments of a request: those here, else `HTTPS_PROXY`, `REQUESTS_CA_BUNDLE` and
    their kin. Redirects are followed within one origin only; one that leads elsewhere is returned as the answer.

    Args:
        connections: How many to one host are kept open.
    """
    import requests
    from requests.adapters import HTTPAdapter

    class Session(requests.Session):
        def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
            # `requests` lets the environment win over what was set on a session; only arguments of a request win over both.
            if verify is None and self.verify is not True:
                verify = self.verify
            return super().merge_environment_settings(url, {**self.proxies, **(proxies or {})}, stream, verify, cert)

        def get_redirect_target(self, resp: requests.Response) -> str | None:
            target: str | None = super().get_redirect_target(resp)
            if target is not None and not _same_origin(str(resp.url), target):
                return None
            return target

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> Any:
            if _socket_options is not None:
                kwargs["socket_options"] = _socket_options
            return super().init_poolmanager(*args, **kwargs)

        def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
            if _socket_options is not None:
                kwargs["socket_options"] = _socket_options
            return super().proxy_manager_for(proxy, **kwargs)

    session = Session()
    session.headers.clear()
    session.headers.update({"User-Agent": USER_AGENT, "Accept": "*/*"})
    if not _reuse:
        session.headers["Connection"] = "close"
    if proxies:
        session.proxies.update(proxies)
    session.verify = verify
    adapter = Adapter(pool_connections=2, pool_maxsize=max(1, connections), max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _same_origin(url: str, target: str) -> bool:
    """True when *target*, perhaps relative, stays on the scheme, host and port of *url*, or goes up to https there."""
    here, there = urlsplit(url), urlsplit(target)
    if not there.netloc:
        return there.scheme in ("", here.scheme)
    if (here.hostname or "") != (there.hostname or ""):
        return False
    scheme = there.scheme or here.scheme
    if scheme == here.scheme:
        return _port(here.port, here.scheme) == _port(there.port, scheme)
    return (
        here.scheme == "http"
        and scheme == "https"
        and (here.port, there.port) in ((None, None), (80, 443), (None, 443), (80, None))
    )


def _port(port: int | None, scheme: str) -> int:
    return port if port is not None else (443 if scheme == "https" else 80)
