"""Importing phtrack costs little and does nothing. What it costs beside `posthog` is measured by `make bench`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROBE = """
import atexit, json, signal, sys, threading
def state():
    return {
        "threads": threading.active_count(),
        "hooks": [id(sys.excepthook), id(sys.unraisablehook), id(threading.excepthook)],
        "exit handlers": atexit._ncallbacks(),
        "signals": [repr(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "meta path": [repr(finder) for finder in sys.meta_path],
        "recursion limit": sys.getrecursionlimit(),
    }
modules, before = set(sys.modules), state()
IMPORT
print(json.dumps({"modules": sorted(set(sys.modules) - modules), "before": before, "after": state()}))
"""

HEAVY = {
    "requests", "urllib3", "ssl", "http.client", "socket", "asyncio", "sqlite3", "stack_data", "executing", "pure_eval",
    "asttokens", "pygments", "orjson", "json", "logging", "inspect", "ast", "tokenize", "subprocess", "multiprocessing",
    "gzip", "zlib", "uuid", "platform", "email", "importlib.metadata", "faulthandler", "concurrent.futures", "queue",
    "decimal", "difflib", "tempfile", "shutil", "typing_extensions", "starlette", "jinja2", "uvicorn",
}  # fmt: skip
"""What `import phtrack` must not load: it waits for its first use."""


def probe(statement: str) -> dict[str, object]:
    """What *statement* loads and changes in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.replace("IMPORT", statement)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def imported() -> dict[str, object]:
    """The state of an interpreter around `import phtrack`."""
    return probe("import phtrack")


def test_nothing_heavy_is_loaded(imported: dict[str, object]) -> None:
    """No network, no source tools, no database, no asyncio, until something needs them."""
    modules = imported["modules"]
    assert isinstance(modules, list) and "phtrack" in modules
    assert not HEAVY & set(modules)


def test_nothing_happens(imported: dict[str, object]) -> None:
    """No thread, no hook, no handler, no signal: importing is not using."""
    assert imported["before"] == imported["after"]


def test_few_modules(imported: dict[str, object]) -> None:
    """Each module costs the host's start a fraction of a millisecond; most programs have the standard ones already."""
    modules = imported["modules"]
    assert isinstance(modules, list)
    assert len(modules) <= 60, modules


def test_a_disabled_client_loads_no_network() -> None:
    """Development and tests run disabled: they don't pay for what they don't use."""
    loaded = probe("import phtrack; phtrack.init('', enable_exception_autocapture=False); phtrack.capture('x')")[
        "modules"
    ]
    assert isinstance(loaded, list)
    assert not {"requests", "urllib3", "ssl", "stack_data", "executing", "sqlite3"} & set(loaded)


def test_commands_are_light() -> None:
    """Listing the commands imports each of them, so none may load its tools before it runs."""
    loaded = probe("from phtrack import cli; [cli.load(name) for name in cli.names()]")["modules"]
    assert isinstance(loaded, list)
    assert not {"starlette", "uvicorn", "jinja2", "requests", "phtrack.inbox.store"} & set(loaded)
