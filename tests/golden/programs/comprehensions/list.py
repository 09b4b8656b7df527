def prices(items):
    return [item["price"] * item["count"] for item in items]


prices([{"price": 1, "count": 2}, {"price": 3}])
