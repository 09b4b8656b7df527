import phtrack


def checkout(cart):
    phtrack.step("cart loaded", items=len(cart))
    phtrack.step("discount", percent=10)
    return cart[0]["price"] * 0.9


checkout([{"name": "pen"}])
