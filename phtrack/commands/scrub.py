"""
Try the scrubbing rules: what would leave this process, and what would be hidden?

    phtrack scrub < message.txt
    echo '{"user": "bob", "password": "hunter2"}' | phtrack scrub
    phtrack scrub --as source < settings.py
    phtrack scrub --mask customer_number --check < event.json

Reads text or JSON from standard input and prints it scrubbed, exactly as the events of a client with these rules would show
it. On standard error, one line for each place: where, and by which rules. JSON is recognised; --as decides otherwise.
"""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from phtrack.scrub import Scrubber

SUMMARY = "try the scrubbing rules on text or JSON from standard input"
KINDS = ("auto", "text", "json", "source", "sql", "argv")
CALLED_WRONGLY = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the input is and which rules apply."""
    parser.add_argument(
        "--as", dest="kind", choices=KINDS, default="auto", help="what the input is; default: JSON if it is, else text"
    )
    parser.add_argument(
        "--name", default="", help="the name the input goes by, as a variable would: decides like a mapping key"
    )
    parser.add_argument(
        "--mask", action="append", default=[], metavar="PATTERN", help="one more pattern of names and values to hide"
    )
    parser.add_argument("--only", action="store_true", help="the patterns of --mask replace the default ones")
    parser.add_argument("--no-url-credentials", action="store_true", help="leave user:password@ in addresses")
    parser.add_argument(
        "--no-detection", action="store_true", help="by name only: leave what merely looks like a key or a token"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if something was hidden")


def run(args: argparse.Namespace) -> int:
    """Scrub standard input; 0, or with --check 1 if something was hidden, or 2 if the input is not what --as says."""
    import re

    from phtrack.options import DEFAULT_MASK_PATTERNS
    from phtrack.scrub import Rules, scrubber

    for pattern in args.mask:
        try:
            re.compile(pattern)
        except re.error as error:
            return _complain(f"--mask {pattern!r} is no regular expression: {error}")
    rules = Rules(
        mask_patterns=tuple(args.mask if args.only else [*DEFAULT_MASK_PATTERNS, *args.mask]),
        mask_url_credentials=not args.no_url_credentials,
        detect_secrets=not args.no_detection,
    )
    if sys.stdin.isatty():
        print("reading from the terminal; end with Ctrl-D", file=sys.stderr)
    text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    try:
        shown, places = _scrubbed(scrubber(rules), text, args.kind, args.name)
    except ValueError as error:
        return _complain(f"the input is not {args.kind}: {error}")
    sys.stdout.buffer.write(shown.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()
    for where, hits in places:
        print(f"{where}: {', '.join(hits)}", file=sys.stderr)
    print(f"{len(places)} place{'' if len(places) == 1 else 's'} hidden", file=sys.stderr)
    return 1 if args.check and places else 0


def _complain(message: str) -> int:
    print(f"phtrack scrub: {message}", file=sys.stderr)
    return CALLED_WRONGLY


Place = tuple[str, list[str]]
"""Where something was hidden, and by which rules."""


def _scrubbed(scrubber: Scrubber, text: str, kind: str, name: str) -> tuple[str, list[Place]]:
    if kind in ("auto", "json"):
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            if kind == "json":
                raise
            data = None
        if kind == "json" or isinstance(data, (dict, list)):
            shown = scrubber.value(data, name=name)
            return json.dumps(shown, indent=2, ensure_ascii=False) + "\n", list(
                _differences(scrubber, data, shown, name)
            )
    if kind == "argv":
        given = shlex.split(text)
        found: list[str] = []
        shown_argv = scrubber.argv(given, found)
        places = [(f"argument {i}", ["argv"]) for i, (a, b) in enumerate(zip(given, shown_argv)) if a != b]
        return shlex.join(shown_argv) + "\n", places
    hits: list[str] = []
    if name and scrubber.masks(name) is not None:
        return scrubber.value(text, name=name), [("all", [str(scrubber.masks(name))])]
    method = {"source": scrubber.source, "sql": scrubber.sql}.get(kind, scrubber.text)
    shown_text = method(text, hits)
    return shown_text, list(_lines(method, text, shown_text, hits))


def _lines(method: Any, text: str, shown: str, hits: list[str]) -> Iterator[Place]:
    """The lines where *shown* hides something of *text*. A secret over several lines is one place."""
    from difflib import SequenceMatcher

    before, after = text.splitlines(), shown.splitlines()
    for tag, start, end, _, _ in SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        alone: list[tuple[int, list[str]]] = []
        for number in range(start, end):
            found: list[str] = []
            method(before[number], found)
            alone.append((number + 1, found))
        if end - start > 1 and not all(found for _, found in alone):
            yield f"lines {start + 1}-{end}", list(dict.fromkeys(hits))
        else:
            for number, found in alone:
                yield f"line {number}", list(dict.fromkeys(found or hits))


def _differences(scrubber: Scrubber, before: Any, after: Any, name: str, path: str = "$") -> Iterator[Place]:
    """The paths in JSON data where *after* hides something of *before*."""
    if before is after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for (key, one), (shown_key, shown) in zip(before.items(), after.items()):
            step = f"{path}.{shown_key}"
            if key != shown_key:
                yield f"{step} (the key)", _rules(scrubber, key, "") or ["key"]
            yield from _differences(scrubber, one, shown, key, step)
    elif isinstance(before, list) and isinstance(after, list):
        for i, (one, shown) in enumerate(zip(before, after)):
            yield from _differences(scrubber, one, shown, name, f"{path}[{i}]")
    elif before != after:
        yield path, _rules(scrubber, before, name) or ["name: the one beside it"]


def _rules(scrubber: Scrubber, value: Any, name: str) -> list[str]:
    found: list[str] = []
    scrubber.value(value, found, name=name)
    return list(dict.fromkeys(found))
