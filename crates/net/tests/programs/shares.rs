//! What sandboxes may take from each other: nothing.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::Check;
use crate::checks::{FAR, same};
use crate::far::shut_tcp;
use crate::lab::{Guest, Lab};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("files_run_out_for_one_sandbox_and_not_for_another", files_run_out_for_one_sandbox_and_not_for_another),
    ("the_kernel_keeps_little_of_each_of_many_connections", the_kernel_keeps_little_of_each_of_many_connections),
    ("a_sandbox_that_is_stopped_holds_up_nobody", a_sandbox_that_is_stopped_holds_up_nobody),
];

fn files_run_out_for_one_sandbox_and_not_for_another(_: &mut Lab) -> Result<()> {
    let mut lab = Lab::with_files(Some(64))?;
    let (port, mut other, spare) = (lab.far.tcp, Guest::new()?, Guest::new()?);
    lab.broker.attach(9, &other.device, &other.pidfd)?;
    let held = lab.ask("hold_all", &[json!(FAR), json!(port), json!(100)])?;
    ensure!(held.as_u64().is_some_and(|held| (5..20).contains(&held)), "{held} connections");
    ensure!(lab.descriptors()? < 60, "{} descriptors", lab.descriptors()?);
    same(&other.ask("many", &[json!(FAR), json!(port), json!(4)])?, 4)?;
    // More devices than there are files for, too.
    for number in 20..30 {
        lab.broker.attach(number, &spare.device, &spare.pidfd)?;
    }
    lab.broker.until("a refusal", |seen| seen.not_attached.contains(&29))?;
    same(&other.ask("echo", &[json!(FAR), json!(port), json!(1_000)])?, true)?;
    // With room again, the greedy one goes on.
    lab.ask("let_go", &[])?;
    lab.broker.until("the end of what was held", |seen| seen.closed.len() as u64 >= held.as_u64().unwrap_or(0) + 5)?;
    same(&lab.ask("echo", &[json!(FAR), json!(port), json!(1_000)])?, true)
}

/// What a far end does not read stays in the kernel, which would give each connection megabytes.
fn the_kernel_keeps_little_of_each_of_many_connections(lab: &mut Lab) -> Result<()> {
    same(&lab.ask("fill", &[json!(FAR), json!(lab.far.tcp), json!(150)])?, 150)?;
    let mut waiting = waiting_to_be_sent(lab.far.tcp)?;
    waiting.sort_unstable_by(|one, other| other.cmp(one));
    ensure!(waiting.len() == 150 && waiting[0] > 0, "{waiting:?}");
    // The first 32 may have what they like.
    ensure!(waiting[40] < 300 << 10, "{waiting:?}");
    Ok(())
}

/// Bytes that the kernel keeps of each connection to a port of this machine, as `/proc/net/tcp` shows them.
fn waiting_to_be_sent(port: u16) -> Result<Vec<u64>> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let of = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (_, to) = fields.get(2)?.split_once(':')?;
        let (sending, _) = fields.get(4)?.split_once(':')?;
        let is_wanted = u16::from_str_radix(to, 16).ok()? == port && *fields.get(3)? == "01";
        is_wanted.then(|| u64::from_str_radix(sending, 16).ok()).flatten()
    };
    Ok(table.lines().skip(1).filter_map(of).collect())
}

/// One that is frozen takes nothing from its device, and leaves its connections full.
fn a_sandbox_that_is_stopped_holds_up_nobody(lab: &mut Lab) -> Result<()> {
    let (port, before) = (lab.far.tcp, lab.memory()?);
    let (_held, shut) = shut_tcp()?;
    let mut others = Vec::new();
    for number in 9..13 {
        let mut other = Guest::new()?;
        lab.broker.attach(number, &other.device, &other.pidfd)?;
        same(&other.ask("hold", &[json!(FAR), json!(port), json!(20)])?, 20)?;
        // It is stopped while bytes come for it and leave it.
        other.begin("download_fast", &[json!(FAR), json!(port), json!(1_u64 << 40)])?;
        others.push(other);
    }
    lab.broker.until("a transfer of each", |seen| {
        (9..13).all(|number| seen.usage.get(&number).is_some_and(|usage| usage.down > 1 << 20))
    })?;
    for other in &others {
        other.stop()?;
    }
    let trips = lab.ask("ping_pong", &[json!(FAR), json!(port), json!(2_000)])?;
    let all: Vec<f64> = trips.as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64).collect();
    // A second is what one that had to wait for a stopped one would miss by far.
    ensure!(all.len() == 2_000 && all[all.len() * 99 / 100] < 1e6, "{:?}", all.last());
    same(&lab.ask("refused", &[json!(FAR), json!(shut)])?, "ECONNREFUSED")?;
    same(&lab.ask("upload", &[json!(FAR), json!(port), json!(30_000_000)])?, "30000000 true")?;
    let grown = lab.memory()?.saturating_sub(before);
    ensure!(grown < 16 << 20, "{grown} bytes more memory");
    // Connections of one that goes on are still there.
    others[0].go_on()?;
    lab.broker.until("the transfer goes on", |seen| seen.usage.get(&9).is_some_and(|usage| usage.down > 64 << 20))
}
