from concurrent.futures import ThreadPoolExecutor


def parse(text):
    return int(text)


with ThreadPoolExecutor(1) as pool:
    list(pool.map(parse, ["1", "b"]))
