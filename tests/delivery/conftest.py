"""What holds for the tests of delivery: no process of theirs outlives its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.delivery import program


@pytest.fixture(autouse=True)
def _no_orphans() -> Iterator[None]:
    yield
    program.kill_all()
