import phtrack


class Declined(Exception):
    __fingerprint__ = "card declined"


def pay(bank):
    raise Declined(bank)


for bank in ("A", "B"):
    try:
        pay(bank)
    except Declined as error:
        phtrack.capture_exception(error)
