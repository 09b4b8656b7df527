import phtrack


def work(rows):
    with phtrack.new_context():
        phtrack.tag("job", "import")
        return rows[3]


work([1])
