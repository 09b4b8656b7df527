def kind(value):
    if value is None:
        return "none"
    elif value.kind == "a":
        return "a"
    return "other"


kind(3)
