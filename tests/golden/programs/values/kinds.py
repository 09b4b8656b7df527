import collections
import datetime
import decimal
import pathlib
import uuid

Point = collections.namedtuple("Point", "x y")


def fail(**values):
    number, ratio, flag, nothing = 7, 0.5, True, None
    text, data = "ab" * 600, b"\x00\x01"
    point, path = Point(1, 2), pathlib.PurePosixPath("/srv/app")
    day, price = datetime.date(2026, 1, 2), decimal.Decimal("9.90")
    ident = uuid.UUID(int=7)
    many, table = list(range(1000)), {n: n * n for n in range(100)}
    names, frozen = {"a"}, frozenset(())
    loop = []
    loop.append(loop)
    raise LookupError("see the values")


fail(a=1)
