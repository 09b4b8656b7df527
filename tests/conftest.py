"""
What holds for every test: internal errors are seen, nothing leaks from one test into the next, and no skip passes unnoticed.

Rooms have their own conftest for their own fixtures.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from phtrack import _guard, context

IN_CI = os.environ.get("CI", "").lower() == "true"

EXPECTED_SKIPS = (
    r"needs Python 3\.\d+",
    r"needs a free-threaded build",
    r"needs Linux",
    r"needs PyTorch, some 200 MB",
    # Two of many cases, where gRPC's bridge between plain methods and asyncio fails without us too.
    r"gRPC('s own race| itself)",
    r"root may (read|write) everything",
    # A service that is not there: the development machine has them, another one may not.
    r"needs (a )?(Redis|PostgreSQL).* 127\.0\.0\.1",
)
"""In CI a skip whose reason starts with none of these fails: a test that never runs anywhere proves nothing."""

settings.register_profile("fast", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("fast"), derandomize=True, print_blob=True)
settings.register_profile("thorough", settings.get_profile("fast"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if IN_CI else "fast"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden-rewrite", action="store_true", help="write what golden tests find as what they expect; read the diff"
    )


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """An internal error that phtrack would swallow in production fails the test, and log lines said once are said anew."""
    monkeypatch.setattr(_guard, "STRICT", True)
    _guard._last_said.clear()


@pytest.fixture(autouse=True)
def _hermetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer's own shell has set for phtrack or PostHog changes no test."""
    for name in os.environ:
        if name.startswith(("POSTHOG_", "PHTRACK_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _clean_slate() -> Iterator[None]:
    """The hooks of the interpreter, the default client and the contexts are after a test what they were before it."""
    hooks = (sys.excepthook, sys.unraisablehook, threading.excepthook)
    yield
    _forget_default_client()
    context.reset_after_fork()
    found = (sys.excepthook, sys.unraisablehook, threading.excepthook)
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    left = [hook for hook, before in zip(found, hooks) if hook is not before and _is_ours(hook)]
    assert not left, f"the test left these hooks installed: {left}"


def _is_ours(hook: Any) -> bool:
    return (getattr(hook, "__module__", None) or "").partition(".")[0] == "phtrack"


def _forget_default_client() -> None:
    phtrack = sys.modules["phtrack"]
    client = getattr(phtrack, "default_client", None)
    if client is not None:
        client.shutdown()
        phtrack.default_client = None


# --- skips ------------------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return _judge_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return _judge_skip(report)


def _judge_skip(report: Any) -> Any:
    """Turn a skip that nobody expects into a failure, in CI."""
    if not (IN_CI and report.skipped) or hasattr(report, "wasxfail"):
        return report
    where = report.longrepr
    reason = where[2] if isinstance(where, tuple) else str(where)
    reason = reason.removeprefix("Skipped: ")
    if not any(re.match(expected, reason) for expected in EXPECTED_SKIPS):
        report.outcome = "failed"
        report.longrepr = f"skipped, which EXPECTED_SKIPS in tests/conftest.py does not allow: {reason}"
    return report
