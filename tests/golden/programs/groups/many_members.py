# needs: Python 3.11
def number(text):
    return int(text)


def lookup(text):
    return {}[text]


def run(text):
    errors = []
    for step in (number, lookup, number):
        try:
            step(text)
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup(f"{len(errors)} steps failed", errors)


run("x")
