"""``python -m tests.benchmarks [NAME ...] [--json FILE] [--only TEXT]``: run, print, exit 1 when a target is missed."""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import harness
from .sink import Sink


def main() -> int:
    """Run the benchmarks that were asked for, by default all but web, whose frameworks make an environment of their own."""
    names = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; default: all but web")
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - set(names)):
        parser.error(f"no benchmark named {', '.join(unknown)}; there are {', '.join(names)}")
    print(
        f"Python {platform.python_version()}, {', '.join(f'{one} {version(one)}' for one in ('phtrack', 'posthog', 'sentry-sdk'))}"
    )
    written: dict[str, Any] = {}
    missed = 0
    for name in args.names or [one for one in names if one != "web"]:
        module = importlib.import_module(f"tests.benchmarks.bench_{name}")
        scenarios = [one for one in module.SCENARIOS if args.only in one.name]
        with Sink() as sink:
            results = harness.run(
                module.__name__, scenarios, sink=sink, say=lambda text: print(f"  {text}", file=sys.stderr)
            )
        verdicts = harness.judge(results, module.TARGETS)
        print(f"\n{name}: {(module.__doc__ or '').strip().splitlines()[0]}\n\n{harness.report(results, verdicts)}")
        written[name] = harness.to_json(results, verdicts)
        missed += sum(not one.met for one in verdicts)
    if args.json:
        args.json.write_text(json.dumps(written, indent=1))
    print(f"\n{missed} targets missed." if missed else "\nAll targets met.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
