class Command:
    def __init__(self, fn):
        self.fn = fn

    def __call__(self, *args):
        return self.fn(*args)


@Command
def remove(path):
    if not path.startswith("/"):
        raise ValueError(f"{path!r} is no absolute path")


def main():
    remove("tmp")


main()
