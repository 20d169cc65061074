//! That sandboxes which were opened ahead of time are as strong as those that were not: the same checks, by each way.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use faas_ports::{Assignment, OpenSandbox, ParkedSandbox, PortError, SandboxSpec, Sandboxes, Zygote};
use faas_types::{IsolationLevel, NetworkMode};

use crate::Check;
use crate::endings::{self, cgroups, kill, processes};
use crate::lab::{Lab, Outcome, finish, guest_spec, wait_until};
use crate::{confinement, limits, network};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("parked_sandboxes_pass_every_check", |lab| in_this_way(lab, Way::Parked)),
    ("forked_programs_pass_every_check", |lab| in_this_way(lab, Way::Forked)),
    ("nothing_of_a_function_is_there_before_it_is_assigned", nothing_is_there_before),
    ("what_waits_leaves_nothing", what_waits_leaves_nothing),
    ("a_dead_zygote_is_told_at_once", a_dead_zygote_is_told_at_once),
    ("a_fork_that_does_not_arrive_is_a_failure", a_fork_that_does_not_arrive_is_a_failure),
];

/// How a sandbox comes to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    #[default]
    Opened,
    Parked,
    Forked,
}

fn in_this_way(lab: &Lab, way: Way) -> Result<()> {
    if !lab.has_cgroups("sandboxes that wait; they are not to be had") {
        return parks_nothing(lab);
    }
    let lab = Lab::new()?.going(way);
    for (name, check) in [confinement::HELD, limits::CHECKS, endings::HELD, network::HELD].concat() {
        check(&lab).with_context(|| format!("{way:?}: {name}"))?;
    }
    Ok(())
}

fn parks_nothing(lab: &Lab) -> Result<()> {
    lab.block_on(async {
        let refused = lab.sandboxes.park(lab.spec(&["exit", "0"])).await;
        ensure!(matches!(refused, Err(PortError::Isolation(_))), "parked at a lower level");
        Ok(())
    })
}

/// Opens a sandbox that waits, and assigns it what `spec` wants.
pub(crate) async fn open(lab: &Lab, way: Way, spec: SandboxSpec) -> Result<OpenSandbox> {
    if way == Way::Opened {
        return Ok(lab.sandboxes.open(spec).await?);
    }
    let assignment = assignment(&spec);
    let (id, words) = (spec.id.to_string(), spec.argv[2..].to_vec());
    let blank = blank(spec);
    let ParkedSandbox { mut sandbox, assigner } = match way {
        Way::Forked => zygote(lab, &blank).await?.park(blank).await?,
        _ => lab.sandboxes.park(blank).await?,
    };
    sandbox.network = assigner.assign(assignment).await?;
    let counted = sandbox.control.process_count().context("a cgroup")?;
    // A helper that leaves between the two looks makes the number of threads too low.
    ensure!(counted.processes == 2 && counted.threads <= 2, "who helped is counted as staying: {counted:?}");
    // Limits count it until it is gone.
    wait_until("the assigner has left", || members(&id) == 2)?;
    let mut channel = File::from(sandbox.channel.try_clone()?);
    channel.write_all(format!("{}\n", words.join("\u{1f}")).as_bytes())?;
    Ok(sandbox)
}

/// What a parked sandbox has to get for a spec.
pub(crate) fn assignment(spec: &SandboxSpec) -> Assignment {
    Assignment {
        mounts: spec.mounts.clone(),
        memory_bytes: spec.limits.memory_bytes,
        cpu_millis: spec.limits.cpu_millis,
        network: spec.network,
        min_isolation: spec.min_isolation,
    }
}

/// The same without anything that is assigned. The guest waits for its arguments.
fn blank(mut spec: SandboxSpec) -> SandboxSpec {
    spec.argv.insert(2, "wait".to_owned());
    spec.mounts.clear();
    spec.limits.memory_bytes = 48 << 20;
    spec.limits.cpu_millis = 900;
    SandboxSpec { network: NetworkMode::None, min_isolation: IsolationLevel::Full, ..spec }
}

async fn zygote(lab: &Lab, blank: &SandboxSpec) -> Result<Arc<dyn Zygote>> {
    let mut spec = SandboxSpec { env: blank.env.clone(), root: blank.root.clone(), ..lab.spec(&["zygote"]) };
    spec.argv.extend(blank.argv[3..].iter().cloned());
    let zygote = lab.sandboxes.zygote(spec).await?;
    lab.keep(Arc::clone(&zygote));
    Ok(zygote)
}

/// How many processes a sandbox has, as its cgroup tells.
fn members(id: &str) -> usize {
    fn find(directory: &Path, id: &str, depth: usize) -> Option<PathBuf> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let directories: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        let here = directories.iter().find(|path| path.ends_with(id)).cloned();
        here.or_else(|| directories.iter().filter(|_| depth > 0).find_map(|path| find(path, id, depth - 1)))
    }
    let procs = find(Path::new("/sys/fs/cgroup"), id, 6).map(|path| fs::read_to_string(path.join("cgroup.procs")));
    procs.and_then(Result::ok).unwrap_or_default().lines().count()
}

fn nothing_is_there_before(lab: &Lab) -> Result<()> {
    if !lab.has_cgroups("what a parked sandbox holds") {
        return Ok(());
    }
    lab.block_on(async {
        let mut spec = lab.spec(&["wait"]);
        spec.network = NetworkMode::Loopback;
        let ParkedSandbox { sandbox, assigner } = lab.sandboxes.park(spec).await?;
        let mut channel = File::from(sandbox.channel.try_clone()?);
        channel.write_all(b"loopback\n")?;
        drop(assigner);
        let Outcome { stdout, .. } = finish(sandbox).await?;
        // Not assigned: there is no network yet, whatever the spec said.
        ensure!(stdout == "false\n", "{stdout}");
        Ok(())
    })
}

/// Also when the server forgets it, and when the spawner dies.
fn what_waits_leaves_nothing(lab: &Lab) -> Result<()> {
    if !lab.has_cgroups("the ends of what waits") {
        return Ok(());
    }
    let mark = "waits-in-vain";
    let before = endings::spawners(std::process::id());
    let lab = Lab::new()?;
    let spawner = endings::spawners(std::process::id()).into_iter().find(|pid| !before.contains(pid));
    lab.block_on(async {
        for way in [Way::Parked, Way::Forked] {
            let blank = blank(lab.spec(&["sleep", mark]));
            let id = blank.id.to_string();
            let parked = match way {
                Way::Forked => zygote(&lab, &blank).await?.park(blank).await?,
                _ => lab.sandboxes.park(blank).await?,
            };
            ensure!(processes(mark) >= 1 && cgroups(&id) > 0, "{way:?}: nothing waits");
            drop(parked);
            wait_until("the cgroup is gone", || cgroups(&id) == 0)?;
        }
        let blank = blank(lab.spec(&["sleep", mark]));
        let id = blank.id.to_string();
        let parked = zygote(&lab, &blank).await?.park(blank).await?;
        kill(spawner.context("no spawner")?);
        parked.sandbox.control.wait().await;
        let spec = lab.spec(&[]);
        ensure!(parked.assigner.assign(assignment(&spec)).await.is_err(), "a dead sandbox was assigned");
        wait_until("all processes are gone", || processes(mark) == 0)?;
        wait_until("the cgroup is gone", || cgroups(&id) == 0)
    })?;
    let exit = lab.run(&["exit", "3"])?.exit;
    ensure!(exit.code == Some(3), "{exit:?}");
    Ok(())
}

fn a_dead_zygote_is_told_at_once(lab: &Lab) -> Result<()> {
    if !lab.has_cgroups("zygotes") {
        return Ok(());
    }
    lab.block_on(async {
        let mark = "zygote-to-die";
        let blank = blank(lab.spec(&["sleep", mark]));
        let zygote = zygote(lab, &blank).await?;
        let parked = zygote.park(blank.clone()).await?;
        let pid = endings::zygote_of(mark).context("no zygote")?;
        kill(pid);
        zygote.exited().await;
        // What it filled lives on.
        let mut channel = File::from(parked.sandbox.channel.try_clone()?);
        channel.write_all(b"exit\x1f5\n")?;
        let exit = parked.sandbox.control.wait().await;
        ensure!(exit.code == Some(5), "{exit:?}");
        match zygote.park(SandboxSpec { id: lab.spec(&[]).id, ..blank }).await {
            Err(PortError::Closed(_)) => Ok(()),
            Err(error) => bail!("{error}"),
            Ok(_) => bail!("a dead zygote was forked"),
        }
    })
}

fn a_fork_that_does_not_arrive_is_a_failure(lab: &Lab) -> Result<()> {
    if !lab.has_cgroups("zygotes") {
        return Ok(());
    }
    lab.block_on(async {
        // Runs, but knows nothing of forks.
        if let Ok(zygote) = lab.sandboxes.zygote(guest_spec(&lab.home.path().join("guest"), &["exit", "0"])).await {
            zygote.exited().await;
            ensure!(zygote.park(blank(lab.spec(&["sleep"]))).await.is_err(), "something came");
        }
        let mut deaf = guest_spec(&lab.home.path().join("guest"), &["zygote", "deaf"]);
        deaf.env.clear();
        let deaf = lab.sandboxes.zygote(deaf).await?;
        let spec = blank(lab.spec(&["sleep"]));
        let id = spec.id.to_string();
        let error = deaf.park(spec).await.err().context("something came")?;
        ensure!(error.to_string().contains("zygote's fork"), "{error}");
        wait_until("the cgroup is gone", || cgroups(&id) == 0)
    })
}
