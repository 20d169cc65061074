from logging import getLogger

logger = getLogger(__name__)


def handler(event):
    logger.debug("hidden")
    logger.info("shown")
