"""`phtrack inbox`: the local page for errors. `--json` and `--clear` work on its file, with or without a running server."""

from __future__ import annotations

import argparse
import errno
import ipaddress
import json
import os
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phtrack.inbox.store import Store

SUMMARY = "show errors on a local page"
DEFAULT_PORT = 8970
_NEEDS = "phtrack inbox needs a few more packages; install them with: pip install 'phtrack[inbox]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; others than loopback are open to the network"
    )
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help="port to listen on; 0 picks a free one (%(default)s)"
    )
    parser.add_argument(
        "--db", type=Path, metavar="PATH", help="the inbox's file; default: in the user's state directory"
    )
    parser.add_argument("--flags", type=Path, metavar="FILE", help="answer feature flags from this TOML or JSON file")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("--json", action="store_true", help="print the issues as JSON, and end")
    parser.add_argument("--clear", action="store_true", help="forget all issues and events, and end")


def _port(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, got {text!r}")
    return number


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C, or do what `--json` or `--clear` say. Returns the exit code: 0, or 2 with a line on stderr."""
    from phtrack.inbox.state import default_db
    from phtrack.inbox.store import StoreError

    db = args.db
    try:
        db = db or default_db()
        if args.json:
            return _print_json(db)
        if args.clear:
            return _clear(db)
        return _serve(args, db)
    except (StoreError, RuntimeError) as error:
        return _fail(str(error))
    except sqlite3.Error as error:
        return _fail(f"{db} can't be used: {error}")


def _fail(message: str) -> int:
    print(f"phtrack inbox: {message}", file=sys.stderr)
    return 2


def _print_json(db: Path) -> int:
    from phtrack.inbox.records import issue_record
    from phtrack.inbox.store import Store

    issues = []
    if db.exists():  # Looking must not create it.
        with Store(db) as store:
            issues = [issue_record(issue) for issue in store.issues(limit=-1)]
    # Escaped, so that any terminal and any pipe can take it.
    print(json.dumps(issues, indent=2))
    return 0


def _clear(db: Path) -> int:
    from phtrack.inbox.store import Store

    issues = events = 0
    if db.exists():
        with Store(db) as store:
            issues, events = store.clear()
    print(f"phtrack inbox: cleared {issues:,} issues, {events:,} events ({db})")
    return 0


def _serve(args: argparse.Namespace, db: Path) -> int:
    try:
        from phtrack.inbox import serve
    except ImportError as error:
        return _fail(f"{_NEEDS} ({error})")
    from phtrack.inbox.store import Store

    try:
        listening = serve.bind(args.host, args.port)
    except OSError as error:
        return _taken(args, db, error)
    with listening, Store(db) as store:
        url = serve.url_of(args.host, listening)
        try:
            server = serve.server(store, args.host, args.flags)
        except (OSError, ValueError) as error:
            return _fail(f"--flags {args.flags}: {error}")
        _announce(store, url)
        if not _is_loopback(listening.getsockname()[0]):
            print("phtrack inbox: open to the network; whoever reaches this port can read all of it", file=sys.stderr)
        if args.open:
            _open(url)
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:
            pass  # uvicorn has ended in order, and then passes the signal on.
    return 0


def _announce(store: Store, url: str) -> None:
    issues, _ = store.counts()
    known = "no issues yet" if not issues else f"{issues:,} {'issue' if issues == 1 else 'issues'}"
    print(f"phtrack inbox {url}  ({known})", flush=True)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _taken(args: argparse.Namespace, db: Path, error: OSError) -> int:
    from phtrack.inbox import serve

    if error.errno not in (errno.EADDRINUSE, errno.EACCES):
        return _fail(f"can't listen on {args.host}:{args.port}: {error}")
    running = serve.running_at(args.host, args.port)
    if running is None:
        return _fail(
            f"port {args.port} on {args.host} is taken by another program; choose one with --port, or --port 0 for any"
        )
    url = serve.url_at(args.host, args.port)
    print(f"phtrack inbox {url}  (already running)", flush=True)
    if running.get("store") != os.path.abspath(db):
        print(
            f"phtrack inbox: it keeps its events in {running.get('store')}; for {db}, start a second one with --port 0",
            file=sys.stderr,
        )
    if args.open:
        _open(url)
    return 0


def _open(url: str) -> None:
    import webbrowser

    webbrowser.open(url)
