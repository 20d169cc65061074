import sys

if sys.version_info < (3, 12):
    raise ModuleNotFoundError("No module named 'distutils'", name="distutils")
import distutils

handler = distutils.f
