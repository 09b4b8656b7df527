def weights(items):
    return (item.weight for item in items)


def heaviest(items):
    found = weights(items)
    return max(found)


heaviest([1, 2])
