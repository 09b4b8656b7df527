class Point:
    __slots__ = ("x", "y")

    def __init__(self, x):
        self.x = x

    def length(self):
        return (self.x**2 + self.y**2) ** 0.5


Point(3).length()
