def check(value):
    if not value:
        raise ValueError("empty") from LookupError("nothing there")


check([])
