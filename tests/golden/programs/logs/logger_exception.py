import logging

from phtrack import PosthogLoggingHandler

logger = logging.getLogger("shop")
logger.propagate = False
logger.addHandler(PosthogLoggingHandler())


def pay(order):
    try:
        return order["total"]
    except KeyError:
        logger.exception("payment of order %s failed", order["id"])


pay({"id": 7})
