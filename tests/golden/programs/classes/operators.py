class Money:
    def __init__(self, amount, currency):
        self.amount = amount
        self.currency = currency

    def __add__(self, other):
        if other.currency != self.currency:
            raise TypeError(f"can't add {other.currency} to {self.currency}")
        return Money(self.amount + other.amount, self.currency)


def total(parts):
    found = parts[0]
    for part in parts[1:]:
        found = found + part
    return found


total([Money(1, "EUR"), Money(2, "USD")])
