import logging

from phtrack import PosthogLoggingHandler

logger = logging.getLogger("shop.stock")
logger.propagate = False
logger.addHandler(PosthogLoggingHandler())


def check(left):
    if left < 3:
        logger.error("only %d left", left)


check(2)
