"""`faas dev`: the next request gets the edit, and whatever is wrong is told while the version before serves on."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Client, free_port, until, write_function

from product.developer import Dev, Developer


def code(value: object) -> str:
    return f"import os\n\n\ndef handler():\n    print('said', {value!r})\n    return {value!r}\n"


@pytest.fixture(scope="module")
def developer(tmp_path_factory: pytest.TempPathFactory) -> Developer:
    return Developer(tmp_path_factory.mktemp("developer"))


@pytest.fixture(scope="module")
def shared(developer: Developer) -> Iterator[Dev]:
    with Dev(developer, write_function(developer.home, "edited", code("first"))) as dev:
        dev.starts()
        yield dev


@pytest.fixture
def dev(shared: Dev) -> Dev:
    """A running one, with its code as it was at first."""
    (shared.folder / "faas.toml").write_text('name = "edited"\nruntime = "python"\n', encoding="utf-8")
    (shared.folder / "main.py").write_text(code("first"), encoding="utf-8")
    until(lambda: shared.answer() == {"result": "first"}, "the first version serves")
    shared.events[:] = [event for event in shared.events if event["event"] == "deployed"]
    return shared


def test_the_next_request_answers_the_new_code(dev: Dev) -> None:
    took = []
    for edit in range(30):
        (dev.folder / "main.py").write_text(code(f"edit {edit}"), encoding="utf-8")
        began = time.perf_counter()
        while dev.answer() != {"result": f"edit {edit}"}:
            assert time.perf_counter() - began < 30
        took.append((time.perf_counter() - began) * 1_000)
        time.sleep(0.05)
    print(f"edit to new answer: p50 {statistics.median(took):.0f} ms, slowest {max(took):.0f} ms")
    # The promise is 150 ms on a machine that does nothing else; builds beside the tests must not fail them.
    assert statistics.median(took) < 1_000


def test_a_request_after_a_noticed_change_waits_for_it(dev: Dev) -> None:
    slow = code("slow").replace("import os", "import time\ntime.sleep(1.5)")
    (dev.folder / "main.py").write_text(slow, encoding="utf-8")
    time.sleep(0.3)
    assert dev.answer() == {"result": "slow"}


def test_a_syntax_error_is_told_with_its_place(dev: Dev) -> None:
    (dev.folder / "main.py").write_text("def handler(:\n    return 1\n", encoding="utf-8")
    failed = dev.has_said("failed")
    assert failed["message"].startswith("main.py:1:13: SyntaxError"), failed
    assert dev.answer() == {"result": "first"}
    (dev.folder / "main.py").write_text(code("mended"), encoding="utf-8")
    until(lambda: dev.answer() == {"result": "mended"}, "the mended code serves")


def test_an_error_at_import_is_told(dev: Dev) -> None:
    (dev.folder / "main.py").write_text(code("x") + "\nraise RuntimeError('no luck')\n", encoding="utf-8")
    failed = dev.has_said("failed")
    assert "no luck" in failed["message"] and any("main.py:8" in line for line in failed["details"]), failed
    assert dev.answer() == {"result": "first"}


def test_a_bad_manifest_is_told_with_its_place(dev: Dev) -> None:
    (dev.folder / "faas.toml").write_text('name = "edited"\ntiemout = 3\n', encoding="utf-8")
    failed = dev.has_said("failed")
    assert failed["message"].startswith("faas.toml:2:1: unknown key `tiemout`"), failed
    assert dev.answer() == {"result": "first"}
    (dev.folder / "faas.toml").write_text('name = "edited"\nruntime = "python"\n', encoding="utf-8")
    dev.has_said("mended")


def test_deleted_files_leave_the_old_version(dev: Dev) -> None:
    (dev.folder / "main.py").unlink()
    assert "main.py" in dev.has_said("failed")["message"]
    (dev.folder / "faas.toml").unlink()
    dev.has_said("failed", lambda event: "no faas.toml" in event["message"])
    assert dev.answer() == {"result": "first"}


def test_editors_that_write_beside_and_rename(dev: Dev) -> None:
    (dev.folder / ".main.py.swp").write_bytes(os.urandom(64))
    beside = dev.folder / "main.py.new~"
    beside.write_text(code("renamed"), encoding="utf-8")
    beside.rename(dev.folder / "main.py")
    assert until(lambda: dev.answer() == {"result": "renamed"}, "the renamed file serves")
    (dev.folder / ".main.py.swp").unlink()


def test_new_directories_are_watched(dev: Dev) -> None:
    package = dev.folder / "deep/er"
    package.mkdir(parents=True)
    (package / "part.py").write_text("WORD = 'one'\n", encoding="utf-8")
    (dev.folder / "main.py").write_text(
        "from deep.er.part import WORD\n\n\ndef handler():\n    return WORD\n", encoding="utf-8"
    )
    until(lambda: dev.answer() == {"result": "one"}, "the package is there")
    (package / "part.py").write_text("WORD = 'two'\n", encoding="utf-8")
    until(lambda: dev.answer() == {"result": "two"}, "the change below is noticed")


def test_what_stays_at_home_is_not_noticed(dev: Dev) -> None:
    (dev.folder / ".faasignore").write_text("*.csv\n", encoding="utf-8")
    (dev.folder / "data.csv").write_text("1\n", encoding="utf-8")
    (dev.folder / "__pycache__").mkdir(exist_ok=True)
    (dev.folder / "__pycache__/x.pyc").write_bytes(b"x")
    before = dev.answer()
    time.sleep(0.5)
    assert dev.answer() == before == {"result": "first"}
    assert not [event for event in dev.events if event["event"] == "failed"]


def test_calls_and_log_lines_are_told(dev: Dev) -> None:
    dev.answer("/")
    call = dev.has_said("call", lambda event: event["path"] == "/fn/edited/")
    assert (call["method"], call["status"]) == ("GET", 200) and call["run_id"].startswith("run_")
    log = dev.has_said("log", lambda event: event["message"] == "said first" and event["run_id"] == call["run_id"])
    assert log["level"] == "info"


def test_the_command_line_needs_no_key_for_it(dev: Dev, developer: Developer) -> None:
    endpoint = dev.starts()["url"].removesuffix("/fn/edited")
    assert developer.cli("invoke", "edited", "--endpoint", endpoint).ok().json() == {"result": "first"}
    assert "endpoint =" not in developer.profile, "the default is nobody's"


def test_two_cannot_share_a_directory(dev: Dev, developer: Developer) -> None:
    refused = developer.cli("dev", dev.folder).exits(1)
    assert "another" in refused.stderr or "lock" in refused.stderr, refused.stderr


def test_vars_triggers_and_the_end(developer: Developer) -> None:
    body = "import os\n\n\ndef handler(event, context):\n    return {'var': os.environ.get('LOCAL'), 'got': event}\n"
    folder = write_function(developer.home, "fired", body)
    trigger = '[[triggers]]\ntype = "cron"\nname = "nightly"\nschedule = "0 3 * * *"\ninput = \'{"a": 1}\'\n'
    with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.write(trigger)
    (folder / ".env").write_text("LOCAL=from .env\n", encoding="utf-8")
    with Dev(developer, folder, "--private") as dev:
        endpoint = dev.starts()["url"].removesuffix("/fn/fired")
        assert dev.http.get("/fn/fired").status == 401, "private, as its manifest says"
        told = developer.cli("invoke", "fired", "--endpoint", endpoint).ok().json()
        assert told == {"var": "from .env", "got": {}}
        run = developer.cli("dev", "fire", "nightly", folder, "-o", "json").ok().json()["run_id"]
        ended = developer.cli("runs", "watch", run, "--endpoint", endpoint, "-o", "json").ok().json()
        assert ended["result"] == {"var": "from .env", "got": {"a": 1}}
        (folder / ".env").write_text("LOCAL=changed\n", encoding="utf-8")
        dev.has_said("deployed", lambda event: event["version"] == 2)
        (folder / ".env").write_text("not a var\n", encoding="utf-8")
        assert ".env:1:" in dev.has_said("failed")["message"]
        unknown = developer.cli("dev", "fire", "hourly", folder).exits(4)
        assert "it has nightly" in unknown.stderr
        assert endpoint in developer.profile
        dev.footprint.look(dev.process.pid)
        dev.process.send_signal(signal.SIGINT)
        assert dev.process.wait(20) == 0
        assert not dev.footprint.alive()
    assert endpoint not in developer.profile
    assert (folder / ".faas/dev/.gitignore").read_text(encoding="utf-8") == "*\n"


def test_a_single_file(developer: Developer, tmp_path: Path) -> None:
    file = tmp_path / "greet.py"
    file.write_text("def handler():\n    return 1\n", encoding="utf-8")
    data = str(developer.home / "fired/.faas/dev/data")
    with Dev(developer, file, "--data", data) as dev:
        assert dev.answer() == {"result": 1}
        (tmp_path / "other.py").write_text("(", encoding="utf-8")
        file.write_text("def handler():\n    return 2\n", encoding="utf-8")
        until(lambda: dev.answer() == {"result": 2}, "the change is noticed")


def test_a_directory_stands_for_a_layer(developer: Developer) -> None:
    code = "from greetings import GREETING\n\n\ndef handler():\n    return GREETING + {!r}\n"
    folder = write_function(developer.home, "layered", code.format(" 1"), layers=["shared:3"])
    shared = developer.home / "shared"
    shared.mkdir()
    (shared / "greetings.py").write_text('GREETING = "hello"\n', "utf-8")
    with Dev(developer, folder) as dev:
        said = dev.has_said("failed", within=60)
        assert "shared:3 is not here" in said["message"]
        assert said["hint"].endswith("--layer shared=DIR")
    with Dev(developer, folder, f"--layer=shared={shared}") as dev:
        assert dev.answer() == {"result": "hello 1"}
        (shared / "greetings.py").write_text('GREETING = "hi"\n', "utf-8")
        (folder / "main.py").write_text(code.format(" 2"), "utf-8")
        until(lambda: dev.answer() == {"result": "hi 2"}, "both edits are there")
    with Dev(developer, folder, f"--layer=other={shared}") as dev:
        assert "names no layer other" in dev.has_said("failed", within=60)["message"]
    assert "is no directory" in developer.cli("dev", folder, "--layer=shared=/nowhere").exits(2).stderr


def test_it_is_open_to_this_machine_alone(dev: Dev) -> None:
    port = int(dev.starts()["url"].split(":")[2].split("/")[0])
    for host, status in {"localhost": 200, f"127.0.0.1:{port}": 200, "rebound.example": 403}.items():
        asked = dev.http.get("/fn/edited", headers={"Host": host})
        assert asked.status == status, (host, asked.body)
    assert b'auth = "public"' in asked.body


def test_a_private_one_prints_how_to_call_it(developer: Developer, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "closed", code("closed"))
    with Dev(developer, folder, "--private") as dev:
        assert dev.http.get("/fn/closed").status == 401
    said = dev.process.stderr.read() if dev.process.stderr else ""
    line = next(line for line in said.splitlines() if line.startswith("  curl -H "))
    assert str(folder / ".faas/dev/data/admin.key") in line


def test_what_does_not_load_at_first_answers_with_its_place(developer: Developer, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "broken", "def handler(:\n    return 1\n")
    port = free_port()
    with Dev(developer, folder, "--port", str(port)) as dev:
        dev.has_said("failed", within=120)
        client = Client(port)
        asked = client.get("/fn/broken").expect(503)
        text = asked.body.decode()
        assert "main.py:1:13: SyntaxError" in text and "\n        " in text and "^" in text, text
        assert asked.headers["content-type"] == "text/plain; charset=utf-8"
        problem = client.get("/fn/broken", headers={"Accept": "application/json"}).expect(503).json()
        assert problem["detail"].startswith("main.py:1:13: SyntaxError") and problem["status"] == 503
        (folder / "main.py").write_text(code("fixed"), encoding="utf-8")
        until(lambda: client.get("/fn/broken").status == 200, "the fixed code serves")
    taken = developer.cli("dev", folder, "--port", "x").exits(2)
    assert "invalid value 'x' for '--port" in taken.stderr


def test_a_port_in_use_names_the_option_that_there_is(developer: Developer, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "late", code("late"))
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        said = developer.cli("dev", folder, "-p", str(port)).exits(1).stderr
        assert f"127.0.0.1:{port}; choose another port with --port" in said and "--listen" not in said
        said = developer.cli("up", "--listen", f"127.0.0.1:{port}", "--data", tmp_path / "d").exits(1).stderr
        assert "another address with --listen" in said
    said = developer.cli("up", "--listen", "8081").exits(2).stderr
    assert "did you mean 127.0.0.1:8081?" in said
