"""The handler itself is broken: a context that is not the cause."""


def find(users, name, log=None):
    try:
        return users[name]
    except KeyError:
        log.append(name)


find({"ann": 1}, "bob")
