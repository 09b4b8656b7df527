import phtrack


def read(cache):
    try:
        return cache["key"]
    except KeyError as error:
        phtrack.capture_exception(error, level="warning", handled=True, fingerprint=["cache", "miss"])


read({})
