def find(users, name):
    try:
        return users[name]
    except KeyError:
        raise LookupError(f"no user {name}")


find({"ann": 1}, "bob")
