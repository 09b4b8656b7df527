# needs: Python 3.11
def load(path):
    try:
        return {}[path]
    except KeyError as error:
        raise FileNotFoundError(path) from error


def run(paths):
    errors = []
    for path in paths:
        try:
            load(path)
        except OSError as error:
            errors.append(error)
    raise ExceptionGroup("some are missing", errors)


run(["a.txt", "b.txt"])
