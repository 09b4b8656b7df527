"""
Bugs as small projects: what one fix would cure has one name.

A bug is a mapping of files; `main(n)` of `shop/app.py` fails in it, with another `n` at each occurrence. `lib` (see
`LIBRARIES`) stands for an installed package. `without` names variants that would not be the same
bug any more. Neighbours are there on purpose: a recipe that merges them is too coarse.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

LIBRARIES = {
    "site-packages/lib.py": dedent(
        """
        def call(fn, *args, **kwargs):
            return fn(*args, **kwargs)

        def parse(text):
            return _parse(text)

        def _parse(text):
            raise ValueError(f"can't parse {text!r}")

        def each(fn, items):
            return [fn(item) for item in items]

        class Client:
            def __init__(self, fail=True):
                self.fail = fail

            def get(self, url, timeout=1):
                if self.fail:
                    raise TimeoutError(f"{url} timed out after {timeout} s")
                return url

        class Connection:
            def __enter__(self):
                return self

            def __exit__(self, *exc):
                raise ConnectionError("lost")

        def chained(url):
            try:
                raise OSError("socket closed")
            except OSError as error:
                raise ConnectionError(f"no answer from {url}") from error
        """
    )
}
"""The files of the installed packages."""

NEWER_LIBRARIES = {
    "site-packages/lib.py": LIBRARIES["site-packages/lib.py"]
    .replace(
        "return fn(*args, **kwargs)", "return _inner(fn, args, kwargs)\n\ndef _inner(f, a, k):\n    return f(*a, **k)"
    )
    .replace("return _parse(text)", "return _scan(text)\n\ndef _scan(source):\n    return _parse(source)")
}
"""The same after an upgrade: other frames within."""


@dataclass(frozen=True)
class Bug:
    name: str
    files: dict[str, str]
    without: frozenset[str] = frozenset()


def _bug(name: str, app: str, without: str = "", **files: str) -> Bug:
    sources = {"shop/app.py": dedent(app).lstrip()}
    sources.update({f"shop/{file}.py": dedent(text).lstrip() for file, text in files.items()})
    return Bug(name, sources, frozenset(without.split()))


CART = """
    class Cart:
        def __init__(self, items, people):
            self.items = items
            self.people = people

        def subtotal(self):
            return sum(self.items)

        def share(self, rounded):
            total = self.subtotal()
            each = total / self.people
            return round(each, rounded)

        def rate(self, rounded):
            total = self.subtotal()
            fee = total % self.people
            return round(fee, rounded)

    class Order:
        def __init__(self, items, people):
            self.items = items
            self.people = people

        def subtotal(self):
            return sum(self.items)

        def share(self, rounded):
            total = self.subtotal()
            each = total / self.people
            return round(each, rounded)
"""

USERS = """
    def city(user, fallback):
        address = user["address"]
        street = address["street"].title() + address["number"].title()
        place = address["city"]
        return place or fallback, street
"""

CHECKS = """
    def require(condition, message):
        if not condition:
            raise ValueError(message)

    def check_quantity(quantity):
        if quantity < 1:
            raise ValueError(f"quantity must be positive, got {quantity}")
        return quantity

    def check_line(line):
        check_quantity(line["quantity"])
        check_quantity(line["boxes"])

    def ensure_short(text, limit=5):
        size = len(text.strip())
        if size <= limit:
            return text
        raise ValueError("too long: %d" % size)

    def fail(kind, message):
        raise kind(message)

    class Money:
        def __init__(self, amount, currency):
            self.amount = amount
            self.currency = currency

        def __add__(self, other):
            if self.currency != other.currency:
                raise TypeError(f"can't add {other.currency} to {self.currency}")
            return Money(self.amount + other.amount, self.currency)
"""

LINES = """
    from dataclasses import dataclass

    @dataclass
    class Line:
        name: str
        quantity: int

        def __post_init__(self):
            if self.quantity < 1:
                raise ValueError(f"{self.name}: {self.quantity} is no quantity")
"""

GATEWAY = """
    import lib

    class PaymentError(Exception):
        pass

    class Gateway:
        def __init__(self, fail=True):
            self.client = lib.Client(fail)

        def charge(self, amount):
            answer = self.client.get(f"/charge/{amount}")
            return answer

        def refund(self, amount):
            answer = self.client.get(f"/refund/{amount}")
            return answer

        def lookup(self, number):
            status = self._status(number)
            if status != "ok":
                raise PaymentError(f"{number} is {status}")
            return status

        def _status(self, number):
            return "declined" if number else "ok"
"""


BUGS: list[Bug] = [
    # --- the place, within functions and classes of equal names
    _bug("cart-share-zero", "from shop.cart import Cart\n\ndef main(n):\n    cart = Cart([n, 2], 0)\n    return cart.share(2)", cart=CART),
    _bug("cart-rate-zero", "from shop.cart import Cart\n\ndef main(n):\n    cart = Cart([n, 2], 0)\n    return cart.rate(2)", cart=CART),
    _bug("order-share-zero", "from shop.cart import Order\n\ndef main(n):\n    cart = Order([n, 2], 0)\n    return cart.share(2)", cart=CART),
    _bug("cart-share-text", "from shop.cart import Cart\n\ndef main(n):\n    cart = Cart([n, 2], '0')\n    return cart.share(2)", cart=CART),
    _bug("cart-sum-text", "from shop.cart import Cart\n\ndef main(n):\n    cart = Cart([n, 'x'], 1)\n    return cart.share(2)", cart=CART),
    # --- two expressions of one statement, equal statements of one function
    _bug("user-no-street", "from shop.users import city\n\ndef main(n):\n    user = {'id': n, 'address': {'number': '1'}}\n    return city(user, n)", users=USERS),
    _bug("user-street-none", "from shop.users import city\n\ndef main(n):\n    user = {'id': n, 'address': {'number': '1', 'street': None}}\n    return city(user, n)", users=USERS),
    _bug("user-number-none", "from shop.users import city\n\ndef main(n):\n    user = {'id': n, 'address': {'number': None, 'street': 'a'}}\n    return city(user, n)", users=USERS),
    _bug("user-no-number", "from shop.users import city\n\ndef main(n):\n    user = {'id': n, 'address': {'street': 'a'}}\n    return city(user, n)", users=USERS),
    _bug("user-no-city", "from shop.users import city\n\ndef main(n):\n    user = {'id': n, 'address': {'street': 'a', 'number': '1'}}\n    return city(user, n)", users=USERS),
    _bug("user-no-address", "from shop.users import city\n\ndef main(n):\n    user = {'id': n}\n    return city(user, n)", users=USERS),
    _bug("twin-first", "def twice(d, n):\n    a = d['x'] / n\n    d = {}\n    b = d['x'] / n\n    return a + b\n\ndef main(n):\n    d = {}\n    return twice(d, n)"),
    _bug("twin-second", "def twice(d, n):\n    a = d['x'] / n\n    d = {}\n    b = d['x'] / n\n    return a + b\n\ndef main(n):\n    d = {'x': n}\n    return twice(d, n)"),
    _bug("multi-line-second", "def build(a, b):\n    return dict(\n        first=a['p'],\n        second=b['p'],\n        third=dict(\n            q=b['q'],\n        ),\n    )\n\ndef main(n):\n    return build({'p': n}, {})"),
    _bug("multi-line-third", "def build(a, b):\n    return dict(\n        first=a['p'],\n        second=b['p'],\n        third=dict(\n            q=b['q'],\n        ),\n    )\n\ndef main(n):\n    return build({'p': n}, {'p': n})"),
    _bug("chain-strip", "def clean(text):\n    return (\n        text\n        .get('name')\n        .strip()\n        .pop(0)\n    )\n\ndef main(n):\n    return clean({'id': n})"),
    _bug("chain-pop", "def clean(text):\n    return (\n        text\n        .get('name')\n        .strip()\n        .pop(0)\n    )\n\ndef main(n):\n    return clean({'name': str(n)})"),
    # --- comprehensions, lambdas, generators
    _bug("comprehension-price", "def prices(items):\n    return [item['price'] * item['count'] for item in items]\n\ndef main(n):\n    return prices([{'count': n}])"),
    _bug("comprehension-count", "def prices(items):\n    return [item['price'] * item['count'] for item in items]\n\ndef main(n):\n    return prices([{'price': n}])"),
    _bug("dict-comprehension", "def index(items):\n    return {item['id']: item['name'] for item in items if item}\n\ndef main(n):\n    return index([{}, {'id': n}])"),
    _bug("generator-sum", "def weight(items):\n    return sum(item.weight for item in items)\n\ndef main(n):\n    return weight([n])"),
    _bug("generator-max", "def weight(items):\n    return max(item.weight for item in items)\n\ndef main(n):\n    return weight([n])"),
    _bug("sort-key", "def ranked(items):\n    return sorted(items, key=lambda item: item['rank'])\n\ndef main(n):\n    return ranked([{'id': n}])"),
    _bug("lambda-at-a-distance", "KEY = lambda item: item['rank'] + 1\n\ndef ranked(items):\n    return sorted(items, key=KEY)\n\ndef main(n):\n    return ranked([{'id': n}])"),
    _bug("nested-comprehension", "def flat(rows):\n    return [cell.value for row in rows for cell in row.cells]\n\ndef main(n):\n    class Row:\n        cells = [n]\n    return flat([Row])"),
    _bug("generator-consumed-later", "def lengths(items):\n    for item in items:\n        yield item.length\n\ndef main(n):\n    found = lengths([n])\n    return list(found)", without="async"),
    _bug("library-each", "import lib\n\ndef main(n):\n    return lib.each(lambda item: item['rank'], [{'id': n}])"),
    # --- guards: the caller is at fault
    _bug("guard-site-a", "from shop.checks import check_quantity\n\ndef order(n):\n    amount = n - 10**9\n    check_quantity(amount)\n\ndef main(n):\n    return order(n)", checks=CHECKS),
    _bug("guard-site-b", "from shop.checks import check_quantity\n\ndef reorder(n):\n    rest = 0 * n\n    return check_quantity(rest)\n\ndef main(n):\n    return reorder(n)", checks=CHECKS),
    _bug("guard-other-function", "from shop.checks import ensure_short\n\ndef order(n):\n    text = 'x' * 100 + str(n)\n    ensure_short(text)\n\ndef main(n):\n    return order(n)", checks=CHECKS),
    _bug("guard-nested-a", "from shop.checks import check_line\n\ndef first(n):\n    line = {'quantity': -n, 'boxes': 1}\n    check_line(line)\n\ndef main(n):\n    return first(n)", checks=CHECKS),
    _bug("guard-nested-b", "from shop.checks import check_line\n\ndef second(n):\n    line = {'quantity': -n, 'boxes': 1}\n    check_line(line)\n\ndef main(n):\n    return second(n)", checks=CHECKS),
    _bug("guard-nested-boxes", "from shop.checks import check_line\n\ndef first(n):\n    line = {'quantity': n, 'boxes': -1}\n    check_line(line)\n\ndef main(n):\n    return first(n)", checks=CHECKS),
    _bug("guard-require-a", "from shop.checks import require\n\ndef first(n):\n    size = n * 2\n    require(size < 0, f'size {size}')\n\ndef main(n):\n    return first(n)", checks=CHECKS),
    _bug("guard-require-b", "from shop.checks import require\n\ndef first(n):\n    size = n * 2\n    require(size == 0, f'not empty: {size}')\n\ndef main(n):\n    return first(n)", checks=CHECKS),
    _bug("guard-fail-a", "from shop.checks import fail\n\ndef load(n):\n    path = f'/tmp/{n}'\n    fail(LookupError, path)\n\ndef main(n):\n    return load(n)", checks=CHECKS),
    _bug("guard-fail-b", "from shop.checks import fail\n\ndef save(n):\n    path = f'/tmp/{n}'\n    fail(LookupError, path)\n\ndef main(n):\n    return save(n)", checks=CHECKS),
    _bug("guard-operator-a", "from shop.checks import Money\n\ndef pay(n):\n    price = Money(n, 'EUR')\n    return price + Money(1, 'USD')\n\ndef main(n):\n    return pay(n)", checks=CHECKS),
    _bug("guard-operator-b", "from shop.checks import Money\n\ndef refund(n):\n    price = Money(n, 'EUR')\n    return price + Money(1, 'CHF')\n\ndef main(n):\n    return refund(n)", checks=CHECKS),
    _bug("guard-post-init-a", "from shop.lines import Line\n\ndef parse(n):\n    name = str(n)\n    return Line(name, 0)\n\ndef main(n):\n    return parse(n)", lines=LINES),
    _bug("guard-post-init-b", "from shop.lines import Line\n\ndef copy(n):\n    name = str(n)\n    return Line(name, -1)\n\ndef main(n):\n    return copy(n)", lines=LINES),
    _bug("guard-assert-a", "def half(value):\n    assert value % 2 == 0, f'{value} is odd'\n    return value // 2\n\ndef one(n):\n    odd = 2 * n + 1\n    return half(odd)\n\ndef main(n):\n    return one(n)"),
    _bug("guard-assert-b", "def half(value):\n    assert value % 2 == 0, f'{value} is odd'\n    return value // 2\n\ndef two(n):\n    odd = 2 * n + 1\n    return half(odd)\n\ndef main(n):\n    return two(n)"),
    _bug("guard-recursive", "def descend(depth):\n    if depth == 0:\n        raise LookupError('bottom')\n    return descend(depth - 1)\n\ndef main(n):\n    return descend(n % 50 + 1)"),
    # --- no guards: what is called is at fault, whoever calls
    _bug("gateway-declined", "from shop.gateway import Gateway\n\ndef order(n):\n    return Gateway().lookup(n)\n\ndef main(n):\n    return order(n)", gateway=GATEWAY),
    _bug("gateway-declined", "from shop.gateway import Gateway\n\ndef renew(n):\n    found = Gateway()\n    return found.lookup(n)\n\ndef main(n):\n    return renew(n)", gateway=GATEWAY),
    _bug("local-decision", "import lib\n\ndef load(key):\n    rows = list(lib.each(str, []))\n    if not rows:\n        raise LookupError(f'nothing for {key}')\n    return rows\n\ndef first(n):\n    return load(n)\n\ndef main(n):\n    return first(n)"),
    _bug("local-decision", "import lib\n\ndef load(key):\n    rows = list(lib.each(str, []))\n    if not rows:\n        raise LookupError(f'nothing for {key}')\n    return rows\n\ndef second(n):\n    other = load(n)\n    return other\n\ndef main(n):\n    return second(n)"),
    # --- library functions: the call site
    _bug("library-parse-a", "import lib\n\ndef read(n):\n    text = str(n)\n    return lib.parse(text)\n\ndef main(n):\n    return read(n)"),
    _bug("library-parse-b", "import lib\n\ndef scan(n):\n    text = str(n)\n    return lib.parse(text)\n\ndef main(n):\n    return scan(n)"),
    _bug("gateway-charge", "from shop.gateway import Gateway\n\ndef main(n):\n    return Gateway().charge(n)", gateway=GATEWAY),
    _bug("gateway-refund", "from shop.gateway import Gateway\n\ndef main(n):\n    return Gateway().refund(n)", gateway=GATEWAY),
    _bug("json", "import json\n\ndef settings(text):\n    return json.loads(text)\n\ndef main(n):\n    return settings('{' + str(n))"),
    _bug("int-of-text", "def number(text):\n    return int(text)\n\ndef main(n):\n    return number(f'n{n}')"),
    # --- causes and contexts
    _bug("gateway-charge", "from shop.gateway import Gateway\n\ndef pay(n):\n    try:\n        return Gateway().charge(n)\n    except TimeoutError as error:\n        raise RuntimeError(f'no payment {n}') from error\n\ndef main(n):\n    return pay(n)", gateway=GATEWAY),
    _bug("gateway-charge", "from shop.gateway import Gateway\n\ndef pay(n):\n    try:\n        return Gateway().charge(n)\n    except TimeoutError:\n        raise RuntimeError(f'no payment {n}')\n\ndef main(n):\n    return pay(n)", gateway=GATEWAY),
    _bug("handler-is-broken", "from shop.gateway import Gateway\n\ndef pay(n):\n    report = None\n    try:\n        return Gateway().charge(n)\n    except TimeoutError:\n        report.append(n)\n\ndef main(n):\n    return pay(n)", gateway=GATEWAY),
    _bug("from-none", "from shop.gateway import Gateway\n\ndef pay(n):\n    try:\n        return Gateway().charge(n)\n    except TimeoutError:\n        raise RuntimeError(f'no payment {n}') from None\n\ndef main(n):\n    return pay(n)", gateway=GATEWAY),
    _bug("library-cause", "import lib\n\ndef main(n):\n    return lib.chained(f'/x/{n}')"),
    _bug("cancelled", "import asyncio\n\nasync def slow(n):\n    await asyncio.sleep(n)\n\nasync def limited(n):\n    try:\n        raise asyncio.CancelledError(n)\n    except asyncio.CancelledError as error:\n        raise TimeoutError(n) from error\n\ndef main(n):\n    return asyncio.run(limited(n))", without="async task"),
    # --- recursion
    _bug("recursion-self", "def walk(node):\n    return [walk(child) for child in node['children']]\n\ndef main(n):\n    node = {'id': n}\n    node['children'] = [node]\n    return walk(node)"),
    _bug("recursion-mutual", "def ping(n):\n    return pong(n + 1)\n\ndef pong(n):\n    return ping(n + 1)\n\ndef main(n):\n    return ping(n)"),
    _bug("recursion-through-library", "import lib\n\ndef visit(n):\n    return lib.call(visit, n + 1)\n\ndef main(n):\n    return visit(n)", without="async"),
    # --- other statements
    _bug("unpack", "def pair(row):\n    key, value = row.split(',')\n    return key, value\n\ndef main(n):\n    return pair(f'{n}')"),
    _bug("condition", "def late(order):\n    if order.due.year < 2020:\n        return True\n    return False\n\ndef main(n):\n    class Order:\n        due = n\n    return late(Order)"),
    _bug("loop-header", "def total(items):\n    count = 0\n    for item in items.lines:\n        count += item\n    return count\n\ndef main(n):\n    return total(n)"),
    _bug("augmented", "def total(items):\n    count = 0\n    for item in items:\n        count += item\n    return count\n\ndef main(n):\n    return total([n, 'x'])"),
    _bug("f-string", "def label(user, n):\n    return f'{user.name} ({user.mail.upper()}) {n}'\n\ndef main(n):\n    class User:\n        name = 'a'\n        mail = None\n    return label(User, n)"),
    _bug("store-item", "def put(target, n):\n    target['x'] = n\n    return target\n\ndef main(n):\n    return put(None, n)"),
    _bug("with-exit", "import lib\n\ndef send(n):\n    with lib.Connection():\n        count = n\n    return count\n\ndef main(n):\n    return send(n)"),
    _bug("property", "class Basket:\n    def __init__(self, n):\n        self.lines = {'n': n}\n\n    @property\n    def price(self):\n        return self.lines['price']\n\ndef main(n):\n    basket = Basket(n)\n    return basket.price"),
    _bug("inner-function", "def outer(n):\n    limit = n\n    def inner(value):\n        return value[limit]\n    return inner([])\n\ndef main(n):\n    return outer(n)"),
    _bug("name-error", "def shout(text):\n    return text.upper() + sufix\n\ndef main(n):\n    return shout(str(n))"),
    _bug("import-inside", "def load(n):\n    from shop import missing_module\n    return missing_module.run(n)\n\ndef main(n):\n    return load(n)"),
    _bug("wrong-arguments", "def area(width, height):\n    return width * height\n\ndef room(n):\n    return area(n)\n\ndef main(n):\n    return room(n)", without="decorated"),
    _bug("constants-differ-a", "def read(row):\n    name = row['name']\n    return name\n\ndef main(n):\n    return read({'id': n})"),
    _bug("constants-differ-b", "def read(row):\n    name = row['title']\n    return name\n\ndef main(n):\n    return read({'id': n})"),
    _bug("walrus", "def first(rows):\n    if (row := rows[0]) and row['ok']:\n        return row\n    return None\n\ndef main(n):\n    return first([{'id': n}])"),
    _bug("star-call", "def join(a, b):\n    return a + b\n\ndef main(n):\n    parts = [str(n), n]\n    return join(*parts)"),
    # --- groups
    _bug("group-of-two", "def one(n):\n    return {}['a']\n\ndef two(n):\n    return [][n]\n\ndef both(n):\n    errors = []\n    for job in (one, two):\n        try:\n            job(n)\n        except Exception as error:\n            errors.append(error)\n    raise ExceptionGroup(f'{n} failed', errors)\n\ndef main(n):\n    return both(n)", without="async"),
    _bug("group-of-two", "def one(n):\n    return {}['a']\n\ndef two(n):\n    return [][n]\n\ndef both(n):\n    errors = []\n    for job in (two, one, two):\n        try:\n            job(n)\n        except Exception as error:\n            errors.append(error)\n    raise ExceptionGroup(f'{n} failed', errors)\n\ndef main(n):\n    return both(n)", without="async"),
    _bug("group-never-raised", "def report(n):\n    errors = [ValueError(f'a {n}'), TypeError('b')]\n    raise ExceptionGroup('bad form', errors)\n\ndef main(n):\n    return report(n)", without="async"),
]  # fmt: skip

TREE = """
    class Visitor:
        def visit(self, node):
            if node["kind"] not in ("list", "leaf"):
                raise LookupError(f"unknown kind {node['kind']}")
            return self.inner(node)

        def inner(self, node):
            return [self.visit(child) for child in node.get("children", ())]
"""

STOCK = """
    import contextlib
    import functools

    def require_admin(fn):
        @functools.wraps(fn)
        def wrapper(user, *args):
            if not user["admin"]:
                raise PermissionError(f"{user['id']} is no admin")
            return fn(user, *args)
        return wrapper

    @require_admin
    def delete(user, what):
        return what

    @contextlib.contextmanager
    def locked(name):
        if not name:
            raise ValueError("a lock needs a name")
        yield name

    class Item:
        limit = 100

        def __init__(self, name):
            if name.startswith("_"):
                raise ValueError(f"{name} is private")
            self.name = name
            self.count = 0

        def take(self, count):
            if count > self.limit:
                raise OverflowError(f"{count} is too much")
            self.count += count

        @property
        def rank(self):
            return self.count

        @rank.setter
        def rank(self, value):
            if not isinstance(value, int):
                raise TypeError("a rank is a number")
            self.count = value

    class Special(Item):
        def __init__(self, name):
            super().__init__(name)
            self.special = True

    def find(items, name):
        for item in items:
            if item == name:
                return item
        raise LookupError(f"no {name} among {len(items)}")

    def fail(error):
        raise error

    def classify(number):
        if number == 0:
            raise ArithmeticError("bad number")
        elif number.imag.nothing:
            return 1
        match number:
            case 7:
                return 2
            case _:
                raise ArithmeticError("bad number")
"""


def _both(name: str, call: str, prepare: str = "pass", more: str = "", without: str = "") -> list[Bug]:
    """Two bugs: the same call from two functions, both at fault."""
    bugs = []
    for suffix, function in (("a", "first"), ("b", "second")):
        app = (
            f"import lib\nfrom shop.stock import *\n{more}\n\ndef {function}(n):\n    {prepare}\n    {call}\n\n"
            f"def main(n):\n    return {function}(n)\n"
        )
        bugs.append(_bug(f"{name}-{suffix}", app, without, stock=STOCK))
    return bugs


BUGS += [
    *_both("guard-decorator", "return delete(user, n)", "user = {'id': n, 'admin': False}"),
    *_both("guard-context-manager", "with locked(name): print()", "name = str(n)[:0]", without="async"),
    *_both("guard-init", "return Item(name)", "name = f'_{n}'"),
    *_both("guard-super-init", "return Special(name)", "name = f'_{n}'"),
    *_both("guard-method", "item.take(n + 1000)", "item = Item('x')"),
    *_both("guard-setter", "item.rank = str(n)", "item = Item('x')"),
    *_both("guard-search", "return find(names, str(n))", "names = ['a', 'b']"),
    *_both("guard-error-given", "fail(error)", "error = KeyError(n)"),
    *_both("guard-zero", "return classify(0 * n)"),
    _bug("guard-visitor", "from shop.tree import Visitor\n\ndef main(n):\n    tree = {'kind': n}\n    return Visitor().visit(tree)", tree=TREE),
    _bug("guard-visitor", "from shop.tree import Visitor\n\ndef main(n):\n    tree = {'kind': 'list', 'children': [{'kind': 'list', 'children': [{'kind': n}]}]}\n    return Visitor().visit(tree)", tree=TREE),
    _bug("elif-condition", "from shop.stock import classify\n\ndef main(n):\n    return classify(n)", stock=STOCK),
    _bug("elif-condition", "from shop.stock import classify\n\ndef other(n):\n    number = n\n    return classify(number)\n\ndef main(n):\n    return other(n)", stock=STOCK),
    _bug("set-checked-a", "from shop.checks import check_quantity\n\nclass Box:\n    pass\n\ndef fill(box, count):\n    'Fill it.'\n    check_quantity(count)\n    box.count = count\n\ndef main(n):\n    empty = -n\n    fill(Box(), empty)", checks=CHECKS),
    _bug("set-checked-b", "from shop.checks import check_quantity\n\nclass Box:\n    pass\n\ndef fill(box, count):\n    'Fill it.'\n    check_quantity(count)\n    box.count = count\n\ndef refill(n):\n    less = -n\n    fill(Box(), less)\n\ndef main(n):\n    return refill(n)", checks=CHECKS),
    _bug("middleware", "class Layer:\n    def __init__(self, inner):\n        self.inner = inner\n\n    def __call__(self, request):\n        return self.inner(request)\n\ndef view(request):\n    if 'user' not in request:\n        raise PermissionError('log in')\n    return 1\n\ndef main(n):\n    request = {'n': n}\n    return view(request)", without="async"),
    _bug("middleware", "class Layer:\n    def __init__(self, inner):\n        self.inner = inner\n\n    def __call__(self, request):\n        return self.inner(request)\n\ndef view(request):\n    if 'user' not in request:\n        raise PermissionError('log in')\n    return 1\n\nview = Layer(view)\n\ndef main(n):\n    request = {'n': n}\n    return view(request)", without="async"),
    _bug("gateway-charge", "from shop.gateway import Gateway\nfrom shop.stock import fail\n\ndef pay(n):\n    try:\n        return Gateway().charge(n)\n    except TimeoutError:\n        fail(RuntimeError(n))\n\ndef main(n):\n    return pay(n)", gateway=GATEWAY, stock=STOCK),
    _bug("gateway-charge", "from shop.gateway import Gateway\n\ndef retried(fn, n):\n    last = None\n    for attempt in range(3):\n        try:\n            return fn(n)\n        except TimeoutError as error:\n            last = error\n    raise RuntimeError(f'gave up on {n}') from last\n\ndef main(n):\n    return retried(Gateway().charge, n)", without="async", gateway=GATEWAY),
    _bug("gateway-charge", "from shop.gateway import Gateway\n\ndef low(n):\n    try:\n        return Gateway().charge(n)\n    except TimeoutError as error:\n        raise OSError(n) from error\n\ndef main(n):\n    try:\n        return low(n)\n    except OSError as error:\n        raise RuntimeError(n) from error", gateway=GATEWAY),
    _bug("finally-is-broken", "from shop.gateway import Gateway\n\ndef main(n):\n    done = None\n    try:\n        return Gateway().charge(n)\n    finally:\n        done.close()", gateway=GATEWAY),
    _bug("same-raise-first", "def check(n, mode):\n    rows = [n] * mode\n    if not rows:\n        raise ValueError('wrong')\n    total = sum(rows)\n    if total != 0:\n        raise ValueError('wrong')\n\ndef main(n):\n    return check(n, 0)"),
    _bug("same-raise-second", "def check(n, mode):\n    rows = [n] * mode\n    if not rows:\n        raise ValueError('wrong')\n    total = sum(rows)\n    if total != 0:\n        raise ValueError('wrong')\n\ndef main(n):\n    return check(n, 1)"),
    _bug("class-body", "def make(n):\n    class Made:\n        size = n.size\n    return Made\n\ndef main(n):\n    return make(n)"),
    _bug("generator-elsewhere", "def weights(items):\n    found = (item.weight for item in items)\n    return found\n\ndef main(n):\n    return sum(weights([n]))"),
    _bug("generator-elsewhere", "def weights(items):\n    found = (item.weight for item in items)\n    return found\n\ndef other(n):\n    for weight in weights([n]):\n        return weight\n\ndef main(n):\n    return other(n)"),
    _bug("except-type", "import lib\n\ndef main(n):\n    try:\n        return lib.parse(n)\n    except lib.Missing:\n        return None"),
    _bug("two-awaits", "import asyncio\n\nasync def answer(n):\n    await asyncio.sleep(0)\n    return {}[n]\n\nasync def both(n):\n    return [await asyncio.sleep(0), await answer(n)]\n\ndef main(n):\n    return asyncio.run(both(n))", without="async task"),
    _bug("task-group", "import asyncio\n\nasync def fetch(n):\n    await asyncio.sleep(0)\n    raise TimeoutError(f'no answer in {n} s')\n\nasync def all_of(n):\n    return await asyncio.gather(fetch(n), asyncio.sleep(1))\n\ndef main(n):\n    return asyncio.run(all_of(n))", without="async task"),
    _bug("task-group", "import asyncio\n\nasync def fetch(n):\n    await asyncio.sleep(0)\n    raise TimeoutError(f'no answer in {n} s')\n\nasync def all_of(n):\n    return await fetch(n)\n\ndef main(n):\n    return asyncio.run(all_of(n))", without="async task"),
    _bug("closure", "def outer(n):\n    def inner(rows):\n        return rows[limit]\n    limit = n\n    return inner([])\n\ndef main(n):\n    return outer(n)"),
    _bug("long-statement", "def build(n):\n    values = " + " + ".join(f"len('part {i}')" for i in range(60)) + " + n.size\n    return values\n\ndef main(n):\n    return build(n)"),
]  # fmt: skip
