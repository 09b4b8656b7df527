def third(rows):
    first, second = rows[0], rows[1]
    return rows[2]


third(["a", "b"])
