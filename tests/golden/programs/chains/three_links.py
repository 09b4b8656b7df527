def low(n):
    return [][n]


def middle(n):
    try:
        return low(n)
    except IndexError as error:
        raise LookupError(n) from error


def high(n):
    try:
        return middle(n)
    except LookupError as error:
        raise RuntimeError("can't go on") from error


high(3)
