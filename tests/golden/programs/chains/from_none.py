def find(users, name):
    try:
        return users[name]
    except KeyError:
        raise LookupError(f"no user {name}") from None


find({"ann": 1}, "bob")
