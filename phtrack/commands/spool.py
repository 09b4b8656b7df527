"""
`phtrack spool ls|cat|send|clear DIRECTORY`: look at the events that a client left on disk, deliver them, or give them up.

Reading takes no lock, so that it works beside the program that writes. What is being delivered by a living process is left to it.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from phtrack.delivery import segment
from phtrack.delivery.directory import Entry, entries_of, project_of

if TYPE_CHECKING:
    import argparse

SUMMARY = "events that wait on disk: list, print, send, or remove them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action, the directory, and for `send` where to."""
    parser.add_argument("action", choices=["ls", "cat", "send", "clear"], help="what to do with them")
    parser.add_argument("directory", help="the spool_dir of the client")
    parser.add_argument(
        "--key", default=os.environ.get("POSTHOG_API_KEY"), help="send: the project's key ($POSTHOG_API_KEY)"
    )
    parser.add_argument("--host", default=os.environ.get("POSTHOG_HOST"), help="send: the server ($POSTHOG_HOST)")
    parser.add_argument("--timeout", type=float, default=60.0, help="send: seconds to try (60)")


def run(args: argparse.Namespace) -> int:
    """0 when done; 1 when something is left that should not be; 2 for wrong use."""
    try:
        entries = sorted(entries_of(args.directory))
    except OSError as error:
        print(f"{args.directory}: {error.strerror}", file=sys.stderr)
        return 2
    actions = {"ls": _list, "cat": _print, "clear": _clear}
    return _send(args) if args.action == "send" else actions[args.action](entries)


def _list(entries: list[Entry]) -> int:
    if not entries:
        print("no events wait here")
        return 0
    print(f"{'project':8}  {'written':19}  {'events':>6}  {'damaged':>7}  {'bytes':>10}  names")
    for entry in entries:
        _, events, torn, _ = segment.parse(_read(entry))
        names = Counter(envelope.name for _, _, envelope in events).most_common(3)
        written = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.created))
        shown = ", ".join(f"{name} ({many})" for name, many in names)
        print(f"{entry.project:8}  {written}  {len(events):6}  {torn:7}  {entry.size:10}  {shown}")
    return 0


def _print(entries: list[Entry]) -> int:
    for entry in entries:
        for _, _, envelope in segment.parse(_read(entry))[1]:
            sys.stdout.buffer.write((envelope.body or b"") + b"\n")
    return 0


def _clear(entries: list[Entry]) -> int:
    held = 0
    for entry in entries:
        try:
            claimed = segment.claim(entry.path)
        except OSError as error:
            print(f"{entry.path}: {error.strerror}", file=sys.stderr)
            held += 1
            continue
        if claimed is None:
            held += os.path.exists(entry.path)
        else:
            claimed.close(remove=True)
    print(f"{len(entries) - held} file(s) removed" + (f", {held} in use and kept" if held else ""))
    return 1 if held else 0


def _send(args: argparse.Namespace) -> int:
    if not args.key:
        print("--key is needed: the key of the project the events belong to", file=sys.stderr)
        return 2
    from phtrack.delivery import Delivery
    from phtrack.options import resolve
    from phtrack.tally import Tally

    try:
        options = resolve(args.key, args.host, spool_dir=args.directory)
    except (TypeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    others = {entry.project for entry in entries_of(args.directory)} - {project_of(options.project.api_key)}
    tally = Tally()
    delivery = Delivery(
        options.delivery, api_key=options.project.api_key, host=options.project.ingestion_host, tally=tally
    )
    delivery.flush(args.timeout)
    delivery.close(1.0)
    counts = tally.read()
    delivered = sum(many for name, many in counts.items() if name.startswith("delivered"))
    lost = sum(many for name, many in counts.items() if name.startswith("dropped"))
    stats = delivery.stats()
    print(f"{delivered} event(s) delivered" + (f", {lost} given up" if lost else ""))
    if others:
        print(f"files of other projects are kept: {', '.join(sorted(others))}")
    if left := stats["spool"]["files"]:
        print(f"{left} file(s) are left: {stats['last_error'] or 'in use by another process'}", file=sys.stderr)
    return 1 if left or lost else 0


def _read(entry: Entry) -> bytes:
    try:
        with open(entry.path, "rb") as file:
            return file.read()
    except OSError:
        return b""  # delivered and removed just now
