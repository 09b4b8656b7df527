import functools


@functools.lru_cache
def price(name):
    return {"pen": 2}[name]


price("ink")
