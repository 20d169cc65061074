//! What a sandbox may use.

use anyhow::{Context, Result, ensure};

use crate::Check;
use crate::lab::{Lab, finish};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("processes", processes),
    ("scratch_space", scratch_space),
    ("open_files", open_files),
    ("cpu_share", cpu_share),
    ("the_servers_own_limit_is_raised", the_servers_own_limit_is_raised),
    ("usage_while_running", usage_while_running),
];

fn first_number(text: &str) -> Result<u64> {
    text.split_whitespace().next().context("no output")?.parse().with_context(|| text.to_owned())
}

fn processes(lab: &Lab) -> Result<()> {
    let outcome = lab.run(&["fork"])?;
    let count = first_number(&outcome.stdout)?;
    ensure!(count == u64::from(lab.spec(&[]).limits.pids), "{}", outcome.stdout);
    Ok(())
}

fn scratch_space(lab: &Lab) -> Result<()> {
    for directory in ["/tmp", "/dev/shm"] {
        let outcome = lab.run(&["fill", directory])?;
        ensure!(first_number(&outcome.stdout)? <= 16, "{directory}: {} {:?}", outcome.stdout, outcome.exit);
    }
    for directory in ["/", "/bin", "/dev", "/proc"] {
        let outcome = lab.run(&["fill", directory])?;
        ensure!(outcome.stdout.starts_with("Err"), "{directory}: {}", outcome.stdout);
    }
    Ok(())
}

fn open_files(lab: &Lab) -> Result<()> {
    let outcome = lab.run(&["open"])?;
    ensure!(first_number(&outcome.stdout)? == lab.spec(&[]).limits.open_files - 4, "{}", outcome.stdout);
    Ok(())
}

fn the_servers_own_limit_is_raised(_: &Lab) -> Result<()> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).context("no limit")?;
    let mut numbers = line.split_whitespace().skip(3);
    ensure!(numbers.next() == numbers.next(), "{line}");
    Ok(())
}

fn cpu_share(lab: &Lab) -> Result<()> {
    if !lab.has_cgroups("the CPU share") {
        return Ok(());
    }
    let mut spec = lab.spec(&["spin", "600"]);
    spec.limits.cpu_millis = 200;
    let used = lab.run_spec(spec)?.exit.usage.cpu_us.context("no CPU time")?;
    // A fifth of 600 ms, plus a period's worth for the start.
    ensure!(used < 200_000, "{used} µs");
    Ok(())
}

fn usage_while_running(lab: &Lab) -> Result<()> {
    if !lab.has_cgroups("the usage of a running sandbox") {
        return Ok(());
    }
    lab.block_on(async {
        let sandbox = lab.open(lab.spec(&["spin", "100"])).await?;
        let usage = sandbox.control.usage();
        ensure!(usage.peak_memory_bytes.is_some_and(|bytes| bytes > 0) && usage.cpu_us.is_some(), "{usage:?}");
        let exit = finish(sandbox).await?.exit;
        ensure!(exit.usage.cpu_us > usage.cpu_us, "{exit:?}");
        Ok(())
    })
}
