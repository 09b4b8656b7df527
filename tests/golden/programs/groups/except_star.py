# needs: Python 3.11
"""What `except*` leaves over goes on."""


def run():
    try:
        raise ExceptionGroup("mixed", [ValueError("handled"), KeyError("left")])
    except* ValueError:
        pass


run()
