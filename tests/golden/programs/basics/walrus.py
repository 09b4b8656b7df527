def first(rows):
    if (row := rows[0]) and row["ok"]:
        return row
    return None


first([{"id": 1}])
