class Settings:
    def __init__(self, values):
        self.values = values

    def __getattr__(self, name):
        return self.values[name]


def host(settings):
    return settings.host


host(Settings({"port": 1}))
