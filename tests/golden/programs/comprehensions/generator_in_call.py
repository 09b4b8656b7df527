def longest(names):
    return max(len(name) for name in names)


longest(["Ann", None])
