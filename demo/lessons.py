"""
The lessons: each breaks the shop in one way. The first line of its docstring is its title, the rest says what to look at.

They report in the ways an application does: by a block (`new_context`), by a call (`capture_exception`), through logging,
or not at all, when the hooks see what nobody handled.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import phtrack

from . import shop

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

logger = logging.getLogger("shop")

ANNA = shop.Customer("Anna", shop.Address("Mill Lane 3", "York"))
BEN = shop.Customer("Ben")  # collects in the shop

STORM = 2_000
"""Failures in the lesson on storms."""


class Lesson(NamedTuple):
    """One way to break, and the issue that the inbox must show for it."""

    name: str
    title: str
    run: Callable[[str], None]
    """Gets the address that events go to."""
    type: str
    """The issue's exception type."""
    message: str
    """What the issue's message contains."""
    where: str
    """The function that the issue points at."""


LESSONS: list[Lesson] = []


def lesson(type: str, message: str, where: str) -> Callable[[Callable[[str], None]], Callable[[str], None]]:
    """Put a function on the list, with the issue it must lead to."""

    def add(run: Callable[[str], None]) -> Callable[[str], None]:
        title = (run.__doc__ or "").strip().partition("\n")[0]
        LESSONS.append(Lesson(run.__name__.replace("_", " "), title, run, type, message, where))
        return run

    return add


@lesson("AttributeError", "has no attribute 'city'", "parcel_label")
def which_is_none(host: str) -> None:
    """Which part of a long expression was None?

    The failing line has several dots. The exact part is underlined, with its value beside it.
    """
    with phtrack.new_context():
        shop.parcel_label(shop.Order(1001, BEN, {"mug": 2}))


@lesson("CheckoutError", "payment of order 1002 failed", "pay")
def chained(host: str) -> None:
    """An error that was caused by another: `raise ... from error`.

    Both are there, each with its own frames and values; the cause is the one to read first.
    """
    try:
        shop.pay(shop.Order(1002, ANNA, {"kettle": 1, "tea": 3}))
    except shop.CheckoutError as error:
        phtrack.capture_exception(error)


@lesson("UnknownItem", "we don't sell 'cup'", "price")
def from_none(host: str) -> None:
    """An error that hides the one before: `raise ... from None`.

    No KeyError on the page: the author said that it explains nothing.
    """
    with phtrack.new_context():
        shop.Order(1003, ANNA, {"cup": 1}).total()


@lesson("KeyError", "1004", "refund")
def while_handling(host: str) -> None:
    """A bug in an `except` block.

    "Raised while handling": the TimeoutError was not the cause, it only came first.
    """
    with phtrack.new_context():
        shop.refund(shop.Order(1004, ANNA, {"tea": 1}))


@lesson("ExceptionGroup", "2 of 2 suppliers failed", "group")
def group(host: str) -> None:
    """Several errors at once: an exception group.

    A tree: the group, and below it each member with its own frames.
    """
    errors: list[Exception] = []
    for supplier in ("Harbour & Sons", "Teaworks"):
        try:
            shop.ask_supplier(supplier)
        except Exception as error:
            errors.append(error)
    try:
        raise ExceptionGroup(f"{len(errors)} of 2 suppliers failed", errors)
    except ExceptionGroup as error:
        phtrack.capture_exception(error)


@lesson("SoldOut", "the last mug is gone", "reserve")
def thread(host: str) -> None:
    """A thread dies and nobody notices.

    Unhandled, from the threading hook. The main program goes on.
    """

    def reserve(item: str, wanted: int, left: int) -> None:
        if wanted > left:
            raise shop.SoldOut(f"the last {item} is gone")

    worker = threading.Thread(target=reserve, args=("mug", 3, 2), name="reserve")
    worker.start()
    worker.join()


@lesson("LookupError", "no template 'receipt.sv'", "send_receipt")
def asyncio_task(host: str) -> None:
    """A task that nobody awaits fails.

    asyncio tells its loop's exception handler, and so phtrack.
    """

    async def send_receipt(language: str) -> None:
        await asyncio.sleep(0)
        raise LookupError(f"no template 'receipt.{language}'")

    async def serve() -> None:
        asyncio.create_task(send_receipt("sv"))  # noqa: RUF006 - that nobody keeps it is the point
        await asyncio.sleep(0.01)

    asyncio.run(serve())


@lesson("InvalidOperation", "", "logged")
def logged(host: str) -> None:
    """An error that is logged: `logger.exception(...)`.

    The logging handler makes an issue of the record, at the record's level, with the traceback and the line's own words.
    """
    try:
        Decimal("8,50")
    except ArithmeticError:
        logger.exception("price of %s is no number", "mug")


@lesson("LoggedError", "stock of tea is -3", "logged_without_exception")
def logged_without_exception(host: str) -> None:
    """A log line without an exception: `logger.error(...)`.

    There is no traceback, so the stack of the call itself is shown.
    """
    stock = {"tea": -3}
    logger.error("stock of %s is %d", "tea", stock["tea"])


@lesson("ZeroDivisionError", "by zero", "send_newsletter")
def who_and_where(host: str) -> None:
    """Who was it, and in which surroundings? Contexts carry a user, a session and tags.

    The issue's page lists the tags and the user of its events.
    """
    with phtrack.new_context():
        phtrack.identify_context("customer-17")
        phtrack.tag("campaign", "spring")
        phtrack.tag("plan", "wholesale")
        phtrack.capture("newsletter started")
        shop.send_newsletter(recipients=[])


@lesson("RecursionError", "maximum recursion depth exceeded", "depth")
def recursion(host: str) -> None:
    """A thousand frames that say the same.

    The cycle is folded: what led into it, one round, and how often it was repeated.
    """
    with phtrack.new_context():
        shop.depth("kitchen")


@lesson("ValueError", "invalid literal for int()", "read_stock")
def generator(host: str) -> None:
    """A generator fails long after it was made.

    The frames show who consumed it and the line it stopped at, with the row in question. The context that `scoped` opened
    is that of the generator, each time it goes on.
    """

    @phtrack.scoped()
    def stock() -> object:
        phtrack.tag("file", "stock.csv")
        yield from shop.read_stock(["mug;3", "tea;12", "kettle;many"])

    dict(stock())  # type: ignore[call-overload]


@lesson("JSONDecodeError", "Expecting", "parse_price_list")
def library_raised(host: str) -> None:
    """A library raises; the mistake is ours.

    The library's frames are dimmed. What counts is the last frame of our own, and the value that went in.
    """
    with phtrack.new_context():
        shop.parse_price_list('{"mug": "8.50", "tea": }')


@lesson("SoldOut", "kettle", "order_kettle")
def storm(host: str) -> None:
    """The same failure two thousand times.

    The first ones arrive, the rest is held back at about a microsecond each, and counted.
    """

    def order_kettle(left: int) -> None:
        if not left:
            raise shop.SoldOut("kettle")

    for _ in range(STORM):
        try:
            order_kettle(0)
        except shop.SoldOut as error:
            phtrack.capture_exception(error)


@lesson("CheckoutError", "order 1005 has no items", "never_raised")
def never_raised(host: str) -> None:
    """An exception that was never raised.

    It has no traceback; the stack of the call that reported it stands in, marked as such.
    """
    order = shop.Order(1005, ANNA)
    if not order.items:
        phtrack.capture_exception(shop.CheckoutError(f"order {order.number} has no items"))


@lesson("ConnectionError", "wholesaler refused", "log_in")
def secrets(host: str) -> None:
    """Passwords and keys in variables, headers and the message itself.

    Each is hidden before it leaves the process, and the page says by which rule.
    """
    with phtrack.new_context():
        shop.log_in("phil", password="correct-horse-42")


@lesson("ZeroDivisionError", "by zero", "<module>")
def crash(host: str) -> None:
    """A program dies.

    Level fatal, unhandled. Its own traceback is printed and its exit code is 1, as without phtrack.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = shutil.copy(Path(__file__).with_name("crash.py"), folder)
        program = subprocess.run([sys.executable, file, host], capture_output=True, text=True)
    if program.returncode != 1 or "ZeroDivisionError" not in program.stderr:
        raise RuntimeError(f"the program should have died by itself, but: {program.returncode}, {program.stderr}")
