"""What packages do while they are installed stays in the sandbox of the build, and costs what a build may cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server, until, write_function
from harness.index import PythonIndex, installer, sdist, wheel

# Builds a wheel of one module, `NAME.py`, whose `FOUND` is what the code before has put into `found`.
BUILD = """
found = {}


def get_requires_for_build_wheel(config_settings=None):
    return []


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    import os, zipfile
    act()
    info = "NAME-1.0.dist-info"
    files = {
        "NAME.py": f"FOUND = {found!r}\\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: NAME\\nVersion: 1.0\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{info}/RECORD": "",
    }
    file = "NAME-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, file), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return file


def act():
"""
HANDLER = "import NAME\n\n\ndef handler(event, context):\n    return NAME.FOUND\n"


@pytest.fixture(scope="module")
def index() -> Iterator[PythonIndex]:
    """An index that each test adds its package to."""
    with PythonIndex() as index:
        index.add(wheel("greeting", "1.0", {"greeting.py": "FOUND = 'fine'\n"}))
        yield index


LIMITS = {"FAAS_BUILD_TIMEOUT": "20s", "FAAS_BUILD_MEMORY": "384MB", "FAAS_BUILD_DISK": "256MB"}


@pytest.fixture(scope="module")
def house(index: PythonIndex) -> Iterator[Server]:
    """A server whose builds get little."""
    with Server(env={"FAAS_BUILD_INDEXES_PYPI": index.url} | LIMITS | installer("pip")) as server:
        yield server


@pytest.fixture(scope="module")
def swift_house(index: PythonIndex) -> Iterator[Server]:
    """The same with uv."""
    with Server(env={"FAAS_BUILD_INDEXES_PYPI": index.url} | LIMITS | installer("uv")) as server:
        yield server


@pytest.fixture(params=["house", "swift_house"])
def either(request: pytest.FixtureRequest) -> Server:
    """Each of them."""
    server: Server = request.getfixturevalue(request.param)
    return server


def bring(folder: Path, index: PythonIndex, name: str, act: str) -> Path:
    """A function that asks for a source distribution which runs this code while it is installed."""
    body = "".join(f"    {line}\n" for line in act.strip("\n").splitlines())
    index.add(sdist(name, "1.0", BUILD.replace("NAME", name) + body))
    files = {"main.py": HANDLER.replace("NAME", name), "requirements.txt": f"{name}==1.0\n"}
    return write_function(folder, name, files)


def refused(house: Server, folder: Path) -> str:
    """What a failed deployment says. The server must be as well as before."""
    said = house.cli("deploy", folder, timeout=120).exits(5).stderr
    still_well(house)
    return said


def still_well(house: Server) -> None:
    """Nothing of the build is left, and the next one works."""
    layers = [path.name for path in (house.data / "layers").iterdir()]
    assert not [name for name in layers if name.startswith(".draft-")]

    def no_build_left() -> bool:
        return not [line for line in house.footprint.alive() if "/opt/faas/builder" in line or "/opt/installer" in line]

    until(no_build_left, "every process of the build is gone", within=10)
    assert house.http.get("/readyz").status == 200


def test_a_build_sees_and_reaches_nothing(either: Server, index: PythonIndex, tmp_path: Path) -> None:
    secret = tmp_path / "of-the-host"
    secret.write_text("canary")
    spying = f"""
import ctypes, os, socket, urllib.request

def attempt(name, work):
    try:
        found[name] = repr(work())[:300]
    except BaseException as error:
        found[name] = "failed: " + type(error).__name__

def through_the_proxy(url):
    return urllib.request.urlopen(url, timeout=5).status

attempt("file", lambda: open({str(secret)!r}).read())
attempt("passwd", lambda: open("/etc/passwd").read())
attempt("shadow", lambda: open("/etc/shadow").read())
attempt("data", lambda: os.listdir({str(either.data)!r}))
attempt("processes", lambda: sorted(n for n in os.listdir("/proc") if n.isdigit()))
attempt("parents", lambda: open("/proc/1/environ").read())
attempt("metadata", lambda: socket.create_connection(("169.254.169.254", 80), 2))
attempt("outside", lambda: socket.create_connection(("1.1.1.1", 53), 2))
attempt("server", lambda: socket.create_connection(("127.0.0.1", {either.port}), 2))
attempt("server_by_proxy", lambda: through_the_proxy("http://127.0.0.1:{either.port}/livez"))
attempt("metadata_by_proxy", lambda: through_the_proxy("http://169.254.169.254/latest/"))
attempt("name_by_proxy", lambda: through_the_proxy("http://localhost:{index.port}/simple/"))
attempt("index_by_proxy", lambda: through_the_proxy("http://127.0.0.1:{index.port}/simple/greeting/"))
attempt("write_root", lambda: open("/opt/python/evil.py", "w"))
attempt("write_program", lambda: open("/opt/faas/builder/main.py", "a"))
attempt("write_installer", lambda: open("/opt/installer/pip/evil.py", "w"))
attempt("become_root", lambda: os.setuid(0))
attempt("mount", lambda: ctypes.CDLL(None).mount(b"none", b"/tmp", b"tmpfs", 0, None))
attempt("unshare", lambda: ctypes.CDLL(None).unshare(0x10000000))
attempt("channel", lambda: open(f"/proc/{{os.getppid()}}/fd/3", "rb"))
found["user"] = os.getuid()
found["environment"] = sorted(os.environ)
"""
    either.deploy(bring(tmp_path, index, "spy", spying))
    found = either.api.invoke("spy").expect(200).json()
    for name in [
        "file",
        "shadow",
        "data",
        "metadata",
        "outside",
        "server",
        "server_by_proxy",
        "metadata_by_proxy",
        "name_by_proxy",
        "write_root",
        "write_program",
        "write_installer",
        "become_root",
        "channel",
    ]:
        assert found[name].startswith("failed: "), (name, found[name])
    assert found["mount"] == found["unshare"] == "-1"
    assert found["index_by_proxy"] == "200", "the one way out"
    assert "faas:x:1000" in found["passwd"] and found["user"] != 0
    assert len(json.loads(found["processes"].replace("'", '"'))) < 12
    assert "TEST_SERVER_MARK" not in found["parents"] and "TEST_SERVER_MARK" not in found["environment"]


def test_a_build_that_never_ends_is_ended(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    said = refused(house, bring(tmp_path, index, "sleeper", "import time\ntime.sleep(600)"))
    assert "longer than 20 s (build.timeout)" in said


def test_memory_is_bounded(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    said = refused(
        house, bring(tmp_path, index, "glutton", "hoard = []\nwhile True:\n    hoard.append(bytearray(1 << 24))")
    )
    assert "all of its 384MB of memory (build.memory)" in said


def test_the_disk_is_bounded(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    fill = 'with open("/tmp/flood", "wb") as file:\n    while True:\n        file.write(bytes(1 << 20))'
    said = refused(house, bring(tmp_path, index, "flood", fill))
    assert "No space left on device" in said


def test_processes_are_bounded(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    bomb = """
import os, time
children = 0
while children < 20_000:
    try:
        if os.fork() == 0:
            time.sleep(600)
    except OSError as error:
        found["error"] = type(error).__name__
        break
    children += 1
found["children"] = children
"""
    # Those that sleep hold what they were given; the build goes on, and they end with it.
    house.cli("deploy", bring(tmp_path, index, "bomb", bomb), timeout=120)
    still_well(house)


def test_a_package_may_end_its_build_and_nothing_else(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    slay = """
import os, signal
for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
    if pid != os.getpid():
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
"""
    said = refused(house, bring(tmp_path, index, "slayer", slay))
    assert "could not be installed" in said


@pytest.mark.parametrize(
    ("name", "act", "why"),
    [
        ("control", "open(tree + 'a\\nb.py', 'w')", "control character"),
        ("deep", "os.makedirs(tree + 'd/' * 40, exist_ok=True)\nopen(tree + 'd/' * 40 + 'x', 'w')", "nested deeper"),
        ("bytes", "open(os.fsencode(tree) + b'\\xff.py', 'w')", "broke its protocol"),
        ("large", "os.truncate(os.open(tree + 'big', os.O_CREAT | os.O_RDWR), 200 << 20)", "more than 128MB"),
        ("many", "[open(tree + f'{n}.txt', 'w').close() for n in range(20_001)]", "more than 20000 files"),
    ],
)
def test_a_tree_that_breaks_a_rule_is_refused(
    either: Server, index: PythonIndex, tmp_path: Path, name: str, act: str, why: str
) -> None:
    said = either.cli(
        "deploy", bring(tmp_path, index, name, f"import os\ntree = '/tmp/build/tree/'\n{act}"), timeout=120
    )
    assert said.code in (5, 7) and why in said.stderr, said.stderr
    still_well(either)


def test_links_and_devices_are_left_out(either: Server, index: PythonIndex, tmp_path: Path) -> None:
    act = """
import os
tree = "/tmp/build/tree/"
# A wheel may be built more than once.
if not os.path.lexists(tree + "pipe"):
    os.symlink("/etc/passwd", tree + "passwd.txt")
    os.symlink("/", tree + "root")
    os.mkfifo(tree + "pipe")
"""
    deployed = either.deploy(bring(tmp_path, index, "links", act))
    layer = either.cli("layers", "get", deployed["dependencies"]["layer"], "-o", "json").ok().json()
    assert any("left out 3 symbolic links" in line for line in layer["log"]), layer["log"]
    for folder in (either.data / "layers").iterdir():
        assert not (folder / "passwd.txt").is_symlink() and not (folder / "pipe").exists()


def test_a_wheel_cannot_leave_its_tree(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    index.add(wheel("climber", "1.0", {"../../../../tmp/build/outside.py": "x = 1\n", "climber.py": "FOUND = 1\n"}))
    files = {"main.py": HANDLER.replace("NAME", "climber"), "requirements.txt": "climber==1.0\n"}
    assert "could not be installed" in refused(house, write_function(tmp_path, "climber", files))


def test_what_a_wheel_has_outside_of_its_tree_is_in_no_layer(
    swift_house: Server, index: PythonIndex, tmp_path: Path
) -> None:
    index.add(
        wheel("sneaker", "1.0", {"../../../../tmp/build/tree/outside.py": "x = 1\n", "sneaker.py": "FOUND = 1\n"})
    )
    files = {"main.py": HANDLER.replace("NAME", "sneaker"), "requirements.txt": "sneaker==1.0\n"}
    swift_house.cli("deploy", write_function(tmp_path, "sneaker", files), timeout=120)
    still_well(swift_house)
    assert not list((swift_house.data / "layers").rglob("outside.py"))
