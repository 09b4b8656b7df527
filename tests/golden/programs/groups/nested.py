# needs: Python 3.11
def fail(kind, text):
    try:
        raise kind(text)
    except kind as error:
        return error


def run():
    inner = ExceptionGroup("inner", [fail(KeyError, "a"), fail(IndexError, "b")])
    raise ExceptionGroup("outer", [fail(ValueError, "c"), inner, OSError("never raised")])


run()
