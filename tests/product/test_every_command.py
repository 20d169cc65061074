"""Every command keeps the contract of the command line: its help, its success and each way to be refused."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from harness import MACHINE, CliResult, Server, write_function
from harness.index import PythonIndex, wheel

from product.command_tree import Command, bare_cli, commands
from product.developer import Dev
from product.functions import ADD

SNAPSHOTS = Path(__file__).parent / "help"
# Commands that ask no server.
LOCAL = {"up", "doctor", "init", "validate", "deps", "explain", "completion", "version", "git remote", "git credential"}
LOCAL |= {"test", "dev fire"}
# Commands that ask one only for what it refuses besides, and do without an answer.
LENIENT = {"validate"}
LOCAL |= {"logout", "profiles list", "profiles get", "profiles use"}
# Status, code and exit code of each refusal.
REFUSALS = [
    (401, "FN_010", 3),
    (403, "FN_009", 3),
    (404, "FN_001", 4),
    (409, "FN_014", 6),
    (422, "FN_006", 5),
    (429, "FN_007", 7),
    (500, "FN_022", 1),
]
# Where the first example is not what a program would run.
ARGUMENTS = {
    "secrets set": ["secrets", "set", "TLS_KEY", "--file", "key.pem"],
    "login": ["login"],
}
# What `login` keeps; the others read nothing.
KEY = "faas_x"
# Tested elsewhere, since they run until they are stopped.
ENDLESS = {"up"}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A directory that has what examples name."""
    for place in (tmp_path, tmp_path / "hello"):
        place.mkdir(exist_ok=True)
        (place / "faas.toml").write_text('name = "hello"\nruntime = "python"\nentrypoint = "main:handler"\n', "utf-8")
        (place / "main.py").write_text(ADD, "utf-8")
    (tmp_path / "hello.py").write_text(ADD, "utf-8")
    (tmp_path / "rules.toml").write_text("blocked_imports = ['socket']\n", "utf-8")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "shared.py").write_text("", "utf-8")
    (tmp_path / "key.pem").write_text("-----BEGIN KEY-----", "utf-8")
    (tmp_path / "event.json").write_text('{"specversion":"1.0","id":"1","source":"/s","type":"t"}', "utf-8")
    return tmp_path


def test_help_is_as_it_was(home: Path) -> None:
    """After a wanted change: UPDATE_SNAPSHOTS=1."""
    told = {f"{'-'.join(command.path)}.txt": command.help for command in commands(home)}
    if os.environ.get("UPDATE_SNAPSHOTS"):
        for old in SNAPSHOTS.glob("*.txt"):
            old.unlink()
        for name, text in told.items():
            (SNAPSHOTS / name).write_text(text, encoding="utf-8")
    kept = {path.name: path.read_text(encoding="utf-8") for path in SNAPSHOTS.glob("*.txt")}
    assert kept == told


class Refusing:
    """A server that refuses whatever it is asked."""

    def __init__(self, status: int, code: str) -> None:
        self.asked = 0
        outer = self
        problem = {"type": "about:blank", "title": "refused", "status": status, "code": code, "detail": "as told"}
        body = json.dumps(
            problem
            | {
                "hint": "ask for less",
                "request_id": "req",
                "reason": "refused",
                "docs_url": "http://127.0.0.1/errors/refused",
            }
            | {"retry": {"safe": False, "executed": "no"}}
        ).encode()

        class Handler(BaseHTTPRequestHandler):
            """One connection."""

            protocol_version = "HTTP/1.1"

            def refuse(self) -> None:
                outer.asked += 1
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(status)
                self.send_header("content-type", "application/problem+json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def __getattr__(self, name: str) -> Callable[[], None]:
                if name.startswith("do_"):
                    return self.refuse
                raise AttributeError(name)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.env = {"FAAS_ENDPOINT": f"http://127.0.0.1:{self._server.server_address[1]}", "FAAS_API_KEY": "faas_x"}
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Refusing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.mark.parametrize(("status", "code", "exit_code"), REFUSALS)
def test_every_refusal_is_told_alike(home: Path, desk: Path, status: int, code: str, exit_code: int) -> None:
    def breaches(command: Command) -> Iterator[str]:
        words = ARGUMENTS.get(command.name) or command.example()
        words = [*words, "--yes"] if "--yes" in command.help and "--yes" not in words else words
        for form in ([], ["-o", "json"]):
            with Refusing(status, code) as server:
                result = bare_cli(home)(*words, *form, cwd=desk, env=server.env, stdin=KEY, timeout=30)
                asked = server.asked
            wanted = asked > 0 and result.code == exit_code and result.stdout == "" and "\x1b" not in result.stderr
            if form and wanted:
                told = json.loads(result.stderr.splitlines()[-1])
                wanted = (told["status"], told["code"], told["hint"]) == (status, code, "ask for less")
            elif wanted:
                wanted = f"error[{code}]: " in result.stderr and "hint: " in result.stderr
            if not wanted:
                yield f"{command.name} {form}: asked {asked}, exit {result.code}\n{result.stdout}\n{result.stderr}"

    asking = [command for command in commands(home) if command.name not in LOCAL]
    with ThreadPoolExecutor(4) as pool:
        found = [breach for several in pool.map(lambda command: list(breaches(command)), asking) for breach in several]
    assert not found, "\n".join(found)


def test_local_commands_ask_no_server(home: Path, desk: Path) -> None:
    with Refusing(500, "FN_022") as server:
        for command in commands(home):
            if command.name in LOCAL - LENIENT - ENDLESS:
                bare_cli(home)(*command.example(), cwd=desk, env=server.env)
        assert server.asked == 0
        for command in commands(home):
            if command.name in LENIENT:
                bare_cli(home)(*command.example(), cwd=desk, env=server.env).ok()
        assert server.asked == len(LENIENT)


class Session:
    """Somebody at work. Remembers which commands were used; what they print as JSON parses whatever else is said."""

    def __init__(self, server: Server, known: tuple[Command, ...], cwd: Path) -> None:
        self.server, self.cwd = server, cwd
        self.paths = sorted((command.path for command in known), key=len, reverse=True)
        self.used: set[str] = set()

    def run(self, *words: str | Path, stdin: str | None = None) -> CliResult:
        """A command that succeeds, in the form for people."""
        result = self.server.cli(*words, stdin=stdin, cwd=self.cwd).ok()
        assert "\x1b" not in result.stdout + result.stderr
        path = next(path for path in self.paths if tuple(map(str, words[: len(path)])) == path)
        self.used.add(" ".join(path))
        return result

    def json(self, *words: str | Path, stdin: str | None = None) -> Any:
        """The same in the form for programs; `None` where nothing is to say."""
        result = self.run(*words, "-o", "json", stdin=stdin)
        return json.loads(result.stdout) if result.stdout else None

    def both(self, *words: str | Path) -> Any:
        """Both forms of a command that changes nothing."""
        self.run(*words)
        return self.json(*words)


def test_every_command_succeeds_and_speaks_json(
    server: Server, package_index: PythonIndex, home: Path, desk: Path
) -> None:
    package_index.add(wheel("of-every-command", "1.0", {"of_every_command.py": ""}))
    known = commands(home)
    session = Session(server, known, desk)
    acts: list[Callable[[Session, Path], None]] = [
        machine_and_project,
        functions,
        versions,
        network,
        runs_and_dead_letters,
        vars_and_keys,
        secrets,
        own_machine,
        preflight,
        layers,
        triggers_events_and_topics,
    ]
    for act in acts:
        act(session, desk)
    assert session.used == {command.name for command in known} - ENDLESS


def machine_and_project(session: Session, desk: Path) -> None:
    for words in (["version"], ["status"], ["doctor"], ["explain", "FN_004"], ["explain"]):
        session.both(*words)
    session.run("completion", "bash")
    session.json("init", "fresh", "--runtime", "python")
    session.both("validate", "fresh")
    session.both("deps", "fresh", "--all")
    subprocess.run(["git", "init", "--quiet", desk / "fresh"], check=True)
    session.json("git", "remote", "fresh")
    asked = f"protocol=http\nhost=127.0.0.1:{session.server.port}\n"
    assert "password=faas_" in session.run("git", "credential", "get", stdin=asked).stdout


def preflight(session: Session, desk: Path) -> None:
    session.both("settings", "upload-policy", "set", "rules.toml")
    session.both("settings", "upload-policy", "get")
    session.json("settings", "upload-policy", "reset", "--yes")


def functions(session: Session, desk: Path) -> None:
    for note in ("one", "two"):
        (desk / "hello" / "note.txt").write_text(note, "utf-8")
        assert session.json("deploy", "hello", "-m", note)["function"] == "hello"
    assert session.json("invoke", "hello", "-d", '{"x": 1, "y": 2}')["body"] == {"result": 3}
    for verb in ("get", "url", "metrics"):
        session.both("functions", verb, "hello")
    session.both("versions", "list", "hello")
    session.json("versions", "log", "hello")
    session.both("functions", "list")
    session.json("rollback", "hello")
    session.json("rollback", "hello", "--to", "2")
    session.json("functions", "pause", "hello")
    session.json("functions", "resume", "hello")
    session.json("cache", "purge", "hello")
    session.both("logs", "hello")


def network(session: Session, desk: Path) -> None:
    session.both("network", "get", "hello")
    if not MACHINE.tun:
        # Where functions have no network, there is nothing to set and nothing to try.
        session.used |= {"network set", "network test", "network reset"}
        return
    session.json("deploy", write_function(desk, "reach", ADD, network="egress"))
    assert session.json("network", "set", "reach", "--nothing")["policy"]["allow"] == []
    refused = session.server.cli("network", "test", "reach", "192.0.2.7:80", "-o", "json").exits(1).json()
    assert refused["outcome"] == "denied"
    session.used.add("network test")
    session.json("network", "reset", "reach")


def versions(session: Session, desk: Path) -> None:
    session.both("versions", "diff", "hello", "1", "2")
    newest = session.both("deployments", "list", "hello")["items"][0]
    session.both("deployments", "get", newest["id"])
    session.run("deployments", "events", newest["id"])
    slow = write_function(desk, "slow", f"import time\ntime.sleep(25)\n{ADD}")
    begun = session.json("deploy", slow, "--detach")
    assert session.json("deployments", "cancel", begun["id"])["state"] == "cancelled"
    session.json("aliases", "set", "hello", "staging", "1=50", "2=50")
    session.both("aliases", "list", "hello")
    session.json("aliases", "delete", "hello", "staging", "--yes")
    with (desk / "hello" / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.write("\n[canary]\n")
    for end in ("promote", "abort"):
        session.json("deploy", "hello")
        session.both("rollouts", "get", "hello")
        session.json("rollouts", end, "hello")


def runs_and_dead_letters(session: Session, desk: Path) -> None:
    run = session.run("invoke", "hello", "-d", '{"x": 1, "y": 2}', "--async").stdout.strip()
    session.json("runs", "watch", run)
    for verb in ("get", "logs"):
        session.both("runs", verb, run)
    session.both("runs", "list", "--function", "hello")
    session.json("runs", "replay", run, "--wait")
    late = session.run("invoke", "hello", "-d", "{}", "--async", "--delay", "1h").stdout.strip()
    session.json("runs", "cancel", late)
    failing = write_function(desk, "failing", "def handler():\n    raise ValueError('as told')\n")
    with (failing / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.write("\n[background.retry]\nmax_attempts = 1\n")
    session.json("deploy", failing)
    for _ in range(2):
        dead = session.run("invoke", "failing", "-d", "{}", "--async").stdout.strip()
        session.server.cli("runs", "watch", dead).exits(1)
    session.both("dead-letters", "list", "--function", "failing")
    session.both("dead-letters", "get", dead)
    session.json("dead-letters", "redrive", dead)
    session.json("dead-letters", "purge", "--function", "failing", "--yes")
    session.json("functions", "delete", "failing", "--yes")


def vars_and_keys(session: Session, desk: Path) -> None:
    session.json("vars", "set", "hello", "GREETING=hi")
    session.both("vars", "list", "hello")
    session.both("vars", "get", "hello", "GREETING")
    session.json("vars", "delete", "hello", "GREETING")
    session.json("vars", "set", "--shared", "--stage", "dev", "PLACE=here")
    session.both("vars", "list", "--stage", "dev")
    session.json("vars", "pull", "hello", "--stage", "dev")
    session.both("vars", "diff", "hello", "--stage", "dev")
    session.json("vars", "push", "hello", "--stage", "dev", "--prune")
    session.json("vars", "delete", "--shared", "--stage", "dev", "PLACE")
    key = session.json("keys", "create", "of-every-command", "--scope", "invoke")
    session.both("keys", "list")
    session.both("keys", "get", key["id"])
    session.both("keys", "update", key["id"], "--expires", "30d")
    session.json("keys", "revoke", key["id"], "--yes")
    session.both("settings", "callbacks", "get")
    session.json("settings", "callbacks", "rotate")


def secrets(session: Session, desk: Path) -> None:
    for value in ("first-of-many", "second-of-many"):
        assert session.json("secrets", "set", "STRIPE", stdin=value)["name"] == "STRIPE"
    session.both("secrets", "list")
    session.both("secrets", "versions", "STRIPE")
    assert session.json("secrets", "restore", "STRIPE", "1")["version"] == 3
    assert session.json("secrets", "rekey")["unreadable"] == []
    session.json("secrets", "delete", "STRIPE", "--yes")


def own_machine(session: Session, desk: Path) -> None:
    session.json("init", "nightly", "--template", "cron")
    session.both("validate", "nightly")
    session.json("deploy", "nightly")
    session.json("invoke", "nightly")
    session.both("logs", "nightly")
    session.both("test", "nightly")
    with Dev(session.server, desk / "nightly") as dev:
        dev.starts()
        session.both("dev", "fire", "nightly", "nightly")
    session.json("functions", "delete", "nightly", "--yes")
    assert session.json("login", stdin=session.server.key)["key"]["name"] == "admin"
    session.both("whoami")
    session.both("profiles", "get")
    endpoint = session.json("profiles", "list")["profiles"][0]["endpoint"]
    session.both("profiles", "use", endpoint)
    session.both("api", "GET", "/api/v1/system")
    session.json("logout", endpoint)
    # Others use this server and its profile too.
    session.server.cli("login", stdin=session.server.key).ok()


def layers(session: Session, desk: Path) -> None:
    files = {"main.py": "def handler():\n    return 1\n", "requirements.txt": "of-every-command\n"}
    layer = session.json("deploy", write_function(desk, "layered", files))["dependencies"]["layer"]
    session.both("layers", "list")
    session.both("layers", "get", layer)
    session.json("functions", "delete", "layered", "--yes")
    session.json("layers", "delete", layer, "--yes")
    for _ in range(2):
        session.json("layers", "publish", "shared-utils", "lib", "--runtime", "python")
    session.both("layers", "versions", "shared-utils")
    session.both("layers", "get", "shared-utils:1")
    session.both("layers", "list")
    session.json("layers", "delete", "shared-utils:1", "--yes")
    session.both("gc", "--dry-run")
    session.both("gc")


def triggers_events_and_topics(session: Session, desk: Path) -> None:
    session.json("triggers", "create", "hello", "cron", "--schedule", "@daily", "--name", "daily")
    session.json("triggers", "create", "hello", "webhook", "--scheme", "github", "--name", "pushes")
    session.both("triggers", "list", "hello")
    session.both("triggers", "next", "hello", "daily")
    session.json("triggers", "disable", "hello", "daily")
    session.json("triggers", "enable", "hello", "daily")
    session.json("triggers", "test", "hello", "daily")
    session.json("triggers", "rotate", "hello", "pushes")
    delivered = session.json("triggers", "test", "hello", "pushes", "-d", "{}")["run_id"]
    session.server.api.finished(delivered)
    assert [run["id"] for run in session.both("triggers", "deliveries", "hello", "pushes")["items"]] == [delivered]
    session.json("triggers", "redeliver", "hello", "pushes", delivered)
    for name in ("daily", "pushes"):
        session.json("triggers", "delete", "hello", name, "--yes")
    session.json("events", "publish", "@event.json")
    session.json("topics", "send", "of-every-command", "-d", "{}")
    session.both("topics", "list")
    session.both("topics", "get", "of-every-command")
    session.json("topics", "purge", "of-every-command", "--yes")
    session.json("functions", "delete", "hello", "--yes")
