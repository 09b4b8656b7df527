"""
The oldest versions of the frameworks that are still supported, in environments of their own: `make versions`.

    python -m tests.integrations.versions [NAME ...] [--keep FOLDER]

Each environment gets phtrack from this checkout, the frameworks of one line of `OLDEST`, and runs that line's tests. The newest
versions are what the suite itself runs with. Not a test module: it installs packages.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE = ("pytest>=8", "pytest-timeout>=2.3", "hypothesis>=6.100")
"""What all tests need."""
UNRAISABLE = "pytest.PytestUnraisableExceptionWarning"


@dataclass(frozen=True)
class Old:
    """One environment: packages in an old version, and the tests that must pass with them."""

    packages: tuple[str, ...]
    tests: tuple[str, ...]
    lost: tuple[str, ...] = ()
    """Tests of what these versions themselves lose, so that nobody can see it."""
    newest_python: tuple[int, int] = (3, 13)
    """Newer interpreters came after these versions and don't run them."""


OLDEST = {
    "django": Old(
        # 5.2, the oldest that Django's makers still support, is what the suite runs with on Python 3.10 and 3.11.
        ("django==4.2.*", "djangorestframework==3.15.*", "channels==4.1.*", "uvicorn>=0.27", "websockets>=13"),
        ("django",),
        newest_python=(3, 12),
    ),
    "fastapi": Old(
        ("fastapi==0.110.*", "starlette==0.37.*", "uvicorn>=0.27", "websockets>=13"),
        ("test_asgi.py", "test_fastapi.py", "test_starlette.py"),
        # Middleware of `@app.middleware("http")` dropped errors that came after the response had been sent.
        lost=("TestFastAPI and test_an_error_in_a_background_task", "TestFastAPI and test_a_mounted_application"),
    ),
    "flask": Old(("flask[async]==2.3.*", "werkzeug==2.3.*"), ("test_flask.py",)),
}


def main() -> int:
    """Run what was asked for, all by default; 1 if one fails."""
    parser = argparse.ArgumentParser(prog="make versions ARGS=", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(OLDEST)}; default: all")
    parser.add_argument("--keep", type=Path, help="make the environments here, and use the ones that are there")
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - set(OLDEST)):
        parser.error(f"no environment named {', '.join(unknown)}; there are {', '.join(OLDEST)}")
    with tempfile.TemporaryDirectory() as folder:
        failed = [
            name for name in args.names or OLDEST if not _passes(OLDEST[name], (args.keep or Path(folder)) / name)
        ]
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


def _passes(old: Old, folder: Path) -> bool:
    print(f"== {folder.name}: {' '.join(old.packages)}", flush=True)
    if sys.version_info[:2] > old.newest_python:
        print(f"needs Python 3.{old.newest_python[1]} or older")
        return True
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        quiet = ["--quiet", "--disable-pip-version-check"]
        subprocess.run([python, "-m", "pip", "install", *quiet, "-e", ROOT, *BASE, *old.packages], check=True)
    tests = [f"tests/integrations/{name}" for name in old.tests]
    # They left streams to the garbage collector, and use what newer interpreters and libraries have deprecated.
    mild = [part for kind in ("ResourceWarning", UNRAISABLE) for part in ("-W", f"ignore::{kind}")]
    left_out = ["-k", " and ".join(f"not ({one})" for one in old.lost)] if old.lost else []
    return subprocess.run([python, "-m", "pytest", "-q", *mild, *left_out, *tests], cwd=ROOT).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
