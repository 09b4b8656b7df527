def total(lines):
    amount = 0
    for line in lines:
        amount += line["price"] * line["count"]
    return amount


total([{"price": 2, "count": 3}, {"price": "4", "count": None}])
