//! What a sandbox can see and reach.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail, ensure};
use faas_ports::{LayerMount, OpenSandbox, PortError, SandboxSpec, Sandboxes};
use faas_types::{IsolationLevel, NetworkMode};

use crate::Check;
use crate::lab::{Lab, finish, make_directory};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("every_feature_is_reported", every_feature_is_reported),
    ("a_large_environment", a_large_environment),
    ("layers_are_mounted_where_wanted", layers_are_mounted_where_wanted),
    ("links_do_not_move_a_layer", links_do_not_move_a_layer),
    ("refusals", refusals),
    ("a_forwarded_port_reaches_what_listens_inside", a_forwarded_port_reaches_what_listens_inside),
    ("without_port_forwarding_nothing_inside_is_reached", without_port_forwarding_nothing_inside_is_reached),
];

/// Those that hold however a sandbox came to be.
pub(crate) const HELD: &[(&str, Check)] = &[
    ("only_the_given_environment", only_the_given_environment),
    ("only_the_given_descriptors", only_the_given_descriptors),
    ("signals_are_fresh", signals_are_fresh),
    ("the_channel_carries_both_ways", the_channel_carries_both_ways),
    ("the_first_process_is_hidden", the_first_process_is_hidden),
    ("the_root_is_the_layer", the_root_is_the_layer),
    ("own_output_can_be_reopened", own_output_can_be_reopened),
    ("networks", networks),
];

fn every_feature_is_reported(lab: &Lab) -> Result<()> {
    let report = lab.sandboxes.report();
    for probe in report.probes.iter().filter(|probe| !probe.enforced) {
        println!("    not enforced here: {:?}: {}", probe.feature, probe.detail);
        let is_optional = probe.feature.is_limit() || !faas_types::Feature::CONFINING.contains(&probe.feature);
        ensure!(is_optional && probe.fix.is_some(), "{probe:?}");
    }
    // Two more: the network, and what helpers may reach.
    ensure!(report.probes.len() == faas_types::Feature::CONFINING.len() + 2, "{report:?}");
    Ok(())
}

fn only_the_given_environment(lab: &Lab) -> Result<()> {
    let outcome = lab.run(&["environment"])?;
    ensure!(outcome.stdout == "GREETING=hi\n", "{}", outcome.stdout);
    Ok(())
}

fn a_large_environment(lab: &Lab) -> Result<()> {
    let mut spec = lab.spec(&["environment"]);
    spec.env = (0..32).map(|number| (format!("BIG{number}"), "x".repeat(32 << 10))).collect();
    let outcome = lab.run_spec(spec)?;
    ensure!(outcome.stdout.len() > 32 * (32 << 10), "{} bytes", outcome.stdout.len());
    Ok(())
}

fn only_the_given_descriptors(lab: &Lab) -> Result<()> {
    let secret = File::open("/etc/passwd")?;
    // SAFETY: makes an inheritable copy that this check closes.
    ensure!(unsafe { libc::dup2(secret.as_raw_fd(), 50) } == 50, "dup2");
    let lab = Lab::new()?.going(lab.way());
    let outcome = lab.run(&["list", "/proc/self/fd"])?;
    // SAFETY: made above.
    unsafe { libc::close(50) };
    // The last one is the directory being listed.
    ensure!(outcome.stdout == "0 1 2 3 4\n", "{}", outcome.stdout);
    Ok(())
}

fn signals_are_fresh(lab: &Lab) -> Result<()> {
    let status = lab.run(&["cat", "/proc/self/status"])?.stdout;
    // A Rust program ignores SIGPIPE itself.
    for expected in ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000001000"] {
        ensure!(status.lines().any(|line| line == expected), "{expected} is not in {status}");
    }
    Ok(())
}

fn the_channel_carries_both_ways(lab: &Lab) -> Result<()> {
    lab.block_on(async {
        let mut sandbox = lab.open(lab.spec(&["echo"])).await?;
        let mut channel = File::from(sandbox.channel);
        channel.write_all(b"hello")?;
        let mut answer = [0; 5];
        channel.read_exact(&mut answer)?;
        ensure!(&answer == b"hello", "{answer:?}");
        sandbox.channel = channel.into();
        // Closing it ends the program.
        let OpenSandbox { channel, control, .. } = sandbox;
        drop(channel);
        let exit = control.wait().await;
        ensure!(exit.code == Some(0), "{exit:?}");
        Ok(())
    })
}

fn the_first_process_is_hidden(lab: &Lab) -> Result<()> {
    let outcome = lab.run(&["cat", "/proc/1/environ", "/proc/1/cmdline", "/proc/1/maps", "/proc/1/exe"])?;
    ensure!(outcome.stdout.lines().all(|line| line.contains("os error")), "{}", outcome.stdout);
    let outcome = lab.run(&["links", "/proc/1/exe", "/proc/1/root", "/proc/1/cwd"])?;
    ensure!(outcome.stdout.lines().all(|line| line.contains("Err")), "{}", outcome.stdout);
    Ok(())
}

fn the_root_is_the_layer(lab: &Lab) -> Result<()> {
    let root = lab.run(&["list", "/"])?.stdout;
    ensure!(root == "bin dev lib lib64 proc tmp\n", "{root}");
    let devices = lab.run(&["list", "/dev"])?.stdout;
    ensure!(devices == "fd full null random shm stderr stdin stdout urandom zero\n", "{devices}");
    let tmp = lab.run(&["list", "/tmp"])?.stdout;
    ensure!(tmp == "\n", "{tmp}");
    let cgroup = lab.run(&["cat", "/proc/self/cgroup"])?.stdout;
    ensure!(!cgroup.contains("sbx_") && !cgroup.contains("faas"), "{cgroup}");
    let mounts = lab.run(&["cat", "/proc/self/mountinfo"])?.stdout;
    let count = mounts.lines().count();
    ensure!(count < 40 && !mounts.contains("/sys"), "{mounts}");
    for line in
        mounts.lines().filter(|line| line.contains(" - ") && !line.contains(" /tmp ") && !line.contains(" /dev/shm "))
    {
        ensure!(line.contains(" ro,"), "can be written to: {line}");
    }
    Ok(())
}

fn layers_are_mounted_where_wanted(lab: &Lab) -> Result<()> {
    let layer = lab.home.path().join("app");
    make_directory(&layer)?;
    fs::write(layer.join("main.py"), "print(1)")?;
    let mut spec = lab.spec(&["cat", "/bin/main.py", "/bin/guest"]);
    spec.mounts = vec![LayerMount { source: layer, target: "/bin".into() }];
    // Hides the program itself: the layer must be there before the program starts.
    let error = lab.run_spec(spec.clone()).err().context("the program is still there")?.to_string();
    ensure!(error.contains("/bin/guest") && error.contains("No such file"), "{error}");
    spec.mounts[0].target = "/lib64/absent".into();
    let error = lab.run_spec(spec).err().context("there is no such directory")?.to_string();
    ensure!(error.contains("lib64/absent"), "{error}");
    Ok(())
}

fn links_do_not_move_a_layer(lab: &Lab) -> Result<()> {
    let root = lab.home.path().join("linked");
    crate::lab::make_skeleton(&root)?;
    std::os::unix::fs::symlink("/tmp", root.join("link"))?;
    let mut spec = lab.spec(&["exit", "0"]);
    spec.mounts = vec![LayerMount { source: root.clone(), target: "/link".into() }];
    spec.root = root;
    let error = lab.run_spec(spec).err().context("the link was followed")?.to_string();
    ensure!(error.contains("Too many levels of symbolic links"), "{error}");
    Ok(())
}

fn own_output_can_be_reopened(lab: &Lab) -> Result<()> {
    let outcome = lab.run(&["say", "/dev/stdout", "/dev/stderr"])?;
    ensure!((outcome.stdout.as_str(), outcome.stderr.as_str()) == ("said\n", "said\n"), "{:?}", outcome.exit);
    Ok(())
}

fn networks(lab: &Lab) -> Result<()> {
    for (network, expected) in [(NetworkMode::None, "false\n"), (NetworkMode::Loopback, "true\n")] {
        let mut spec = lab.spec(&["loopback"]);
        spec.network = network;
        let outcome = lab.run_spec(spec)?;
        ensure!(outcome.stdout == expected, "{network:?}: {}", outcome.stdout);
    }
    Ok(())
}

fn refusals(lab: &Lab) -> Result<()> {
    lab.block_on(async {
        let mut spec = lab.spec(&["exit", "0"]);
        spec.min_isolation = IsolationLevel::Full;
        match (lab.level(), lab.sandboxes.open(spec).await) {
            (IsolationLevel::Full, Ok(sandbox)) => {
                finish(sandbox).await?;
            }
            (IsolationLevel::Partial, Err(PortError::Isolation(why))) => ensure!(why.contains("level 2"), "{why}"),
            (level, _) => bail!("level {level}"),
        }
        let mut spec = lab.spec(&[]);
        spec.argv = vec!["/bin/absent".to_owned()];
        match lab.sandboxes.open(spec).await {
            Err(PortError::Invalid(why)) => ensure!(why.contains("/bin/absent"), "{why}"),
            _ => bail!("an absent program was started"),
        }
        Ok(())
    })
}

/// A port that nobody on the host listens at.
pub(crate) const INSIDE_PORT: u16 = 47_209;

/// A sandbox whose program listens on its loopback interface.
pub(crate) async fn answering(lab: &Lab, mut spec: SandboxSpec, port_forward: bool) -> Result<OpenSandbox> {
    (spec.network, spec.port_forward) = (NetworkMode::Loopback, port_forward);
    let sandbox = lab.sandboxes.open(spec).await?;
    let mut channel = File::from(sandbox.channel.try_clone()?);
    tokio::task::spawn_blocking(move || channel.read_exact(&mut [0])).await??;
    Ok(sandbox)
}

fn a_forwarded_port_reaches_what_listens_inside(lab: &Lab) -> Result<()> {
    lab.block_on(async {
        let sandbox = answering(lab, lab.spec(&["answer", &INSIDE_PORT.to_string()]), true).await?;
        ensure!(
            std::net::TcpStream::connect(("127.0.0.1", INSIDE_PORT)).is_err(),
            "it is reached without port forwarding"
        );
        ensure!(sandbox.control.connect(INSIDE_PORT + 1).await.is_err(), "nobody listens there");
        let mut stream = std::net::TcpStream::from(sandbox.control.connect(INSIDE_PORT).await?);
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        ensure!(said == "inside", "{said}");
        sandbox.control.kill();
        sandbox.control.wait().await;
        ensure!(sandbox.control.connect(INSIDE_PORT).await.is_err(), "a sandbox is reached after its end");
        Ok(())
    })
}

fn without_port_forwarding_nothing_inside_is_reached(lab: &Lab) -> Result<()> {
    lab.block_on(async {
        let sandbox = answering(lab, lab.spec(&["answer", &INSIDE_PORT.to_string()]), false).await?;
        match sandbox.control.connect(INSIDE_PORT).await {
            Err(PortError::Closed(_)) => Ok(()),
            other => bail!("{other:?}"),
        }
    })
}
