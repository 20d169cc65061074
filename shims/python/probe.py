# Run by an interpreter that was found, with `-c`: tells what it is and which files it consists of.
import json
import os
import sys

minor = "%d.%d" % sys.version_info[:2]
library = os.path.dirname(os.__file__)
skip = [
    "__pycache__",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "idle_test",
    "tkinter",
    "turtledemo",
    "turtle.py",
    "ensurepip",
    "lib2to3",
    "config-*",
    "*.a",
    "*.exe",
    "_test*.so",
    "_ctypes_test*.so",
    "_xxtestfuzz*.so",
    "_xxsubinterpreters*.so",
    "_tkinter*.so",
    "xxlimited*.so",
]
print(
    json.dumps(
        {
            "implementation": sys.implementation.name,
            "version": "%d.%d.%d" % sys.version_info[:3],
            "final": sys.version_info[3] == "final",
            "program": {"from": os.path.realpath(sys.executable), "to": "opt/python/bin/python" + minor},
            "tree": {"from": library, "to": "opt/python/lib/python" + minor, "skip": skip},
        }
    )
)
