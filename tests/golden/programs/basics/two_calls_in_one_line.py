def number(text):
    return int(text)


def both(left, right):
    return number(left) + number(right)


both("1", "x2")
