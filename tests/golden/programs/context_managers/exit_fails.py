class Transaction:
    def __enter__(self):
        return self

    def __exit__(self, *exc):
        raise ConnectionError("commit failed")


def save(rows):
    with Transaction():
        rows.append(1)


save([])
