"""The key that is missing, with the mapping it is missing from."""

order = {"id": 7, "customer": {"name": "Ann"}}


def city(order):
    return order["customer"]["city"]


city(order)
