from concurrent.futures import ThreadPoolExecutor


def load(path):
    raise FileNotFoundError(path)


def start(pool, path):
    future = pool.submit(load, path)
    return future.result()


with ThreadPoolExecutor(1) as pool:
    start(pool, "settings.toml")
