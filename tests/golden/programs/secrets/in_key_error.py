def pick(settings, name):
    return settings[name]


pick({"api_key": "k-12345", "monkey": "banana"}, "secret_token")
