//! That real runtimes work behind the filter.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use faas_ports::{LayerMount, SandboxSpec};

use crate::Check;
use crate::lab::{Lab, make_directory, make_skeleton};

pub(crate) const CHECKS: &[(&str, Check)] = &[("python", python), ("node", node)];

const PYTHON: &str = r#"
import asyncio, concurrent.futures, json, multiprocessing, os, socket, sqlite3, ssl, subprocess, tempfile, threading, time
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert sum(pool.map(lambda n: n * n, range(10))) == 285
assert subprocess.run(["/usr/bin/env", "printf", "x"], capture_output=True).stdout == b"x"
async def wait():
    await asyncio.sleep(0.001)
    return 1
assert asyncio.run(wait()) == 1
with tempfile.NamedTemporaryFile() as file:
    file.write(b"x")
assert sqlite3.connect(":memory:").execute("select 1").fetchone() == (1,)
queue = multiprocessing.get_context("fork").SimpleQueue()
child = multiprocessing.get_context("fork").Process(target=queue.put, args=(5,))
child.start()
assert queue.get() == 5
child.join()
try:
    socket.getaddrinfo("example.com", 80)
    raise SystemExit("resolved")
except OSError:
    pass
ssl.create_default_context()
print(os.cpu_count() > 0, os.getuid(), os.getpid(), time.time() > 0)
"#;

const NODE: &str = r#"
const { Worker } = require("worker_threads");
const { execFileSync } = require("child_process");
const fs = require("fs");
let sum = 0;
for (let i = 0; i < 3e6; i++) sum = (sum + i * i) % 1000003;
fs.writeFileSync("/tmp/x", "x");
if (execFileSync("/usr/bin/env", ["printf", "x"]).toString() !== "x") throw new Error("child");
new Worker("require('worker_threads').parentPort.postMessage(7)", { eval: true }).on("message", (message) => {
  require("dns").lookup("example.com", (error) => {
    if (!error) throw new Error("resolved");
    console.log(message, process.getuid(), require("os").cpus().length > 0, typeof WebAssembly);
  });
});
"#;

/// The host's `/usr` as a layer.
fn host_spec(lab: &Lab, argv: &[&str]) -> Result<SandboxSpec> {
    let root = lab.home.path().join("host");
    if !root.exists() {
        make_skeleton(&root)?;
        make_directory(&root.join("usr"))?;
        for name in ["bin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), root.join(name))?;
        }
    }
    let mut spec = lab.spec(&[]);
    spec.root = root;
    spec.mounts = vec![LayerMount { source: PathBuf::from("/usr"), target: PathBuf::from("/usr") }];
    spec.argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
    spec.limits.memory_bytes = 256 << 20;
    spec.limits.pids = 64;
    spec.limits.open_files = 1024;
    Ok(spec)
}

fn check(lab: &Lab, argv: &[&str], expected: &str) -> Result<()> {
    if !Path::new(argv[0]).exists() {
        println!("    not checked: there is no {}", argv[0]);
        return Ok(());
    }
    let outcome = lab.run_spec(host_spec(lab, argv)?)?;
    ensure!(outcome.stdout == expected, "{:?} {} {}", outcome.exit, outcome.stdout, outcome.stderr);
    Ok(())
}

fn python(lab: &Lab) -> Result<()> {
    check(lab, &["/usr/bin/python3", "-I", "-c", PYTHON], "True 1000 2 True\n")
}

fn node(lab: &Lab) -> Result<()> {
    check(lab, &["/usr/bin/node", "-e", NODE], "7 1000 true object\n")
}
