"""An explicit cause hides the context of the same exception, not that of the cause."""


def load():
    try:
        try:
            return {}["a"]
        except KeyError:
            return 1 / 0
    except ZeroDivisionError as error:
        raise RuntimeError("load failed") from error


load()
