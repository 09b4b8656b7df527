"""The shop: ordinary code with ordinary bugs. It knows nothing of phtrack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

PRICES = {"mug": Decimal("8.50"), "tea": Decimal("4.20"), "kettle": Decimal("39.00")}
CATEGORIES = {"kitchen": ["mugs", "kettles"], "mugs": [], "kettles": ["gifts"], "gifts": ["kitchen"]}


class CheckoutError(Exception):
    """An order could not be completed."""


class UnknownItem(Exception):
    """There is no such item in the catalogue."""


class SoldOut(Exception):
    """The last one is gone."""


@dataclass
class Address:
    """Where a parcel goes."""

    street: str
    city: str


@dataclass
class Customer:
    """Who buys. Who collects in the shop gives no address."""

    name: str
    address: Address | None = None


@dataclass
class Order:
    """What somebody buys: item -> quantity."""

    number: int
    customer: Customer
    items: dict[str, int] = field(default_factory=dict)

    def total(self) -> Decimal:
        """What the order costs."""
        return sum((price(item) * quantity for item, quantity in self.items.items()), Decimal(0))


def price(item: str) -> Decimal:
    """The price of one *item*."""
    try:
        return PRICES[item]
    except KeyError:
        raise UnknownItem(f"we don't sell {item!r}") from None


def parcel_label(order: Order) -> str:
    """The text for the parcel."""
    customer = order.customer
    return f"#{order.number} {customer.name}, {customer.address.city.upper()}"  # type: ignore[union-attr] # the bug


def call_gateway(amount: Decimal, timeout: float) -> None:
    """Ask the bank, which never answers today."""
    raise TimeoutError(f"no answer within {timeout:g} s")


def pay(order: Order) -> None:
    """Take the money."""
    amount = order.total()
    try:
        call_gateway(amount, timeout=1.5)
    except TimeoutError as error:
        raise CheckoutError(f"payment of order {order.number} failed") from error


def refund(order: Order) -> None:
    """Give the money back, or put the order on the list of those to look at."""
    to_look_at: dict[int, str] = {}
    try:
        call_gateway(-order.total(), timeout=0.5)
    except TimeoutError as error:
        to_look_at[order.number] += str(error)


def ask_supplier(name: str) -> int:
    """How many a supplier has in stock."""
    if name == "Harbour & Sons":
        raise ValueError(f"{name} answered 'plenty'")
    raise TimeoutError(f"{name} did not answer")


def depth(category: str) -> int:
    """How many levels of categories there are below this one. Somebody put the kitchen under the gifts."""
    deepest = 0
    for below in CATEGORIES[category]:
        deepest = max(deepest, depth(below))
    return 1 + deepest


def read_stock(lines: list[str]) -> Iterator[tuple[str, int]]:
    """Parse `item;quantity` lines, one by one."""
    for line in lines:
        item, _, quantity = line.partition(";")
        yield item, int(quantity)


def parse_price_list(text: str) -> dict[str, str]:
    """A supplier's price list."""
    prices: dict[str, str] = json.loads(text)
    return prices


def send_newsletter(recipients: list[str]) -> int:
    """Returns the number of letters per recipient's domain."""
    return 1_000 // len(recipients)


def log_in(user: str, password: str) -> None:
    """Open a session at the wholesaler's."""
    api_key = "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"  # a made-up key
    headers = {"Authorization": f"Bearer {api_key}", "X-User": user}
    raise ConnectionError(f"wholesaler refused https://{user}:{password}@wholesale.example with {len(headers)} headers")
