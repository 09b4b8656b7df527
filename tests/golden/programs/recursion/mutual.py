def even(n):
    return odd(n)


def odd(n):
    return even(n)


even(3)
