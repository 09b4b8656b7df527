def apply(rule, row):
    return eval(rule, {"row": row})


apply("row['price'] > 3", {"name": "pen"})
