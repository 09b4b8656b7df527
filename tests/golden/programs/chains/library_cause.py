"""What happened inside the library is not followed into the application."""

from _library import connect


def start(host):
    return connect(host)


start("db.example.org")
