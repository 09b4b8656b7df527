"""
Runs every variant of every bug and prints, as JSON, what it was grouped under.

    python -m tests.fingerprint.run_corpus -> [[bug, index, variant, value, rule, parts], ...]

A program of its own, so that each interpreter can be asked.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from typing import Any

from phtrack import _guard
from phtrack.fingerprint import Fingerprint, fingerprint
from tests.fingerprint.corpus import BUGS, LIBRARIES, NEWER_LIBRARIES, Bug
from tests.fingerprint.variants import DRIVER, VARIANTS, occurrence
from tests.fingerprint.walk import facts_of

if sys.version_info < (3, 11):

    class ExceptionGroup(Exception):  # noqa: A001 - what the backport offers, for the programs of the corpus
        def __init__(self, message: str, exceptions: list[Exception]) -> None:
            super().__init__(message)
            self.exceptions = tuple(exceptions)

    import builtins

    builtins.ExceptionGroup = ExceptionGroup  # type: ignore[attr-defined]


def run(bug: Bug, index: int, variant: str, folder: str) -> Fingerprint:
    """The fingerprint of *bug* as *variant*; AssertionError if the program doesn't fail."""
    change, driver = VARIANTS[variant]
    root = os.path.join(folder, f"{index}_{variant}")
    if "elsewhere" in variant:
        root = os.path.join(root, "srv", "releases", "20260101", "current")
    files = {**change(bug.files), "shop/driver.py": DRIVER[driver], "shop/__init__.py": ""}
    files.update(NEWER_LIBRARIES if variant == "newer-library" else LIBRARIES)
    for name, text in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    paths = [root, os.path.join(root, "site-packages")]
    sys.path[:0] = paths
    limit = sys.getrecursionlimit()
    try:
        driver_module = importlib.import_module("shop.driver")
        sys.setrecursionlimit(250)
        driver_module.run(occurrence(variant))
    except Exception as error:
        sys.setrecursionlimit(limit)
        return fingerprint(facts_of(error, root))
    finally:
        sys.setrecursionlimit(limit)
        del sys.path[:2]
        for path in [path for path in sys.path_importer_cache if path.startswith(root)]:
            del sys.path_importer_cache[path]
        for name in [name for name in sys.modules if name.partition(".")[0] in ("shop", "lib")]:
            del sys.modules[name]
    raise AssertionError(f"{bug.name} as {variant} did not fail")


def run_all(share: int = 1) -> list[list[Any]]:
    """Every bug in its base form and in one of *share* variants, in turns."""
    sys.dont_write_bytecode = True
    results = []
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.realpath(folder)
        for index, bug in enumerate(BUGS):
            for position, variant in enumerate(VARIANTS):
                if position and (position + index) % share:
                    continue
                if any(part in bug.without for part in variant.split("-")):
                    continue
                found = run(bug, index, variant, folder)
                results.append([bug.name, index, variant, found.value, found.rule, found.parts])
    return results


if __name__ == "__main__":
    _guard.STRICT = True
    json.dump(run_all(), sys.stdout)
