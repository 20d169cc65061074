"""What a new user meets: a call for later fails, says why, is mended and replayed; by command, read as people read."""

from __future__ import annotations

import json
import re
from pathlib import Path

from harness import CliResult, Server, write_function

MAIN = """from prices import total


def handler(order: dict):
    print("order", order["id"])
    return {"total": total(order)}
"""
BROKEN = "def total(order):\n    return order['price'] * order['count']\n"
MENDED = "def total(order):\n    return order['price'] * order.get('count', 1)\n"
RETRY = '\n[background.retry]\nmax_attempts = 2\nbackoff = "10ms"\n'
ORDER = json.dumps({"order": {"id": "A7", "price": 3}})


def test_a_call_for_later_fails_says_why_and_succeeds_once_it_is_mended(server: Server, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "checkout", {"main.py": MAIN, "prices.py": BROKEN})
    with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.write(RETRY)
    server.cli("deploy", folder).ok()

    # The id alone, for the next command.
    run = server.cli("invoke", "checkout", "-d", ORDER, "--async").ok().stdout.strip()
    assert re.fullmatch(r"run_[0-9A-Z]{26}", run)

    watched = rows(server.cli("runs", "watch", run).exits(1))
    assert (watched["id"], watched["function"], watched["state"]) == (run, "checkout version 1", "failed")
    assert "KeyError: 'count'" in watched["attempt 1"] and "KeyError: 'count'" in watched["attempt 2"]

    shown = server.cli("runs", "get", run).ok()
    told = rows(shown)
    assert told["error"] == "FN_004 KeyError: 'count'"
    assert told["at"] == "prices.py:2"
    assert told["cause"] == "user error"
    assert told["next step"] == "look at line 2 of prices.py, correct it and deploy again"
    stack = shown.stdout.partition("stack, outermost call first\n")[2].splitlines()
    assert stack[:4] == [
        '  File "main.py", line 6, in handler',
        '      return {"total": total(order)}',
        '  File "prices.py", line 2, in total',
        "      return order['price'] * order['count']",
    ]
    assert server.cli("runs", "logs", run).ok().stdout.count("order A7") == 2
    assert "The function's own code failed" in server.cli("explain", "FN_004").ok().stdout

    (folder / "prices.py").write_text(MENDED, encoding="utf-8")
    deployed = server.cli("deploy", folder).ok()
    assert rows(deployed)["version"] == "2 (was 1)"
    assert any(line.startswith("  ~ prices.py") for line in deployed.stderr.splitlines()), deployed.stderr

    assert told["try again"] == f"faas runs replay {run} --current"
    again = server.cli(*told["try again"].split()[1:]).ok().stdout.strip()
    replayed = rows(server.cli("runs", "watch", again).ok())
    assert (replayed["function"], replayed["state"]) == ("checkout version 2", "succeeded")
    assert (replayed["trigger"], replayed["replay of"]) == ("replay", run)
    assert json.loads(replayed["result"]) == {"result": {"total": 3}}
    # What happened stays what happened.
    assert rows(server.cli("runs", "get", run).ok())["state"] == "failed"


def rows(result: CliResult) -> dict[str, str]:
    """What a command shows as names and values."""
    pairs = (re.split(r" {2,}", line, maxsplit=1) for line in result.stdout.splitlines() if not line.startswith(" "))
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
