"""Starts that must fail clearly, and the disk that runs full."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from harness import Server, until, write_function

from product.functions import ADD


def start_fails(server: Server, *words: str) -> str:
    """The server exits by itself with a failure that says these words, without a backtrace."""
    server.spawn()
    code = until(lambda: server.pid_status(), "it gives up by itself", within=30)
    said = server.log()
    assert code not in (0, -6, -11, 101), f"exit code {code}\n{said}"
    for word in words:
        assert word in said, f"`{word}` is not in:\n{said}"
    assert "panicked" not in said
    assert server.footprint.leftovers() == []
    return said


def test_the_port_is_in_use() -> None:
    server = Server()
    with socket.create_server(("127.0.0.1", server.port)):
        try:
            start_fails(server, str(server.port), "--listen")
        finally:
            server.close()


def test_the_data_directory_is_in_use() -> None:
    with Server() as first:
        second = Server(data=first.data)
        try:
            start_fails(second, str(first.data), str(first.pid), "--data")
        finally:
            second.close()
        assert first.is_ready()


@pytest.mark.parametrize("format_text", ["999\n", "1\n", "", "one\n"])
def test_a_data_directory_of_another_format(format_text: str) -> None:
    with Server() as server:
        server.stop()
        before = (server.data / "format").read_text(encoding="ascii")
        (server.data / "format").write_text(format_text, encoding="ascii")
        server.log_path.unlink()
        start_fails(server, str(server.data))
        (server.data / "format").write_text(before, encoding="ascii")
        server.start()


def test_a_directory_that_is_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work", encoding="ascii")
    server = Server(data=tmp_path)
    try:
        start_fails(server, str(tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    finally:
        server.close()


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:99999", "127.0.0.1", "300.1.1.1:80"])
def test_an_address_that_is_none(listen: str) -> None:
    server = Server()
    try:
        result = server.cli_with()("up", "--listen", listen, "--data", server.data, timeout=30)
        assert result.code != 0
        assert "--listen" in result.stderr
    finally:
        server.close()


def test_it_listens_on_loopback_only_unless_told() -> None:
    with Server() as server:
        listening = subprocess.run(["cat", "/proc/net/tcp"], capture_output=True, text=True, check=True).stdout
        rows = [line.split()[1] for line in listening.splitlines()[1:] if line.split()[3] == "0A"]
        ours = [row for row in rows if row.endswith(f":{server.port:04X}")]
        assert ours == [f"0100007F:{server.port:04X}"]


@pytest.mark.needs("root")
def test_a_deployment_on_a_full_disk(tmp_path: Path) -> None:
    """It is refused with FN_018; what is deployed serves on; room made again is used again, without a restart."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500m,mode=0755", "tmpfs", str(disk)], check=True)
    try:
        with Server(data=disk / "data") as server:
            server.deploy(write_function(tmp_path, "kept", ADD))
            filler = disk / "filler"
            _fill(filler)
            refused = server.cli("deploy", write_function(tmp_path, "late", ADD)).exits(7)
            assert "FN_018" in refused.stderr
            assert server.api.invoke("kept", {"x": 1, "y": 2}).expect(200).json() == {"result": 3}
            server.cli("fn", "list").ok()
            assert server.api.call("late", {}).status == 404
            filler.unlink()
            until(
                lambda: server.cli("deploy", tmp_path / "late").code == 0, "deploying works again", within=30, every=0.5
            )
            assert server.api.invoke("late", {"x": 1, "y": 2}).expect(200).json() == {"result": 3}
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.needs("root")
def test_a_start_on_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "tmpfs", str(disk)], check=True)
    try:
        _fill(disk / "filler")
        server = Server(data=disk / "data")
        try:
            start_fails(server)
        finally:
            server.close()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb") as file:
        try:
            while True:
                os.write(file.fileno(), bytes(1 << 20))
        except OSError as error:
            assert error.errno == 28
        try:
            while True:
                os.write(file.fileno(), bytes(512))
        except OSError as error:
            assert error.errno == 28


def test_a_variable_with_a_typo_does_not_go_without_a_word() -> None:
    with Server(env={"FAAS_DATA_DIR": "/nowhere"}) as server:
        assert 'was FAAS_DATA meant? name="FAAS_DATA_DIR"' in server.log()
