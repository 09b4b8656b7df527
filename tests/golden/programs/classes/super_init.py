class Item:
    def __init__(self, name):
        if not name:
            raise ValueError("an item needs a name")
        self.name = name


class Book(Item):
    def __init__(self, name, pages):
        super().__init__(name)
        self.pages = pages


def parse(row):
    return Book(row["name"], row["pages"])


parse({"name": "", "pages": 3})
