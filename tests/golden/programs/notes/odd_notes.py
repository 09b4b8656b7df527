def load():
    error = ValueError("bad")
    error.__notes__ = ["first\nsecond line", 3]
    raise error


load()
