"""Tells which modules Python files import, as this interpreter's own parser sees it. Nothing is imported or run.

stdin: one `local path <TAB> path in the bundle` a line. argv[1]: the runtime's version, such as 3.12.
stdout: {"exact": bool, "builtin": [...], "imports": [{"module", "names", "file", "line", "optional"}], "unread": [...]}
"""

import ast
import json
import sys
import warnings

warnings.simplefilter("ignore")
# What these raise, or less, is what a missing module raises.
MISSING = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
# Functions that import what their first argument names.
IMPORTERS = {"__import__", "import_module", "importorskip"}
found = []


def is_caught(node):
    """Whether a `try` goes on without what it could not import."""

    def catches(kind):
        if kind is None:
            return True
        if isinstance(kind, ast.Tuple):
            return any(catches(part) for part in kind.elts)
        return getattr(kind, "id", getattr(kind, "attr", None)) in MISSING

    return any(catches(handler.type) for handler in node.handlers)


def is_for_checkers(test):
    return getattr(test, "id", getattr(test, "attr", None)) == "TYPE_CHECKING"


def note(path, node, module, names, optional):
    found.append({"module": module, "names": names, "file": path, "line": node.lineno, "optional": optional})


def look(path, tree):
    waiting = [(tree, False)]
    while waiting:
        node, optional = waiting.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                note(path, node, alias.name, [], optional)
        elif isinstance(node, ast.ImportFrom):
            if not node.level and node.module:
                note(path, node, node.module, [alias.name for alias in node.names], optional)
        elif isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "id", getattr(node.func, "attr", None))
            first = getattr(node.args[0], "value", None)
            if name in IMPORTERS and isinstance(first, str) and first and not first.startswith("."):
                note(path, node, first, [], optional)
        inside = set()
        if isinstance(node, ast.Try) and is_caught(node):
            inside = set(map(id, node.body))
        elif isinstance(node, ast.If) and is_for_checkers(node.test):
            inside = set(map(id, node.body))
        waiting += [(child, optional or id(child) in inside) for child in ast.iter_child_nodes(node)]


unread = []
for row in sys.stdin.read().splitlines():
    local, path = row.split("\t")
    try:
        with open(local, "rb") as file:
            look(path, ast.parse(file.read(), path))
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
        unread.append(path)

version = ".".join(str(part) for part in sys.version_info[:2])
builtin = sorted(sys.stdlib_module_names | {"__future__", "__main__"})
print(json.dumps({"exact": version == sys.argv[1], "builtin": builtin, "imports": found, "unread": unread}))
