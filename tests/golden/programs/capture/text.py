import phtrack


def report(what):
    phtrack.capture_exception(f"{what} is strange")


report("order 7")
