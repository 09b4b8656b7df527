"""
Programs that fail, as files: an application in a folder with a pyproject.toml, and a library in a site-packages beside it.

The modules have some 300 lines each, as modules have: an SDK that reads whole files pays for whole files.
"""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

LINES = 300
"""Lines of a module, about."""

CHAIN = '''
def level_{n}(order, depth, fail):
    """Work on the *order*, and hand on."""
    number = order["number"]
    label = f"order {{number}} at {{depth}}"
    share = order["total"] / 4
    items = order["items"]
    if depth <= 0:
        raise fail(f"{{label}}: share of {{share}} for {{len(items)}} items")
    result = {next}(order, depth - 1, fail)
    return result, label, share
'''

FILLER = '''
def helper_{n}(value, factor=3, *, limit=100):
    """Something else that this module does."""
    numbers = [one * factor for one in range(value)]
    if sum(numbers) > limit:
        numbers = numbers[:limit]
    for position, number in enumerate(numbers):
        if number % 7 == 0:
            numbers[position] = number // 7
    return {{"numbers": numbers, "limit": limit, "factor": factor}}
'''

SITES = '''
def site_{n}(order, fail):
    """One of many places that fail."""
    number = order["number"] + {n}
    label = f"order {{number}}"
    if number:
        raise fail(f"{{label}} can't be shipped")
'''

HEAVY = '''
import time

class Slow:
    """Its repr takes 2 ms of work."""
    def __repr__(self):
        until = time.thread_time() + 0.002
        while time.thread_time() < until:
            pass
        return "<slow>"

def heavy(order, fail):
    """Big things lie around where it fails."""
    numbers = list(range(10_000))
    text = "lorem ipsum dolor " * 58_000
    slow = Slow()
    raise fail(f"{len(numbers)} numbers, {len(text)} characters, {type(slow).__name__}")

class Table:
    """Its methods call one another, each with the same big self."""
    def __init__(self):
        self.rows = [{"id": n, "name": f"row {n}", "tags": ["a", "b"], "price": n / 3} for n in range(2_000)]

    def walk(self, depth, fail):
        """Down."""
        if depth <= 1:
            raise fail("at the bottom")
        return self.walk(depth - 1, fail)
'''

ORDER = {
    "number": 1001,
    "total": 129.5,
    "items": [{"sku": f"item-{n}", "quantity": n % 3 + 1, "price": 4.25 * n} for n in range(3)],
    "customer": {"name": "Anna", "email": "anna@example.com", "address": {"street": "Mill Lane 3", "city": "York"}},
}
"""What is handed down the stack."""


class Project:
    """A temporary project on sys.path; the working directory is changed to it, as an application would have it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="phtrack-bench-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.app = self.folder / "app"
        self.library = self.folder / "site-packages"
        for folder in (self.app, self.library):
            folder.mkdir()
            sys.path.insert(0, str(folder))
        (self.app / "pyproject.toml").write_text('[project]\nname = "shop"\n')
        os.chdir(self.app)
        self._made = 0

    def module(self, source: str, *, library: bool = False) -> ModuleType:
        """Write *source* into a module of its own, filled up to `LINES`, and import it."""
        self._made += 1
        name = f"{'lib' if library else 'shop'}_{self._made}"
        missing = max(0, LINES - source.count("\n"))
        filler = "".join(FILLER.format(n=n) for n in range(missing // FILLER.count("\n")))
        half = len(filler) // 2
        half = filler.find("\ndef ", half)
        path = (self.library if library else self.app) / f"{name}.py"
        path.write_text(filler[:half] + source + filler[half:])
        importlib.invalidate_caches()
        return importlib.import_module(name)

    def chain(self, frames: int, *, library: bool = False) -> ModuleType:
        """A module of *frames* functions that call one another, from `level_0` down."""
        source = "".join(CHAIN.format(n=n, next=f"level_{(n + 1) % frames}") for n in range(frames))
        return self.module(source, library=library)


def caught(call: object, *arguments: object) -> BaseException:
    """The exception that a call ends with, its traceback without this function's own level."""
    try:
        call(*arguments)  # type: ignore[operator]
    except Exception as error:
        return error.with_traceback(error.__traceback__.tb_next)  # type: ignore[union-attr]
    raise AssertionError("it should have failed")
