SETTINGS = {"host": "localhost"}
PORT = SETTINGS["port"]
