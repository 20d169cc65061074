"""Functions for Deno: TypeScript as it is, in the same sandbox and under the same limits as all others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server, write_function
from harness.paths import DENO

pytestmark = pytest.mark.needs("deno")

TYPED = """
enum Size { Small = 1, Large = 10 }

export default {
  async fetch(request: Request): Promise<Response> {
    const { size }: { size: keyof typeof Size } = await request.json();
    return Response.json({ size: Size[size], by: Deno.version.deno, pid: Deno.pid });
  },
};
"""
GROWS = """
const kept: number[][] = [];
export function handler(event: { grow?: boolean }) {
  while (event.grow) kept.push(new Array(1000).fill(kept.length));
  return { kept: kept.length };
}
"""
REACHES = """
export async function handler() {
  const found: Record<string, string> = {};
  try {
    await fetch("http://192.0.2.1/");
    found.network = "reached";
  } catch (error) {
    found.network = String(error);
  }
  for (const path of ["/etc/shadow", "/root", "/proc/1/environ"]) {
    try {
      const entry = Deno.statSync(path).isDirectory ? [...Deno.readDirSync(path)] : Deno.readFileSync(path).length;
      found[path] = JSON.stringify(entry);
    } catch (error) {
      found[path] = (error as Error).name;
    }
  }
  found.written = await Deno.writeTextFile("/function/x", "x").then(() => "written", (error) => error.name);
  return found;
}
"""


@pytest.fixture(scope="module")
def deno() -> Iterator[Server]:
    """A server that offers it."""
    with Server(env={"FAAS_INTERPRETERS": str(DENO)}) as server:
        yield server


def deploy(server: Server, parent: Path, name: str, code: str, **settings: object) -> None:
    server.deploy(write_function(parent, name, {"main.ts": code}, runtime="deno", auth="public", **settings))


def test_typescript_is_served_as_it_is(deno: Server, tmp_path: Path) -> None:
    deploy(deno, tmp_path, "typed", TYPED)
    first, second = (deno.http.request("POST", "/fn/typed", json_body={"size": "Large"}).json() for _ in range(2))
    assert first["size"] == 10 and first["by"].startswith("2.")
    assert second["pid"] == first["pid"], "the second call found the instance of the first"


def test_a_single_file_is_a_function_of_deno(deno: Server, tmp_path: Path) -> None:
    (tmp_path / "alone.ts").write_text(TYPED, "utf-8")
    deno.cli("deploy", tmp_path / "alone.ts").ok()
    assert json.loads(deno.cli("invoke", "alone", "-d", '{"size": "Small"}').ok().stdout)["size"] == 1


@pytest.mark.parametrize("template", ["http", "webhook", "cron", "worker"])
def test_what_init_writes_is_deployed(deno: Server, tmp_path: Path, template: str) -> None:
    name = f"from-{template}"
    deno.cli("init", name, "--runtime", "deno", "--template", template, cwd=tmp_path).ok()
    assert (tmp_path / name / "main.ts").is_file()
    deno.cli("validate", tmp_path / name).ok()
    deno.cli("deploy", tmp_path / name).ok()
    if template == "http":
        answer = deno.cli("invoke", name, "-d", '{"name": "Ada"}').ok().stdout
        assert json.loads(answer) == {"message": "hello, Ada"}


@pytest.mark.needs("cgroups")
def test_a_heap_at_its_limit_ends_the_instance_and_says_so(deno: Server, tmp_path: Path) -> None:
    deploy(deno, tmp_path, "grows", GROWS, memory="128MB")
    assert deno.http.request("POST", "/fn/grows", json_body={}).json() == {"kept": 0}
    broken = deno.http.request("POST", "/fn/grows", json_body={"grow": True})
    assert (broken.status, broken.json()["code"]) == (502, "FN_003"), broken.body
    assert deno.http.request("POST", "/fn/grows", json_body={}).json() == {"kept": 0}


def test_all_that_deno_allows_the_sandbox_does_not(deno: Server, tmp_path: Path) -> None:
    deploy(deno, tmp_path, "reaches", REACHES)
    found = deno.http.request("POST", "/fn/reaches", json_body={}).json()
    assert "reached" not in found["network"]
    assert found["written"] in ("NotCapable", "PermissionDenied", "ReadOnlyFilesystem", "Error", "FilesystemLoop"), (
        found
    )
    assert found["/etc/shadow"] == found["/root"] == "NotFound", found


def test_a_file_that_does_not_parse_is_refused_with_its_place(deno: Server, tmp_path: Path) -> None:
    folder = write_function(
        tmp_path, "broken", {"main.ts": "export const handler = (x: number) => ;\n"}, runtime="deno"
    )
    refused = deno.cli("deploy", folder)
    assert refused.code != 0 and "main.ts" in refused.stderr and "Expression expected" in refused.stderr, refused.stderr


def test_packages_that_are_not_installed_are_told(deno: Server, tmp_path: Path) -> None:
    files = {
        "main.ts": "export const handler = () => ({ hello: 1 });\n",
        "deno.json": json.dumps({"imports": {"@std/path": "jsr:@std/path@1"}}),
    }
    deployed = deno.deploy(write_function(tmp_path, "asks", files, runtime="deno"))
    note = deployed["dependencies"]["note"]
    assert note.startswith("the packages of deno.json are not installed") and "deno bundle main.ts" in note, note
    files["deno.json"] = json.dumps({"imports": {"own/": "./own/"}})
    assert deno.deploy(write_function(tmp_path, "asks", files, runtime="deno"))["dependencies"] is None
