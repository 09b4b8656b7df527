import contextlib


@contextlib.contextmanager
def opened(path):
    try:
        yield path
    except KeyError as error:
        raise LookupError(f"nothing in {path}") from error


def read(path):
    with opened(path) as found:
        return {}[found]


read("/etc/x")
