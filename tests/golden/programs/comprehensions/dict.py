def by_id(items):
    return {item["id"]: item["name"].title() for item in items}


by_id([{"id": 1, "name": "pen"}, {"id": 2, "name": None}])
