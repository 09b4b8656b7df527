"""An exception in `__del__` has nobody to go to."""


class Connection:
    def __init__(self):
        self.name = "main"

    def __del__(self):
        self.socket.close()


connection = Connection()
del connection
