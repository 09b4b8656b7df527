names = ["Ann", None]
lengths = [len(name) for name in names]
