def connect(host):
    try:
        raise OSError("refused")
    except OSError as error:
        raise ConnectionError(f"no way to {host}") from error
