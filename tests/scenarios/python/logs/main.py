import logging
import os
import subprocess
import sys
import threading
import warnings

print("while loading")
logger = logging.getLogger("shop")


def handler(event):
    if event == "print":
        print("one", 2)
        print("two\nthree")
        print("err", file=sys.stderr)
        sys.stdout.write("part")
        sys.stdout.write("ial")
        sys.stdout.buffer.write(b" bytes")
    elif event == "logging":
        logger.debug("hidden")
        logger.info("shown %d", 1)
        logger.warning("careful")
        logging.error("bad")
        try:
            1 / 0
        except ZeroDivisionError:
            logger.exception("failed")
    elif event == "raw":
        os.write(1, b"raw out\nunfinished")
    elif event == "child":
        subprocess.run([sys.executable, "-I", "-S", "-c", "print('from a child')"], check=True)
    elif event == "thread":
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
    elif event == "long":
        print("x" * 20_000)
        print("short")
    elif event == "warn":
        warnings.warn("mind this", UserWarning, stacklevel=1)
    return "ok"
