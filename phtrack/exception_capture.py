"""The hooks as an object, as in the `posthog` package: `ExceptionCapture(client)` installs them, `close()` puts them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phtrack import hooks

if TYPE_CHECKING:
    from phtrack.client import Client


class ExceptionCapture:
    """Captures for *client* what the interpreter's hooks see, until it is closed."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._undo = hooks.install(client)

    def close(self) -> None:
        """Put the hooks back. Idempotent."""
        self._undo()
