def connect(host, password):
    token = "ghp_" + "a1B2" * 9
    url = f"postgresql://app:{password}@{host}/shop"
    raise ConnectionError(f"can't reach {url}")


connect("db", "hunter2-hunter2")
