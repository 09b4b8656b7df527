def decode(data):
    text = data.decode("utf-8", "surrogateescape")
    raise ValueError(f"bad name: {text}")


decode(b"caf\xe9")
