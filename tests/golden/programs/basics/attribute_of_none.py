"""Which part of the dotted chain was None."""


class Customer:
    address = None


def street(customer):
    return customer.address.street.title()


street(Customer())
