"""
Break a small shop in instructive ways and show how the inbox explains each.

Starts an inbox on loopback, runs the shop against it, prints the issues as a table and keeps the page open until Ctrl-C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

SUMMARY = "break a small shop in instructive ways and see each on the inbox page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--once", action="store_true", help="end after the table; exit code 0 only if every issue arrived"
    )
    parser.add_argument("--port", type=int, default=0, help="port of the page; default: any free one")
    parser.add_argument("--db", help="keep the events in this database; default: they are gone afterwards")


def run(args: argparse.Namespace) -> int:
    """Run the demo."""
    from phtrack.demo.tour import tour

    code: int = tour(once=args.once, port=args.port, db=args.db)
    return code
