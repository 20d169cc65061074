# Run by an interpreter that is being sealed, with `-c DIR AS`: compiles what lies in DIR, so that no start has to. The
# layer is read-only, hence no check against the sources at run time.
import compileall
import py_compile
import sys

compileall.compile_dir(
    sys.argv[1],
    quiet=2,
    stripdir=sys.argv[1],
    prependdir=sys.argv[2],
    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    workers=2,
)
