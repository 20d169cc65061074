//! That nothing is left of a sandbox that ends before its program has begun, wherever it was.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use faas_ports::Sandboxes;

use crate::Check;
use crate::endings::{cgroups, kill, processes, spawners};
use crate::lab::{Lab, Outcome, finish, wait_until};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("an_abandoned_open_leaves_nothing", an_abandoned_open_leaves_nothing),
    ("a_kill_during_the_set_up_leaves_nothing", a_kill_during_the_set_up_leaves_nothing),
];

/// From the start of an opening to well behind its end.
fn moments() -> impl Iterator<Item = Duration> {
    (0..4000).step_by(80).map(Duration::from_micros)
}

fn an_abandoned_open_leaves_nothing(lab: &Lab) -> Result<()> {
    for lab in [lab, &Lab::plain()?] {
        let mark = "abandoned-open";
        let mut ids = Vec::new();
        for moment in moments() {
            let spec = lab.plain_spec(&["hide", mark]);
            ids.push(spec.id.to_string());
            lab.block_on(async {
                let _ = tokio::time::timeout(moment, lab.sandboxes.open(spec)).await;
                Ok(())
            })?;
        }
        wait_until("all processes are gone", || processes(mark) == 0)?;
        wait_until("all cgroups are gone", || ids.iter().all(|id| cgroups(id) == 0))?;
    }
    Ok(())
}

/// The first process is killed from outside, as the server does it, some time after it has come into being.
fn a_kill_during_the_set_up_leaves_nothing(_: &Lab) -> Result<()> {
    for new in [Lab::new, Lab::plain] {
        let mark = "set-up-killed";
        let before = spawners(std::process::id());
        let lab = new()?;
        let found = spawners(std::process::id()).into_iter().find(|pid| !before.contains(pid));
        let spawner = found.context("no spawner")?;
        let mut early = 0;
        for moment in moments() {
            let spec = lab.plain_spec(&["hide", mark]);
            let id = spec.id.to_string();
            let killer = thread::spawn(move || kill_the_first_child(spawner, moment));
            lab.block_on(async {
                // Killed before it had its user id, a sandbox does not open. Killed later in its set-up, it looks like
                // a program that ends before it says anything.
                let Ok(sandbox) = lab.sandboxes.open(spec).await else {
                    early += 1;
                    return Ok(());
                };
                let Outcome { stdout, exit, .. } = finish(sandbox).await?;
                ensure!(exit.signal == Some(libc::SIGKILL), "{exit:?} after {moment:?}");
                early += usize::from(stdout.is_empty());
                Ok(())
            })?;
            ensure!(killer.join().is_ok_and(|killed| killed), "there was no first process");
            wait_until("nothing is left", || children(spawner).is_empty())?;
            ensure!(processes(mark) == 0 && cgroups(&id) == 0, "something is left after {moment:?}");
        }
        ensure!(early > 0, "no kill came before the program's first word");
    }
    Ok(())
}

fn kill_the_first_child(spawner: i32, moment: Duration) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if let Some(child) = children(spawner).first() {
            thread::sleep(moment);
            kill(*child);
            return true;
        }
    }
    false
}

/// Those that are alive or not yet reaped.
fn children(parent: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
