import enum


class Color(enum.Enum):
    RED = 1
    BLUE = 2


def paint(name, colors=Color):
    current = colors.RED
    return colors[name], current


paint("GREEN")
