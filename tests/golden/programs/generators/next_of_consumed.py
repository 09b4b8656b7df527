def numbers(limit):
    for n in range(limit):
        yield 10 // (limit - 1 - n)


def total(limit):
    return sum(numbers(limit))


total(3)
