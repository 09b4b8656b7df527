class Broken(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def fail():
    raise Broken(7)


fail()
