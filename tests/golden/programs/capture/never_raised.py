import phtrack


def report(kind):
    phtrack.capture_exception(kind("made, not raised"))


report(ValueError)
