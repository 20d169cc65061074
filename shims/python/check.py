"""Parses Python files and tells what is wrong with them. Nothing is imported or run.

stdin: one `local path <TAB> path in the bundle` a line, the entrypoint's file first.
argv[1]: the runtime's version, such as 3.12. Exit 3: this interpreter is older.
stdout: {"errors": [...], "names": [...] | null}
"""

import ast
import json
import sys
import warnings

wanted = tuple(int(part) for part in sys.argv[1].split("."))[:2]
if sys.version_info[: len(wanted)] < wanted:
    sys.exit(3)
warnings.simplefilter("ignore")


def names_of(tree):
    """Top-level names, or None when a star import hides some."""
    names = []

    def targets(node):
        if isinstance(node, ast.Name):
            names.append(node.id)
        elif isinstance(node, (ast.Tuple, ast.List)):
            for element in node.elts:
                targets(element)
        elif isinstance(node, ast.Starred):
            targets(node.value)

    def visit(body):
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.append(node.name)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    targets(target)
            elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
                targets(node.target)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                for alias in node.names:
                    if alias.name == "*":
                        return False
                    names.append((alias.asname or alias.name).split(".")[0])
            else:
                if isinstance(node, (ast.For, ast.AsyncFor)):
                    targets(node.target)
                for item in getattr(node, "items", []):
                    if item.optional_vars is not None:
                        targets(item.optional_vars)
                blocks = [getattr(node, field, []) for field in ("body", "orelse", "finalbody")]
                blocks += [part.body for part in getattr(node, "handlers", []) + getattr(node, "cases", [])]
                if not all(visit(block) for block in blocks if isinstance(block, list)):
                    return False
        return True

    return sorted(set(names)) if visit(tree.body) else None


def snippet_of(error):
    text = (error.text or "").rstrip("\n")
    if not text:
        return None
    stripped = text.lstrip()
    column = max((error.offset or 1) - 1 - (len(text) - len(stripped)), 0)
    return f"{stripped}\n{' ' * column}^"


result = {"errors": [], "names": None}
for index, row in enumerate(sys.stdin.read().splitlines()):
    local, path = row.split("\t")
    try:
        with open(local, "rb") as file:
            tree = ast.parse(file.read(), path)
        if index == 0:
            result["names"] = names_of(tree)
    except SyntaxError as error:
        found = {"type": type(error).__name__, "message": error.msg or "invalid syntax", "file": path}
        found.update(line=error.lineno, column=error.offset, snippet=snippet_of(error))
        result["errors"].append({key: value for key, value in found.items() if value})
    except (ValueError, RecursionError, MemoryError) as error:
        message = str(error) or "nested too deeply to be parsed"
        result["errors"].append({"type": type(error).__name__, "message": message, "file": path})
print(json.dumps(result))
