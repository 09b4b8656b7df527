def last(items):
    for item in items:
        found = item
    return found


last([])
