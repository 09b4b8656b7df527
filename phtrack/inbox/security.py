"""
What stands in front of the inbox: who may talk to it, and what a page may do.

All text in an event is the attacker's. The templates escape it; the headers here keep a page that failed to from loading
or running anything. A website that the developer visits must neither read the inbox (DNS rebinding: the `Host` it sends
is its own name) nor fill it (cross-site POST: the `Origin` it sends is its own).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def is_own_name(host: str, configured: str = "") -> bool:
    """
    True if *host*, from a `Host` header, is a name that no stranger can register and point at this machine.

    Those are IP addresses, `localhost` and what is below it, names without a dot (containers, the hosts file), Docker's
    name for the host, and the name the inbox was told to listen on.
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
    except ValueError:
        return False
    if not name:
        return False
    if "." not in name and ":" not in name:
        return True
    if name.endswith(".localhost") or name == "host.docker.internal" or name == configured.rstrip(".").lower():
        return True
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


class Guard:
    """ASGI middleware: refuses foreign hosts and origins with 403, and puts the headers on every answer."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in PAGE_HEADERS.items():
                    answer.setdefault(name, value)
            await send(message)

        refusal = None
        if not is_own_name(headers.get("host", ""), self._host):
            refusal = f"The inbox does not answer to the host {headers.get('host', '')[:200]!r}.\n"
        elif origin is not None and not is_own_name(_netloc(origin), self._host):
            refusal = f"The inbox takes nothing from the site {origin[:200]!r}.\n"
        if refusal is None:
            await self._app(scope, receive, send_guarded)
        else:
            await PlainTextResponse(refusal, 403)(scope, receive, send_guarded)


def _netloc(origin: str) -> str:
    """The host and port of an `Origin` header; empty for ``null`` and nonsense."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
