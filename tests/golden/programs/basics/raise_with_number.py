class OutOfStock(Exception):
    pass


def reserve(item, wanted, stock={"pen": 3}):
    left = stock[item] - wanted
    if left < 0:
        raise OutOfStock(f"{item}: {wanted} wanted, {stock[item]} left")


reserve("pen", 5)
