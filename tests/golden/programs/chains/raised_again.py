"""The traceback of an exception raised again goes through both places."""


def low():
    raise TimeoutError("late")


def high():
    try:
        low()
    except TimeoutError as error:
        kept = error
    raise kept


high()
