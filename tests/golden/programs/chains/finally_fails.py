def run(connection):
    try:
        return connection["query"](1)
    finally:
        connection["close"]()


def query(n):
    raise TimeoutError(f"query {n} timed out")


def close():
    raise OSError("already closed")


run({"query": query, "close": close})
