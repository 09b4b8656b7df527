def helper(check):
    __tracebackhide__ = True
    return check()


def test(value):
    return helper(lambda: value["x"])


test({})
