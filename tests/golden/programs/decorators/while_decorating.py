def register(name):
    return {"known": str.title}[name]


@register("unknown")
def job():
    pass
