def area(width, height):
    return width * height


def room(size):
    return area(size)


room(3)
