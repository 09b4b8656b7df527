def cells(rows):
    return [cell.value for row in rows for cell in row]


cells([[1], [2]])
