def say(name):
    raise ValueError(f"«{name}» ist ungültig 🙈")


say("Zoë")
