"""State of a private server that comes with somebody's files."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness import until, write_function

from product.developer import Dev, Developer

CODE = "def handler():\n    return 1\n"


def test_a_servers_state_that_came_with_the_files_is_refused(tmp_path: Path) -> None:
    stranger, developer = Developer(tmp_path / "stranger"), Developer(tmp_path / "developer")
    for one in (stranger, developer):
        one.home.mkdir()
    folder = write_function(stranger.home, "theirs", CODE)
    with Dev(stranger, folder) as dev:
        assert dev.answer() == {"result": 1}
    key = (folder / ".faas/dev/data/admin.key").read_text("utf-8")
    # With its mark, and whole: a clone, or an archive that was unpacked.
    clone = developer.home / "theirs"
    shutil.copytree(folder, clone)
    (clone / ".faas/test").mkdir()
    shutil.copytree(folder / ".faas/dev/data", clone / ".faas/test/data")
    for words in (["dev", clone], ["invoke", "--local", clone]):
        said = developer.cli(*words).exits(1).stderr
        assert "was not made by a server of yours here; it may have come with the files" in said, said
        assert "remove it and begin anew" in said
    shutil.rmtree(clone / ".faas")
    with Dev(developer, clone) as dev:
        assert dev.answer() == {"result": 1}
        assert (clone / ".faas/dev/data/admin.key").read_text("utf-8") != key
    # It is the developer's now, also where it is moved to; and so is what is named by hand.
    moved = developer.home / "moved"
    clone.rename(moved)
    with Dev(developer, moved) as dev:
        assert dev.answer() == {"result": 1}
    shutil.copytree(folder / ".faas/dev/data", developer.home / "taken")
    with Dev(developer, moved, data=developer.home / "taken") as dev:
        assert dev.answer() == {"result": 1}


def test_state_stays_ones_own_where_the_home_is_new_each_time(tmp_path: Path) -> None:
    """As in a container, with a directory for state that outlives it."""
    folder = write_function(tmp_path, "mine", CODE)
    lasting = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for number in range(2):
        developer = Developer(tmp_path / f"home-{number}", **lasting)
        developer.home.mkdir()
        with Dev(developer, folder) as dev:
            assert dev.answer() == {"result": 1}
    stranger = Developer(tmp_path / "home-3", XDG_CACHE_HOME=lasting["XDG_CACHE_HOME"])
    stranger.home.mkdir()
    assert "XDG_STATE_HOME" in stranger.cli("dev", folder).exits(1).stderr


def test_a_function_without_requests_has_no_url(tmp_path: Path) -> None:
    developer = Developer(tmp_path)
    folder = write_function(tmp_path, "nightly", CODE)
    manifest = folder / "faas.toml"
    manifest.write_text(
        manifest.read_text("utf-8") + '\n[[triggers]]\ntype = "cron"\nschedule = "0 3 * * *"\n', "utf-8"
    )
    with Dev(developer, folder) as dev:
        until(lambda: dev.events, "it is deployed", within=120)
        assert dev.starts()["http"] is False
