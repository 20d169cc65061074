# Run by an interpreter of the developer's, with `-c`: prints the directory of a package, as that interpreter finds
# it. What lies in the working directory does not count.
import sys

if sys.path[:1] == [""]:
    del sys.path[0]
import importlib.util
import json

spec = importlib.util.find_spec(sys.argv[1])
print(json.dumps(list(spec.submodule_search_locations)[0]))
