def area(shape):
    match shape:
        case {"kind": "square", "side": side}:
            return side * side
        case {"kind": "circle", "radius": radius} if radius > 0:
            return 3.14 * radius
    raise LookupError(f"no such shape: {shape['kind']}")


area({"kind": "circle", "radius": -1})
