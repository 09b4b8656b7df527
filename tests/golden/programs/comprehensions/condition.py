def long(names, limit):
    return {name for name in names if len(name) > limit}


long(["Ann", 7], 2)
