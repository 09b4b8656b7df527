# needs: Python 3.11
def run():
    try:
        raise ExceptionGroup("mixed", [ValueError("a"), KeyError("b")])
    except ExceptionGroup as group:
        raise RuntimeError("run failed") from group


run()
