"""Columns are characters, not bytes."""


def größe(straße, 数):
    return "ä→" + straße["länge"] + 数["件"].kürzen()


größe({"länge": "7 m"}, {"件": "三"})
