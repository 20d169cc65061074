import io
import logging
import os
import sys

FORMAT = "FMT %(levelname)s %(message)s"
how = os.environ["HOW"]
kept = io.StringIO()


class Lower(logging.Formatter):
    def format(self, record):
        record.levelname = record.levelname.lower()
        return super().format(record)


if how == "stream":
    logging.basicConfig(stream=sys.stdout, level=logging.DEBUG, format="FMT %(message)s")
elif how == "stderr":
    logging.basicConfig(level="DEBUG", format="FMT {message}", style="{")
elif how == "force":
    logging.getLogger().addHandler(logging.StreamHandler())
    logging.basicConfig(force=True, level=logging.DEBUG, format="FMT %(message)s")
elif how == "level":
    logging.basicConfig(level=logging.WARNING)
elif how == "twice":
    logging.basicConfig(level=logging.DEBUG, format="FMT %(message)s")
    logging.basicConfig(level=logging.DEBUG)
elif how == "handlers":
    own = logging.StreamHandler(sys.stdout)
    logging.basicConfig(handlers=[own], level=logging.DEBUG, format="OWN FMT %(message)s")
elif how == "other":
    logging.basicConfig(stream=kept, level=logging.DEBUG, format="FMT %(message)s")
elif how == "added":
    logging.getLogger().addHandler(logging.StreamHandler())
    logging.basicConfig(level=logging.DEBUG)
elif how == "unknown":
    try:
        logging.basicConfig(levle=logging.DEBUG)
    except ValueError:
        pass


def handler(event):
    if how == "unknown":
        print("ValueError")
    logging.debug("debug %d", 1)
    logging.warning("warning %d", 2)
    if how == "other":
        print(kept.getvalue().replace("\n", "|"))
    return "ok"
