class ApiError(Exception):
    def __init__(self, status, message):
        super().__init__(status)
        self.status = status
        self.message = message


def call():
    raise ApiError(503, "try again later")


call()
