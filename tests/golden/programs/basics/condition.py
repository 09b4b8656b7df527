def is_late(order, today):
    if order["state"] == "open" and order["due"] < today:
        return True
    return False


is_late({"state": "open", "due": None}, 7)
