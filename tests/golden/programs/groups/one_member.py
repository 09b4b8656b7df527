# needs: Python 3.11
"""A group with one member is grouped as that member."""


def fetch(url):
    raise TimeoutError(f"{url} timed out")


def run(urls):
    errors = []
    for url in urls:
        try:
            fetch(url)
        except TimeoutError as error:
            errors.append(error)
    raise ExceptionGroup("fetching failed", errors)


run(["/a"])
