"""
Run a Python program with its errors reported, without changing a line of it:

    phtrack run app.py --its-own --arguments
    phtrack run -m package.module ...

The program runs as __main__, with its own sys.argv and sys.path, prints the traceback that Python would print, and ends
with the exit code it would have had. Errors go to PostHog when there is a key (--key or POSTHOG_PROJECT_API_KEY), and
otherwise, or with --inbox, to the inbox on this machine, which is started if none is running.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from phtrack.commands._program import Program

SUMMARY = "run a program with its errors reported: phtrack run app.py ..."
LOCAL_KEY = "local"
"""The inbox takes any key."""
LOOPBACK = "127.0.0.1"
INBOX_PORT = 8970
CALLED_WRONGLY = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; everything after the program's name is the program's."""
    parser.usage = "phtrack run [--inbox] [--port PORT] [--key KEY] [--host URL] (PROGRAM | -m MODULE) [ARGUMENT ...]"
    key = os.environ.get("POSTHOG_PROJECT_API_KEY") or os.environ.get("POSTHOG_API_KEY")
    parser.add_argument(
        "--inbox", action="store_true", help="report to the inbox on this machine, whatever key there is"
    )
    parser.add_argument("--port", type=int, default=INBOX_PORT, help="port of the inbox (%(default)s)")
    parser.add_argument("--key", default=key, help="project API key; default: POSTHOG_PROJECT_API_KEY")
    parser.add_argument("--host", default=os.environ.get("POSTHOG_HOST"), help="where events go; default: POSTHOG_HOST")
    parser.add_argument("-m", dest="module", action="store_true", help="PROGRAM is a module's name, as for python -m")
    parser.add_argument("program", help="a .py file, or a directory or zip file with a __main__.py")
    parser.add_argument("arguments", nargs="...", help="passed on to the program")


def run(args: argparse.Namespace) -> int:
    """Set up reporting, run the program, answer with its exit code."""
    import phtrack
    from phtrack.commands import _program

    find = _program.find_module if args.module else _program.find_file
    program: Program | None = None
    broken: SyntaxError | None = None
    try:
        program = find(args.program, args.arguments)
    except _program.ProgramNotFound as error:
        print(f"phtrack run: {error}", file=sys.stderr)
        return CALLED_WRONGLY
    except SyntaxError as error:
        broken = error.with_traceback(None)

    def start(key: str, host: str | None) -> int:
        phtrack.init(key, host=host, enable_exception_autocapture=True)
        return _program.execute(program) if program else _program.fail(broken)  # type: ignore[arg-type] # one of both

    if args.key and not args.inbox:
        return start(args.key, args.host)
    with ExitStack() as stack:
        try:
            url = stack.enter_context(inbox_at_hand(args.port))
        except OSError as error:
            print(
                f"phtrack run: no inbox on {LOOPBACK}:{args.port}: {error}; choose another with --port", file=sys.stderr
            )
            return CALLED_WRONGLY
        print(f"phtrack: errors go to the inbox at {url}", file=sys.stderr)
        try:
            return start(LOCAL_KEY, url)
        finally:
            # The inbox must outlive what the program left running, and what it has to say.
            with suppress(KeyboardInterrupt):
                _wait_for_threads()
            phtrack.flush()


@contextmanager
def inbox_at_hand(port: int) -> Iterator[str]:
    """
    The address of the inbox on this machine: the one that is running, else one that runs as long as this block.

    Raises:
        OSError: Another program has the *port*.
    """
    from phtrack.inbox import serve, serve_in_thread
    from phtrack.inbox.state import default_db

    if serve.running_at(LOOPBACK, port):
        yield serve.url_at(LOOPBACK, port)
        return
    with serve_in_thread(default_db(), port) as inbox:
        yield inbox.url
        if sys.stdin.isatty() and sys.stderr.isatty() and inbox.issues():
            print(f"phtrack: the program has ended. Look at {inbox.url}; Ctrl-C ends.", file=sys.stderr)
            with suppress(KeyboardInterrupt):
                threading.Event().wait()


def _wait_for_threads() -> None:
    """As the interpreter does before it exits."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
