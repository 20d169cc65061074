"""Starts the shim. Kept to a few lines: a script, unlike a module, is compiled at each start."""

import sys

sys.path.insert(0, __file__.rpartition("/")[0])

from faas_shim.main import main  # noqa: E402

if sys.argv[2:] == ["--zygote"]:
    from faas_shim.zygote import serve

    del sys.argv[2]
    serve()

del sys.path[0]

# The children that `multiprocessing` spawns import this file under another name.
if __name__ == "__main__":
    main()
