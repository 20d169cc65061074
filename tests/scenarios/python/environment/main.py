import subprocess
import sys
import time
import warnings

import extramod


def handler(event):
    try:
        warnings.warn("is an error", UserWarning, stacklevel=1)
        warning = "passed"
    except UserWarning:
        warning = "raised"
    command = [sys.executable, "-c", "import extramod, deep; print(extramod.NAME, 'and', deep.NAME)"]
    child = subprocess.run(command, capture_output=True, text=True, cwd="/tmp")
    return {
        "hour": time.localtime(1700000000).tm_hour,
        "extra": extramod.NAME,
        "child": child.stdout.strip() or child.stderr,
        "warning": warning,
        "order": 1 < sys.path.index(sys.path[0] + "/extra") < sys.path.index("/nowhere"),
    }
