def line(user):
    return f"{user['name']} <{user['mail'].lower()}>"


line({"name": "Ann", "mail": None})
