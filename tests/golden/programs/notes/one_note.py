def load(row):
    try:
        return int(row["count"])
    except ValueError as error:
        if hasattr(error, "add_note"):
            error.add_note(f"in row {row['id']}")
        else:
            error.__notes__ = [f"in row {row['id']}"]
        raise


load({"id": 7, "count": "many"})
