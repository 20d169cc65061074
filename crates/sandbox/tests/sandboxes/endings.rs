//! How sandboxes end, and that nothing outlives them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use faas_ports::{OpenSandbox, PortError, Sandboxes};
use faas_sandbox::LinuxSandboxes;

use crate::Check;
use crate::lab::{Lab, config, guest_spec, wait_until};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("kill_ends_twenty_hiding_trees", kill_ends_twenty_hiding_trees),
    ("dropping_kills", dropping_kills),
    ("orphans_end_with_the_program", orphans_end_with_the_program),
    ("a_killed_spawner_leaves_nothing_and_is_replaced", a_killed_spawner_leaves_nothing_and_is_replaced),
    ("stopping_leaves_nothing", stopping_leaves_nothing),
    ("a_killed_server_leaves_nothing", a_killed_server_leaves_nothing),
    ("a_start_sweeps_what_two_deaths_left", a_start_sweeps_what_two_deaths_left),
    ("twenty_kills_and_restarts_keep_the_level", twenty_kills_and_restarts_keep_the_level),
];

/// Those that hold however a sandbox came to be.
pub(crate) const HELD: &[(&str, Check)] = &[
    ("exit_code_is_the_programs", exit_code_is_the_programs),
    ("a_signal_is_told", a_signal_is_told),
    ("out_of_memory_is_told_from_a_crash", out_of_memory_is_told_from_a_crash),
    ("the_program_cannot_kill_the_first_process", the_program_cannot_kill_the_first_process),
];

fn exit_code_is_the_programs(lab: &Lab) -> Result<()> {
    for code in [0, 7, 255] {
        let exit = lab.run(&["exit", &code.to_string()])?.exit;
        ensure!((exit.code, exit.signal, exit.out_of_memory) == (Some(code), None, false), "{exit:?}");
        ensure!(exit.usage.cpu_us.is_some(), "no CPU time: {exit:?}");
    }
    Ok(())
}

fn a_signal_is_told(lab: &Lab) -> Result<()> {
    for signal in [libc::SIGSEGV, libc::SIGTERM, libc::SIGKILL] {
        let exit = lab.run(&["raise", &signal.to_string()])?.exit;
        ensure!((exit.code, exit.signal, exit.out_of_memory) == (None, Some(signal), false), "{exit:?}");
    }
    Ok(())
}

fn out_of_memory_is_told_from_a_crash(lab: &Lab) -> Result<()> {
    let within = lab.run(&["allocate", &(32 << 20).to_string()])?;
    ensure!(within.exit.code == Some(0), "{:?} {}", within.exit, within.stderr);
    let beyond = lab.run(&["allocate", &(400 << 20).to_string()])?;
    ensure!(beyond.exit.code != Some(0), "the limit did not hold: {:?}", beyond.exit);
    if lab.has_cgroups("the limit of the tree, and telling it from a crash") {
        ensure!(beyond.exit.out_of_memory && beyond.exit.signal == Some(libc::SIGKILL), "{:?}", beyond.exit);
        let peak = within.exit.usage.peak_memory_bytes.context("no peak")?;
        ensure!((32 << 20..64 << 20).contains(&peak), "peak {peak}");
    }
    Ok(())
}

fn the_program_cannot_kill_the_first_process(lab: &Lab) -> Result<()> {
    let outcome = lab.run(&["kill-first"])?;
    ensure!(outcome.exit.code == Some(0), "{:?}", outcome.exit);
    Ok(())
}

fn kill_ends_twenty_hiding_trees(lab: &Lab) -> Result<()> {
    let mark = "twenty-hiding-trees";
    let ids = lab.block_on(async {
        let mut open = Vec::new();
        for _ in 0..20 {
            let spec = lab.spec(&["hide", mark]);
            open.push((spec.id.to_string(), lab.sandboxes.open(spec).await?));
        }
        for (_, sandbox) in &open {
            first_line(sandbox).await?;
        }
        wait_until("each has hidden three", || processes(mark) == 80)?;
        open.iter().for_each(|(_, sandbox)| sandbox.control.kill());
        for (_, sandbox) in &open {
            let exit = sandbox.control.wait().await;
            ensure!(exit.signal == Some(libc::SIGKILL), "{exit:?}");
            ensure!(sandbox.control.wait().await == exit, "the second answer differs");
        }
        Ok(open.into_iter().map(|(id, _)| id).collect::<Vec<_>>())
    })?;
    ensure!(processes(mark) == 0, "{} survivors", processes(mark));
    ensure!(ids.iter().all(|id| cgroups(id) == 0), "cgroups are left");
    Ok(())
}

fn dropping_kills(lab: &Lab) -> Result<()> {
    let mark = "dropping-kills";
    lab.block_on(async {
        let sandbox = lab.sandboxes.open(lab.spec(&["hide", mark])).await?;
        first_line(&sandbox).await
    })?;
    wait_until("the sandbox is gone", || processes(mark) == 0)
}

fn orphans_end_with_the_program(lab: &Lab) -> Result<()> {
    let mark = "orphans-end";
    lab.block_on(async {
        let sandbox = lab.sandboxes.open(lab.spec(&["hide-and-exit", mark])).await?;
        let exit = sandbox.control.wait().await;
        ensure!(exit.code == Some(0), "{exit:?}");
        Ok(())
    })?;
    ensure!(processes(mark) == 0, "{} survivors", processes(mark));
    Ok(())
}

fn a_killed_spawner_leaves_nothing_and_is_replaced(_: &Lab) -> Result<()> {
    let mark = "killed-spawner";
    let before = spawners(std::process::id());
    let lab = Lab::new()?;
    let spawner = spawners(std::process::id()).into_iter().find(|pid| !before.contains(pid)).context("no spawner")?;
    lab.block_on(async {
        let spec = lab.spec(&["hide", mark]);
        let id = spec.id.to_string();
        let sandbox = lab.sandboxes.open(spec).await?;
        first_line(&sandbox).await?;
        kill(spawner);
        sandbox.control.wait().await;
        ensure!(processes(mark) == 0, "{} survivors", processes(mark));
        ensure!(cgroups(&id) == 0, "the cgroup is left");
        Ok(())
    })?;
    let exit = lab.run(&["exit", "3"])?.exit;
    ensure!(exit.code == Some(3), "{exit:?}");
    Ok(())
}

fn stopping_leaves_nothing(_: &Lab) -> Result<()> {
    let mark = "stopping";
    let lab = Lab::new()?;
    let spawners_before = spawners(std::process::id()).len();
    lab.block_on(async {
        let spec = lab.spec(&["hide", mark]);
        let id = spec.id.to_string();
        let sandbox = lab.sandboxes.open(spec).await?;
        first_line(&sandbox).await?;
        lab.sandboxes.stop().await;
        ensure!(processes(mark) == 0 && cgroups(&id) == 0, "something is left");
        let exit = sandbox.control.wait().await;
        ensure!(exit.signal == Some(libc::SIGKILL), "{exit:?}");
        let refused = lab.sandboxes.open(lab.spec(&["exit", "0"])).await;
        ensure!(matches!(refused, Err(PortError::Closed(_))), "opened after the stop");
        Ok(())
    })?;
    wait_until("the spawner has ended", || spawners(std::process::id()).len() < spawners_before)
}

fn a_killed_server_leaves_nothing(lab: &Lab) -> Result<()> {
    let mark = "killed-server";
    let (mut server, _, ids) = start_server(lab, mark)?;
    ensure!(processes(mark) >= 5, "{} processes", processes(mark));
    server.kill()?;
    server.wait()?;
    wait_until("all processes are gone", || processes(mark) == 0)?;
    wait_until("all cgroups are gone", || ids.iter().all(|id| cgroups(id) == 0))?;
    Ok(())
}

fn a_start_sweeps_what_two_deaths_left(lab: &Lab) -> Result<()> {
    let mark = "two-deaths";
    let (mut server, _, ids) = start_server(lab, mark)?;
    spawners(server.id()).into_iter().for_each(kill);
    server.kill()?;
    server.wait()?;
    wait_until("all processes are gone", || processes(mark) == 0)?;
    let (mut server, ..) = start_server(lab, mark)?;
    ensure!(ids.iter().all(|id| cgroups(id) == 0), "the start has left cgroups");
    server.kill()?;
    server.wait()?;
    wait_until("all processes are gone again", || processes(mark) == 0)
}

/// A server that opens its sandboxes has found a level at which it can; the new one starts while the old spawner is
/// still clearing out.
fn twenty_kills_and_restarts_keep_the_level(lab: &Lab) -> Result<()> {
    let mark = "twenty-restarts";
    for turn in 0..20 {
        let (mut server, level, _) = start_server(lab, mark).with_context(|| format!("start {turn}"))?;
        ensure!(level == lab.level().to_string(), "level {level} at start {turn}");
        server.kill()?;
        server.wait()?;
    }
    wait_until("all processes are gone", || processes(mark) == 0)
}

/// Starts this program as a server with some open sandboxes; answers with its level and their ids.
fn start_server(lab: &Lab, mark: &str) -> Result<(Child, String, Vec<String>)> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("__server").arg(lab.home.path()).arg(mark).stdout(Stdio::piped());
    let mut server = command.spawn()?;
    let mut lines = BufReader::new(server.stdout.take().context("no output")?).lines();
    let ids: String = lines.next().context("the server has ended")??;
    let (level, ids) = ids.split_once(' ').context("no sandboxes")?;
    Ok((server, level.to_owned(), ids.split(' ').map(str::to_owned).collect()))
}

/// The role of [`start_server`]'s child.
pub(crate) fn serve_until_killed(arguments: &[String]) -> ExitCode {
    let serve = || -> Result<()> {
        let home = Path::new(arguments.first().context("no home")?);
        let mark = arguments.get(1).context("no mark")?;
        tokio::runtime::Runtime::new()?.block_on(async {
            let mut settings = config(home);
            settings.data_dir = home.join("killed-server");
            let sandboxes = LinuxSandboxes::start(settings).await?;
            let mut open = Vec::new();
            let mut ids = Vec::new();
            for _ in 0..5 {
                let spec = guest_spec(&home.join("guest"), &["hide", mark]);
                ids.push(spec.id.to_string());
                open.push(sandboxes.open(spec).await?);
            }
            for sandbox in &open {
                first_line(sandbox).await?;
            }
            println!("{} {}", sandboxes.report().level, ids.join(" "));
            std::future::pending().await
        })
    };
    serve().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// Waits until the program has something to say.
pub(crate) async fn first_line(sandbox: &OpenSandbox) -> Result<String> {
    let output = fs::File::from(sandbox.stdout.try_clone()?);
    let line = tokio::task::spawn_blocking(move || BufReader::new(output).lines().next());
    line.await?.context("no output")?.map_err(Into::into)
}

/// How many processes have `mark` among their arguments. A server that is asked to use it does not count.
pub(crate) fn processes(mark: &str) -> usize {
    arguments().filter(|(_, arguments)| arguments.contains(mark) && arguments.contains("__guest")).count()
}

pub(crate) fn spawners(parent: u32) -> Vec<i32> {
    let is_ours = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == format!("PPid:\t{parent}"))
    };
    let spawners = arguments().filter(|(_, arguments)| arguments.contains("__spawner"));
    spawners.map(|(pid, _)| pid).filter(|pid| is_ours(*pid)).collect()
}

/// The zygote with this mark.
pub(crate) fn zygote_of(mark: &str) -> Option<i32> {
    let is_host = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("NSpid:") && line.split_whitespace().count() == 2)
    };
    let marked = arguments().filter(|(_, text)| text.contains(mark) && text.contains("\0zygote\0"));
    marked.map(|(pid, _)| pid).find(is_host)
}

fn arguments() -> impl Iterator<Item = (i32, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).ok()?).into_owned()))
    })
}

pub(crate) fn kill(pid: i32) {
    // SAFETY: sends a signal to a process that this test has started.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// How many cgroups have this name.
pub(crate) fn cgroups(name: &str) -> usize {
    fn count(directory: &Path, name: &str, depth: usize) -> usize {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let counts = directories.map(|entry| {
            let below = if depth > 0 { count(&entry.path(), name, depth - 1) } else { 0 };
            below + usize::from(entry.file_name() == name)
        });
        counts.sum()
    }
    count(Path::new("/sys/fs/cgroup"), name, 6)
}
