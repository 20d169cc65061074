import logging

logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
logger = logging.getLogger("shop")


def handler(event):
    logger.debug("seen")
    logger.info("shown %d", 1)
    logger.warning("careful")
    logging.error("bad")
    logger.critical("worse")
