class Plain:
    def __init__(self, name):
        self.name = name
        self.parent = None

    def __repr__(self):
        raise AssertionError("nobody may ask")


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self):
        self.left = Plain("leaf")


def fail(plain, slotted, kind=Plain, call=len):
    plain.parent = slotted
    return plain.name.missing


fail(Plain("root"), Slotted())
