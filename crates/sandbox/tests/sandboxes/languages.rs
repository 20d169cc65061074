//! That real runtimes work behind the filter.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use faas_ports::{LayerMount, SandboxSpec};

use crate::Check;
use crate::lab::{Lab, make_directory, make_skeleton};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("python", python),
    ("pythons_of_pyenv", pythons_of_pyenv),
    ("node", node),
    ("further_runtimes", further_runtimes),
];

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
        make_directory(&root.join("runtime"))?;
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

/// Every Python that pyenv has here, each as a layer of its own.
fn pythons_of_pyenv(lab: &Lab) -> Result<()> {
    let home = std::env::var("HOME").unwrap_or_default();
    for version in ["3.10", "3.11", "3.12", "3.13"] {
        let versions = std::fs::read_dir(Path::new(&home).join(".pyenv/versions")).into_iter().flatten().flatten();
        let found = versions.map(|entry| entry.path()).find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{version}.")))
        });
        let Some(source) = found else {
            println!("    not checked: there is no Python {version}");
            continue;
        };
        let mut spec = host_spec(lab, &["/runtime/bin/python3", "-I", "-c", PYTHON])?;
        spec.mounts.push(LayerMount { source, target: PathBuf::from("/runtime") });
        spec.env = vec![("LD_LIBRARY_PATH".to_owned(), "/runtime/lib".to_owned())];
        let outcome = lab.run_spec(spec)?;
        ensure!(outcome.stdout == "True 1000 2 True\n", "{version}: {:?} {}", outcome.exit, outcome.stderr);
    }
    Ok(())
}

/// Programs named by `FAAS_TEST_JAVASCRIPT`, separated by colons: any that understand what Node does.
fn further_runtimes(lab: &Lab) -> Result<()> {
    let named = std::env::var("FAAS_TEST_JAVASCRIPT").unwrap_or_default();
    for program in named.split(':').filter(|program| !program.is_empty()).map(Path::new) {
        let name = program.file_name().context("a program has a name")?.to_string_lossy().into_owned();
        let mut spec = host_spec(lab, &[&format!("/runtime/{name}"), "-e", NODE])?;
        let source = program.parent().context("a program has a directory")?.to_owned();
        spec.mounts.push(LayerMount { source, target: PathBuf::from("/runtime") });
        let outcome = lab.run_spec(spec)?;
        let seen = format!("{:?} {} {}", outcome.exit, outcome.stdout, outcome.stderr);
        ensure!(outcome.stdout == "7 1000 true object\n", "{}: {seen}", program.display());
    }
    Ok(())
}

fn node(lab: &Lab) -> Result<()> {
    check(lab, &["/usr/bin/node", "-e", NODE], "7 1000 true object\n")
}
