"""Starts the shim. Kept to a few lines: a script, unlike a module, is compiled at each start."""

import sys

sys.path.insert(0, __file__.rpartition("/")[0])

from faas_shim.main import main  # noqa: E402

words = sys.argv[2:]
del sys.argv[2:]
if "--zygote" in words:
    from faas_shim.zygote import serve

    words = serve()

del sys.path[0]

# The children that `multiprocessing` spawns import this file under another name.
if __name__ == "__main__":
    main("--wait" in words)
