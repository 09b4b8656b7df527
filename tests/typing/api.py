"""
The public signatures as a type checker sees them. Nothing here runs: `make lint` checks it with mypy and pyright, both strict,
against the sources, and CI again against the installed wheel.

A line that must be refused carries an ignore comment, and both checkers report one that is not needed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timezone
from typing import Any

import phtrack
from phtrack import Client, Posthog, PosthogLoggingHandler


def setting_up() -> None:
    client: Client = phtrack.init("phc_x", host="http://127.0.0.1:8970", enable_exception_autocapture=True)
    client = phtrack.init("phc_x", flush_at=10, before_send=[hook], super_properties={"a": 1})
    posthog: Client = Posthog("phc_x", "https://eu.i.posthog.com", debug=False, on_error=lambda error, batch: None)
    posthog.disabled = True
    posthog.debug = True
    phtrack.init("phc_x", flush_att=10)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    phtrack.init("phc_x", flush_at="10")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    phtrack.api_key = "phc_x"
    phtrack.host = "http://127.0.0.1:8970"
    phtrack.disabled = client.disabled


def hook(event: dict[str, Any]) -> dict[str, Any] | None:
    return event if event["event"] != "noise" else None


def events() -> None:
    uuid: str | None = phtrack.capture("order placed")
    uuid = phtrack.capture(
        "order placed",
        distinct_id="u1",
        properties={"total": 12.5},
        timestamp=datetime.now(timezone.utc),
        groups={"company": "acme"},
        disable_geoip=False,
    )
    phtrack.capture("x", distinct="u1")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    uuid = phtrack.set(distinct_id="u1", properties={"plan": "pro"})
    uuid = phtrack.set_once(distinct_id="u1", properties={"first": True})
    uuid = phtrack.alias("anonymous", "u1")
    uuid = phtrack.group_identify("company", "acme", {"name": "Acme"})
    assert uuid
    gone: bool = phtrack.flush(timeout_seconds=2)
    counters: dict[str, Any] = phtrack.stats()
    assert gone and counters
    phtrack.opt_out()
    phtrack.opt_in()
    phtrack.shutdown()


def exceptions() -> None:
    uuid: str | None = None
    try:
        raise ValueError
    except ValueError as error:
        uuid = phtrack.capture_exception(error)
        uuid = phtrack.capture_exception(error, distinct_id="u1", properties={"a": 1}, level="warning", handled=False)
        uuid = phtrack.capture_exception(error, fingerprint="checkout")
        uuid = phtrack.capture_exception()
    assert uuid
    logging.getLogger().addHandler(PosthogLoggingHandler(level=logging.WARNING))


def contexts() -> None:
    with phtrack.new_context(fresh=True, capture_exceptions=False):
        phtrack.identify_context("u1")
        phtrack.set_context_session("s1")
        phtrack.tag("plan", "pro")
        tags: dict[str, Any] = phtrack.get_tags()
        assert tags


@phtrack.scoped()
def plain(number: int) -> str:
    return str(number)


@phtrack.scoped(fresh=True)
async def coroutine(number: int) -> str:
    return str(number)


@phtrack.scoped()
def generator() -> Iterator[int]:
    yield 1


@phtrack.scoped()
async def async_generator() -> AsyncIterator[int]:
    yield 1


async def what_scoped_returns() -> None:
    text: str = plain(1)
    text = await coroutine(1)
    numbers: list[int] = list(generator())
    numbers = [number async for number in async_generator()]
    plain("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert text and numbers


constants: list[str] = [phtrack.VERSION, *phtrack.DEFAULT_CODE_VARIABLES_MASK_PATTERNS]
