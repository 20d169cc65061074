//! Drives the real shims end to end, in plain processes: every folder below `tests/scenarios/<language>`, and
//! below `tests/scenarios/shared` what every language answers alike, on every version that this machine has.
//!
//! `SCENARIO=part` runs only the folders with that part in their path; `SCENARIO_SEARCH=path` adds an installation.

#![expect(clippy::unwrap_used, reason = "a test may end where it stands")]

mod alike;
mod case;
mod driving;
mod layers;
mod pacing;
mod plain;
mod publishing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_ports::{Launcher, NoNetworks, SystemClock};
use faas_runtimes::{ProcessLauncher, RuntimesConfig, RuntimesPorts};

use crate::layers::DirectoryLayers;
use crate::plain::PlainSandboxes;

fn launcher() -> ProcessLauncher {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let layers = kept.join("layers");
    std::fs::create_dir_all(&layers).unwrap();
    let mut search: Vec<PathBuf> = std::env::var_os("SCENARIO_SEARCH").map(PathBuf::from).into_iter().collect();
    search.extend(installed());
    let config = RuntimesConfig { search, cache: kept.join("runtimes.json"), parked: 0 };
    let ports = RuntimesPorts {
        sandboxes: Arc::new(PlainSandboxes::new()),
        networks: Arc::new(NoNetworks),
        layers: Arc::new(DirectoryLayers::new(&layers)),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemClock),
    };
    ProcessLauncher::new(ports, config)
}

/// Programs that `scripts/setup test` put below `target/tools/<language>/<version>/bin`.
fn installed() -> Vec<PathBuf> {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools");
    let below = |path: PathBuf| {
        let entries = std::fs::read_dir(path).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    let mut found: Vec<PathBuf> = below(tools).into_iter().flat_map(below).map(|version| version.join("bin")).collect();
    found.retain(|bin| bin.is_dir());
    found.sort();
    found
}

/// Those of a language, and those that every language passes.
fn folders(language: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let below = |name: &str| std::fs::read_dir(root.join(name)).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = below("shared").chain(below(language)).collect();
    found.retain(|path| path.join("case.json").is_file());
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_on_every_runtime() {
    let launcher = launcher();
    let only = std::env::var("SCENARIO").unwrap_or_default();
    let mut failed = Vec::new();
    for runtime in launcher.runtimes() {
        for folder in folders(runtime.name.language()) {
            if !folder.to_string_lossy().contains(&only) {
                continue;
            }
            let (launcher, name) = (&launcher, &runtime.name);
            let ran =
                futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(case::run(&folder, launcher, name)));
            if ran.await.is_err() {
                failed.push(format!("{name} {}", folder.file_name().unwrap().to_string_lossy()));
            }
        }
    }
    assert!(failed.is_empty(), "failed: {failed:#?}");
}
