"""Compiles a tree of packages for where it will appear, so that no start has to: `DIR AS`.

One process: a pool of them needs more than a sandbox gives. The layer is read-only, hence no check against the sources
at run time.
"""

import compileall
import py_compile
import sys

compileall.compile_dir(
    sys.argv[1],
    quiet=2,
    stripdir=sys.argv[1],
    prependdir=sys.argv[2],
    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
)
