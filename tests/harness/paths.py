"""Where things lie in the source tree."""

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
EXAMPLES = ROOT / "examples"
# Where `scripts/setup test` puts it.
DENO = TARGET / "tools/deno/2/bin/deno"


def binary() -> Path:
    """The program under test: `FAAS_BIN`, else the development build."""
    found = Path(os.environ.get("FAAS_BIN", TARGET / "debug" / "faas"))
    if not found.is_file():
        raise FileNotFoundError(f"{found} is not there: run `make build`, or set FAAS_BIN")
    return found.resolve()


def program(name: str) -> str | None:
    """A tool that the tests use: beside this interpreter, below target/tools, or on the PATH."""
    places = [Path(sys.executable).parent, TARGET / "tools/bin"]
    found = [str(place / name) for place in places if (place / name).is_file()]
    return found[0] if found else shutil.which(name)
