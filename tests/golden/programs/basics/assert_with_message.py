def half(value):
    assert value % 2 == 0, f"{value} is odd"
    return value // 2


half(7)
