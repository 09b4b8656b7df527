def login(client):
    return client.login(user="app", password="correct horse battery")


login(None)
