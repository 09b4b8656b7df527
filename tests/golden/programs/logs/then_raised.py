"""Logged, then raised: one failure, one event."""

import logging

from phtrack import PosthogLoggingHandler

logger = logging.getLogger("shop.orders")
logger.propagate = False
logger.addHandler(PosthogLoggingHandler())


def pay(order):
    try:
        return order["total"]
    except KeyError:
        logger.exception("payment failed")
        raise


pay({"id": 8})
