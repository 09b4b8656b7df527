"""
The `phtrack` command: finds the module of the command in `phtrack.commands`, reads its arguments, runs it.

What a command does is its own matter; nothing here knows one of them. A mistake in the call or a missing package is a line
on stderr and an exit code, not a traceback.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Protocol, cast

from phtrack.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE_ERROR = 2


class Command(Protocol):
    """What a module in `phtrack.commands` has."""

    SUMMARY: str
    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do the work; the answer is the exit code."""
        ...


def names() -> list[str]:
    """All commands there are, by name."""
    package = import_module("phtrack.commands")
    return sorted(one.name for one in iter_modules(package.__path__) if not one.name.startswith("_"))


def load(name: str) -> Command:
    """The module of command *name*, which must be one of `names()`."""
    return cast(Command, import_module(f"phtrack.commands.{name}"))


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command.

    Args:
        argv: Arguments after the program's name. Default: those of the process.

    Returns:
        The exit code: the command's own, 2 when it was called wrongly, 130 after Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if argv else USAGE_ERROR
    if argv[0] in ("-V", "--version"):
        print(f"phtrack {VERSION} (Python {sys.version.split()[0]})")
        return 0
    name, rest = argv[0], argv[1:]
    if name not in names():
        print(f"phtrack: unknown command {name!r}{_did_you_mean(name)}\n\n{overview()}", file=sys.stderr)
        return USAGE_ERROR
    try:
        command = load(name)
        parser = argparse.ArgumentParser(
            prog=f"phtrack {name}",
            description=command.__doc__ or command.SUMMARY,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(parser)
        return command.run(parser.parse_args(rest))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "phtrack":
            raise
        extra = "inbox" if name in ("inbox", "demo", "run") else "dev"
        print(
            f"phtrack {name} needs the package {error.name!r}, which is not installed: pip install 'phtrack[{extra}]'",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130


def overview() -> str:
    """The text of `phtrack --help`."""
    width = max(map(len, names()))
    lines = [f"  {name:<{width}}  {load(name).SUMMARY}" for name in names()]
    return "\n".join(["usage: phtrack COMMAND ...", "", *lines, "", "phtrack COMMAND --help tells more."])


def _did_you_mean(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, names(), n=1)
    return f"; did you mean {close[0]}?" if close else ""


if __name__ == "__main__":
    sys.exit(main())
