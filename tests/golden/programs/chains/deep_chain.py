"""Sixty links: the outermost and the next 49 are kept."""


def nest(depth):
    try:
        if depth:
            nest(depth - 1)
        else:
            raise ValueError("innermost")
    except Exception as error:
        raise RuntimeError(f"level {depth}") from error


nest(59)
