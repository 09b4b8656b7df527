def describe(name, street, city):
    return f"{name}, {street}, {city}"


def label(person):
    return describe(
        name=person["name"],
        street=person["street"],
        city=person["city"].title(),
    )


label({"name": "Ann", "street": "A 1", "city": None})
