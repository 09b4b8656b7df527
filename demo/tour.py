"""Run all lessons against an inbox on this machine, print what it caught, and keep its page open."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import phtrack
from phtrack.inbox import serve_in_thread

from .lessons import LESSONS, Lesson, logger

PATIENCE = 20.0
"""Seconds to wait for the last event to arrive, at most."""


def tour(*, once: bool = False, port: int = 0, db: str | None = None) -> int:
    """
    Break the shop in every way and show the issues.

    Args:
        once: End when all is printed. Otherwise the page stays until Ctrl-C.
        port: Of the page; 0 is any free one.
        db: The inbox's database. Default: one that is gone afterwards.

    Returns:
        0 if every lesson's issue arrived, else 1.
    """
    with (
        tempfile.TemporaryDirectory(prefix="phtrack-demo-") as folder,
        serve_in_thread(db=db or str(Path(folder, "inbox.db")), port=port) as inbox,
    ):
        print(f"The inbox is at {inbox.url}\n")
        break_everything(inbox.url)
        found = wait_for_issues(inbox)
        print(table(found, inbox.url))
        missing = [one.name for one, issue in found if issue is None]
        print(f"\nMissing: {', '.join(missing)}" if missing else f"\nAll {len(LESSONS)} lessons arrived.")
        if not once:
            stay(inbox.url)
    return 1 if missing else 0


def break_everything(host: str) -> None:
    """Run the lessons, reporting to *host*, as one application would; returns when all events have left."""
    # phtrack calls the hooks that were there before it. Here these stay silent, so that the table is all one sees.
    threading.excepthook = lambda args: None
    logging.getLogger("asyncio").propagate = False
    logging.getLogger("asyncio").addHandler(logging.NullHandler())
    phtrack.init(
        "demo",
        host=host,
        enable_exception_autocapture=True,
        in_app_modules=[__package__],  # installed, the shop lies in site-packages, where applications don't
        release="shop@1.4.2",
        environment="demo",
    )
    handler = phtrack.PosthogLoggingHandler()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        for one in LESSONS:
            # Where an application would answer with an error page, or go on with the next order.
            with suppress(Exception):
                one.run(host)
    finally:
        logger.removeHandler(handler)
        phtrack.shutdown()


def wait_for_issues(inbox: Any) -> list[tuple[Lesson, dict[str, Any] | None]]:
    """Each lesson with its issue, or None for one that did not arrive in time."""
    until = time.monotonic() + PATIENCE
    while True:
        found = match(inbox.issues())
        if all(issue for _, issue in found) or time.monotonic() > until:
            return found
        time.sleep(0.05)


def match(issues: list[dict[str, Any]]) -> list[tuple[Lesson, dict[str, Any] | None]]:
    """Give each lesson its issue: the one of the right type, with the right message, at the right place."""

    def belongs(issue: dict[str, Any], one: Lesson) -> bool:
        function = issue["culprit"].rpartition(":")[0].rpartition(".")[2]
        return issue["type"] == one.type and one.message in issue["message"] and function == one.where

    return [(one, next((issue for issue in issues if belongs(issue, one)), None)) for one in LESSONS]


def table(found: list[tuple[Lesson, dict[str, Any] | None]], url: str) -> str:
    """What arrived, a line for each lesson."""
    rows = [("lesson", "issue", "where", "events", "page")]
    for one, issue in found:
        if issue is None:
            rows.append((one.name, f"{one.type}: did not arrive", "", "0", ""))
        else:
            issue_text = f"{issue['type']}: {' '.join(issue['message'].split())}"
            rows.append((one.name, _cut(issue_text, 58), place(issue), str(issue["count"]), page(url, issue)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def place(issue: dict[str, Any]) -> str:
    """Where the issue points, without what all have in common."""
    return str(issue["culprit"]).removeprefix(f"{__package__}.").replace(".<locals>", "")


def page(url: str, issue: dict[str, Any]) -> str:
    """The address of the issue's page."""
    return f"{url.rstrip('/')}/issues/{issue['id']}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def stay(url: str) -> None:
    """Until Ctrl-C."""
    print(f"\nLook at {url}; Ctrl-C ends.")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    print()
