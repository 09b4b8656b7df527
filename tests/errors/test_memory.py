"""What ten thousand places that fail leave behind in the process: caches with an end."""

from __future__ import annotations

import gc
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

from phtrack.frames import source
from tests.errors.conftest import Make

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PER_MODULE = 250
MODULES = 40
"""Together 10,000 sites, more than twice as many as any cache keeps."""
FUNCTION = '''
def site_{n}(order):
    """One of many."""
    number = order["number"] + {n}
    if number:
        return number / order["nothing"]
'''


def test_caches_are_bounded_over_ten_thousand_sites(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the caches are full, further sites cost nothing that stays."""
    monkeypatch.setattr(source, "MAX_ENTRIES", MODULES // 4)  # files, which have a limit of their own
    recorder = make(exception_throttle=False, project_root=str(tmp_path), capture_exception_code_variables=True)
    begin, held = _blocks(), []
    for number in range(MODULES):
        _report_all(recorder, tmp_path, number)
        if number % 4 == 3:  # caches lose half when they are full, so it goes up and down
            held.append(_blocks() - begin)
    assert recorder.client.stats()["counters"]["delivered.errors"] == MODULES * PER_MODULE
    half = len(held) // 2
    assert max(held[:half]) > 100_000, "the caches hold something, or this measures nothing"
    assert max(held[half:]) < max(held[:half]) * 1.05, held


def _blocks() -> int:
    """Pieces of memory that Python objects take."""
    gc.collect()
    return sys.getallocatedblocks()


def _report_all(recorder: Any, folder: Path, number: int) -> None:
    name = f"shop_of_memory_{number}"
    path = folder / f"{name}.py"
    path.write_text("".join(FUNCTION.format(n=n) for n in range(PER_MODULE)))
    spec: Any = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        for n in range(PER_MODULE):
            try:
                getattr(module, f"site_{n}")({"number": 1, "nothing": 0})
            except ZeroDivisionError as error:
                assert recorder.client.capture_exception(error)
        recorder.client.flush()
        recorder.transport.clear()
    finally:
        del sys.modules[name]
