//! How long it takes to open a sandbox: `cargo test --release -p faas-sandbox --test sandboxes -- measure`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use faas_ports::Sandboxes;

use crate::lab::Lab;

pub(crate) fn run() -> ExitCode {
    let measure = || -> Result<()> {
        let start = Instant::now();
        let lab = Lab::new()?;
        println!("start with probes: {:?}", start.elapsed());
        println!("isolation level {}", lab.level());
        report("back to back", &mut times(&lab, 200, Duration::ZERO)?);
        report_usage(&lab)?;
        report("after 100 ms idle", &mut times(&lab, 50, Duration::from_millis(100))?);
        Ok(())
    };
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What each run pays for its account.
fn report_usage(lab: &Lab) -> Result<()> {
    let sandbox = lab.block_on(async { Ok(lab.sandboxes.open(lab.spec(&["sleep"])).await?) })?;
    let rounds = 20_000;
    let start = Instant::now();
    for _ in 0..rounds {
        std::hint::black_box(sandbox.control.usage());
    }
    println!("usage of a running sandbox: {:?}", start.elapsed() / rounds);
    Ok(())
}

/// From the call of `open` until the program is past `execve`.
fn times(lab: &Lab, count: usize, idle: Duration) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        std::thread::sleep(idle);
        let opened = lab.block_on(async {
            let start = Instant::now();
            let sandbox = lab.sandboxes.open(lab.spec(&["exit", "0"])).await?;
            let opened = start.elapsed();
            sandbox.control.wait().await;
            Ok(opened)
        })?;
        times.push(opened);
    }
    Ok(times)
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("open to exec, {what}: p50 {:?}, p90 {:?}, p99 {:?}", at(50), at(90), at(99));
}
