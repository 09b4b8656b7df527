def ranked(items):
    return sorted(items, key=lambda item: item["rank"])


ranked([{"rank": 1}, {"name": "pen"}])
