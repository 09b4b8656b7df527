def inner(rows):
    for row in rows:
        yield row["id"]


def outer(rows):
    yield 0
    yield from inner(rows)


list(outer([{"id": 1}, {}]))
