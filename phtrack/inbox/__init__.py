"""
The inbox: a local server that takes what PostHog SDKs send, keeps it in SQLite, and shows it as a page.

    bytes -> events (`incoming`) -> which issue (`grouping`) -> SQLite (`store`) -> what a page shows (`view`) -> HTML, JSON (`pages`)

`app` puts the parts behind HTTP, `security` stands in front of it, `serve` runs it. Nothing else of phtrack imports this
room; it needs the extra ``phtrack[inbox]``, which loads when a server starts and not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from phtrack.inbox.serve import RunningInbox

__all__ = ["serve_in_thread"]


def serve_in_thread(
    db: str | os.PathLike[str] = ":memory:",
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    flags: str | os.PathLike[str] | None = None,
) -> RunningInbox:
    """
    Start an inbox in a thread of this process; it answers when this returns.

    ``with serve_in_thread() as inbox: inbox.url; inbox.issues()``. Works from any thread; leaves signals alone.

    Args:
        db: Path of the SQLite file, made if missing; ``":memory:"`` keeps everything in this process.
        port: 0 picks a free one.
        host: Address to listen on.
        flags: A TOML or JSON file of feature flags to answer ``/flags/`` with.

    Raises:
        OSError: The address can't be bound.
        phtrack.inbox.store.StoreError: The file is not an inbox, or a newer phtrack made it.
        ImportError: The extra ``phtrack[inbox]`` is not installed.
    """
    from phtrack.inbox.serve import RunningInbox

    return RunningInbox(db, port, host=host, flags=flags)
