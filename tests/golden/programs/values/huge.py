def fail():
    text = "x" * 5_000_000
    nested = []
    for _ in range(5000):
        nested = [nested]
    number = 10**5000
    return len(text) / (number - number)


fail()
