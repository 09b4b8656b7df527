"""The logging handler: which records become events, and how often."""

from __future__ import annotations

import logging
import logging.handlers
import queue
from collections.abc import Iterator
from typing import Any

import pytest

import phtrack
from phtrack import _guard
from phtrack.testing import FakeClock, RecordingTransport


@pytest.fixture
def transport() -> RecordingTransport:
    return RecordingTransport()


@pytest.fixture
def client(transport: RecordingTransport) -> Iterator[phtrack.Posthog]:
    client = phtrack.Posthog("phc_test", transport=transport, clock=FakeClock())
    yield client
    client.shutdown()


@pytest.fixture
def log(client: phtrack.Posthog) -> Iterator[logging.Logger]:
    """A logger with our handler on it, that passes nothing on."""
    logger = logging.getLogger("phtest")
    handler = phtrack.PosthogLoggingHandler(client=client)
    logger.addHandler(handler)
    logger.setLevel("DEBUG")
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True


def properties(client: phtrack.Posthog, transport: RecordingTransport) -> list[dict[str, Any]]:
    client.flush()
    return [event["properties"] for event in transport.events]


def test_a_logged_exception_is_that_exception(
    log: logging.Logger, client: phtrack.Posthog, transport: RecordingTransport
) -> None:
    """Caught by a logger, handled, with the record's own level and message."""
    try:
        {}["x"]
    except KeyError:
        log.critical("lookup %s failed", "x", exc_info=True, extra={"order": 7})
    (one,) = properties(client, transport)
    assert one["$exception_type"] == "KeyError"
    assert one["$exception_level"] == "fatal"
    assert one["$exception_source"] == "python.logging"
    mechanism = one["$exception_list"][0]["mechanism"]
    assert (mechanism["type"], mechanism["handled"], mechanism["synthetic"]) == ("logger", True, False)
    assert one["$log_message"] == "lookup x failed"
    assert one["$logger"] == "phtest"
    assert one["order"] == 7


def test_a_message_without_exception_is_an_event_too(
    log: logging.Logger, client: phtrack.Posthog, transport: RecordingTransport
) -> None:
    """Made from the message, with the stack of the call, and marked as synthetic."""

    def caller() -> None:
        log.error("payment of %d refused", 12)

    caller()
    (one,) = properties(client, transport)
    entry = one["$exception_list"][0]
    assert (entry["type"], entry["value"]) == ("LoggedError", "payment of 12 refused")
    assert entry["mechanism"]["synthetic"] is True
    last = entry["stacktrace"]["frames"][-1]
    assert last["function"] == "caller"
    assert "log.error" in last["context_line"]


def test_the_same_call_groups_whatever_it_says(
    log: logging.Logger, client: phtrack.Posthog, transport: RecordingTransport
) -> None:
    """Two messages of one line of code are one issue, another line is another."""
    for n in range(2):
        log.error("order %d failed", n)
    log.error("something else")
    prints = [one["$exception_fingerprint"] for one in properties(client, transport)]
    assert prints[0] == prints[1] != prints[2]


def test_records_below_the_level_are_left_alone(
    log: logging.Logger, client: phtrack.Posthog, transport: RecordingTransport
) -> None:
    """The handler's level decides, ERROR by default."""
    log.warning("not yet")
    assert properties(client, transport) == []


def test_one_record_is_one_event_through_propagation(client: phtrack.Posthog, transport: RecordingTransport) -> None:
    """Our handler on a logger and on its parent sees the record twice and reports it once."""
    parent, child = logging.getLogger("phtest2"), logging.getLogger("phtest2.child")
    handlers = [phtrack.PosthogLoggingHandler(client=client) for _ in range(2)]
    for logger, handler in zip((parent, child), handlers):
        logger.addHandler(handler)
    try:
        child.error("once")
    finally:
        for logger, handler in zip((parent, child), handlers):
            logger.removeHandler(handler)
    assert len(properties(client, transport)) == 1


def test_phtracks_own_records_are_never_events(client: phtrack.Posthog, transport: RecordingTransport) -> None:
    """Our handler on the root logger at DEBUG sees what phtrack says, and keeps quiet."""
    root = logging.getLogger()
    handler = phtrack.PosthogLoggingHandler(level="DEBUG", client=client)
    root.addHandler(handler)
    before = root.level
    root.setLevel("DEBUG")
    try:
        _guard.say("error", "something of ours")
        logging.getLogger("phtrack.delivery").error("ours too")
        with _guard.quiet():
            logging.getLogger("urllib3.connectionpool").error("while sending")
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    assert properties(client, transport) == []


def test_a_record_handled_in_another_thread_has_no_made_up_stack(
    client: phtrack.Posthog, transport: RecordingTransport
) -> None:
    """Behind a queue the call's stack is gone; the event says where it was."""
    waiting: queue.Queue[Any] = queue.Queue()
    listener = logging.handlers.QueueListener(waiting, phtrack.PosthogLoggingHandler(client=client))
    log = logging.getLogger("phtest3")
    log.propagate = False
    handler = logging.handlers.QueueHandler(waiting)
    log.addHandler(handler)
    listener.start()
    log.error("behind a queue")
    listener.stop()
    log.removeHandler(handler)
    (one,) = properties(client, transport)
    assert "stacktrace" not in one["$exception_list"][0]
    assert one["$log_call"].startswith(__file__)


def test_a_format_that_does_not_fit_still_counts(
    log: logging.Logger, client: phtrack.Posthog, transport: RecordingTransport
) -> None:
    """A wrong number of arguments is the program's slip; the error it wanted to tell arrives."""
    record = log.makeRecord("phtest", logging.ERROR, __file__, 1, "a %s b %s", (1,), None)
    log.handlers[0].handle(record)  # pytest's own handler would raise at such a record
    assert properties(client, transport)[0]["$exception_message"] == "a %s b %s"


def test_without_a_client_the_handler_does_nothing() -> None:
    """Attached before `init`, or without it, it is harmless."""
    log = logging.getLogger("phtest4")
    log.propagate = False
    handler = phtrack.PosthogLoggingHandler()
    log.addHandler(handler)
    log.error("nobody listens")
    log.removeHandler(handler)
    assert phtrack.default_client is None


def test_a_filter_may_say_that_a_record_is_no_event(
    log: logging.Logger, client: Any, transport: RecordingTransport
) -> None:
    """`PosthogLoggingHandler.ignore`: other handlers get the record as ever."""

    def known(record: logging.LogRecord) -> bool:
        if record.msg == "known":
            phtrack.PosthogLoggingHandler.ignore(record)
        return True

    log.addFilter(known)
    try:
        log.error("known")
        log.error("new")
    finally:
        log.removeFilter(known)
    client.flush()
    assert [event["properties"]["$exception_list"][0]["value"] for event in transport.named("$exception")] == ["new"]
