//! How long it takes to open a sandbox: `cargo test --release -p faas-sandbox --test sandboxes -- measure`.

use std::fs::File;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use faas_ports::{ParkedSandbox, SandboxSpec, Sandboxes};
use faas_types::NetworkMode;

use crate::lab::Lab;
use crate::ways;

pub(crate) fn run() -> ExitCode {
    let measure = || -> Result<()> {
        let start = Instant::now();
        let lab = Lab::new()?;
        println!("start with probes: {:?}", start.elapsed());
        println!("isolation level {}", lab.level());
        report("back to back", &mut times(&lab, 200, Duration::ZERO)?);
        report_usage(&lab)?;
        report("after 100 ms idle", &mut times(&lab, 50, Duration::from_millis(100))?);
        report_networks(&lab)
    };
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What a network costs who has one, and who has none: in turn, so that all meet the same machine.
fn report_networks(lab: &Lab) -> Result<()> {
    let rounds = 2_000;
    let start = Instant::now();
    for _ in 0..rounds {
        std::hint::black_box(File::options().read(true).write(true).open("/dev/net/tun")?);
    }
    println!("opening and closing the file of devices, not used: {:?}", start.elapsed() / rounds);
    let modes = [NetworkMode::None, NetworkMode::Loopback, NetworkMode::Egress];
    let (mut opened, mut lifted, mut ended) =
        (modes.map(|_| Vec::new()), modes.map(|_| Vec::new()), modes.map(|_| Vec::new()));
    for _ in 0..150 {
        for (index, network) in modes.into_iter().enumerate() {
            lab.block_on(async {
                let start = Instant::now();
                let spec = SandboxSpec { network, ..lab.spec(&["sleep"]) };
                let sandbox = lab.sandboxes.open(spec.clone()).await?;
                opened[index].push(start.elapsed());
                drop(sandbox.network);
                let start = Instant::now();
                sandbox.control.kill();
                sandbox.control.wait().await;
                ended[index].push(start.elapsed());
                let ParkedSandbox { sandbox, assigner } = lab.sandboxes.park(lab.spec(&["sleep"])).await?;
                let start = Instant::now();
                let device = assigner.assign(ways::assignment(&spec)).await?;
                lifted[index].push(start.elapsed());
                drop(device);
                sandbox.control.kill();
                sandbox.control.wait().await;
                Ok(())
            })?;
        }
    }
    for (index, network) in modes.into_iter().enumerate() {
        report(&format!("{network:?}"), &mut opened[index]);
        report_as("assigning", &format!("{network:?}"), &mut lifted[index]);
        report_as("killing", &format!("{network:?}"), &mut ended[index]);
    }
    Ok(())
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
    report_as("open to exec", what, times);
}

fn report_as(part: &str, what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{part}, {what}: p50 {:?}, p90 {:?}, p99 {:?}", at(50), at(90), at(99));
}
