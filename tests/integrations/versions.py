"""
The oldest versions of the frameworks that are still supported, in one environment of their own: `make versions`.

    python -m tests.integrations.versions [NAME ...] [--keep FOLDER]
    python -m tests.integrations.versions --newest

The environment gets phtrack from this checkout and the frameworks of `OLDEST`, and runs their tests. The newest versions are
what the suite itself runs with; `--newest` makes sure of that, for the environment that it runs in. Not a test module: it
installs packages.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE = ("pytest>=8", "pytest-timeout>=2.3", "hypothesis>=6.100", "uvicorn>=0.27", "websockets>=13")
"""What all tests need."""
UNRAISABLE = "pytest.PytestUnraisableExceptionWarning"
PIP = ("-m", "pip", "--quiet", "--quiet", "--disable-pip-version-check", "--no-input")


@dataclass(frozen=True)
class Old:
    """A framework and its companions in an old version, and the tests that must pass with them."""

    packages: tuple[str, ...]
    tests: tuple[str, ...]
    lost: tuple[str, ...] = ()
    """Tests of what these versions themselves lose, so that nobody can see it."""
    newest_python: tuple[int, int] = (3, 13)
    """Newer interpreters came after these versions and don't run them."""


OLDEST = {
    "django": Old(
        # 5.2, the oldest that Django's makers still support, is what the suite runs with on Python 3.10 and 3.11.
        ("django==4.2.*", "djangorestframework==3.15.*", "channels==4.1.*"),
        ("django",),
        # It noticed no client that left, and went on with the stream.
        lost=("test_requests and TestAsgi and test_a_client_that_leaves_a_stream",),
        newest_python=(3, 12),
    ),
    "fastapi": Old(
        ("fastapi==0.110.*", "starlette==0.37.*"),
        ("test_asgi.py", "test_fastapi.py", "test_starlette.py"),
        # Middleware of `@app.middleware("http")` dropped errors that came after the response had been sent.
        lost=("TestFastAPI and test_an_error_in_a_background_task", "TestFastAPI and test_a_mounted_application"),
    ),
    "flask": Old(("flask[async]==2.3.*", "werkzeug==2.3.*"), ("test_flask.py",)),
    "tornado": Old(("tornado==6.4.*",), ("test_tornado.py",)),
}
NEWEST = ("django", "djangorestframework", "channels", "fastapi", "starlette", "flask", "werkzeug", "tornado")


def main() -> int:
    """Run what was asked for, all by default; 1 if something fails, or if nothing can run on this Python."""
    parser = argparse.ArgumentParser(prog="make versions ARGS=", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(OLDEST)}; default: all")
    parser.add_argument("--keep", type=Path, help="make the environment here, and use the one that is there")
    parser.add_argument(
        "--newest", action="store_true", help="only look whether this environment has the newest versions"
    )
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - set(OLDEST)):
        parser.error(f"nothing named {', '.join(unknown)}; there are {', '.join(OLDEST)}")
    if args.newest:
        return 0 if _has_the_newest() else 1
    chosen = {name: OLDEST[name] for name in args.names or OLDEST}
    for name in [name for name, old in chosen.items() if sys.version_info[:2] > old.newest_python]:
        print(f"{name}: needs Python 3.{chosen.pop(name).newest_python[1]} or older")
    if not chosen:
        return 1
    with tempfile.TemporaryDirectory() as folder:
        return 0 if _pass(list(chosen.values()), args.keep or Path(folder)) else 1


def _pass(chosen: list[Old], folder: Path) -> bool:
    """True if the tests of all that is *chosen* pass in one environment."""
    packages = [package for old in chosen for package in old.packages]
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, *PIP, "install", "--no-compile", "-e", ROOT, *BASE, *packages], check=True)
    names = [package.partition("==")[0].partition("[")[0] for package in packages]
    say = (
        "import sys; from importlib.metadata import version; print(*(f'{one} {version(one)}' for one in sys.argv[1:]))"
    )
    subprocess.run([python, "-c", say, *names], check=True)
    # They left streams to the garbage collector, and use what newer interpreters and libraries have deprecated.
    mild = [part for kind in ("ResourceWarning", UNRAISABLE) for part in ("-W", f"ignore::{kind}")]
    lost = " and ".join(f"not ({one})" for old in chosen for one in old.lost)
    tests = [f"tests/integrations/{name}" for old in chosen for name in old.tests]
    return subprocess.run([python, "-m", "pytest", "-q", *mild, "-k", lost, *tests], cwd=ROOT).returncode == 0


def _has_the_newest() -> bool:
    """True if no framework here is of an older major version than the newest that this Python can have."""
    asked = ["install", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-", *NEWEST]
    report = subprocess.run([sys.executable, *PIP, *asked], check=True, capture_output=True, text=True).stdout
    newest = {one["metadata"]["name"].lower(): one["metadata"]["version"] for one in json.loads(report)["install"]}
    behind = []
    for name in NEWEST:
        here = version(name)
        print(f"{name} {here}" + ("" if here == newest[name] else f", the newest is {newest[name]}"))
        if here.partition(".")[0] != newest[name].partition(".")[0]:
            behind.append(name)
    if behind:
        print(
            f"The suite runs with an old major version of {', '.join(behind)}: `make clean`, or look at pyproject.toml"
        )
    return not behind


if __name__ == "__main__":
    sys.exit(main())
