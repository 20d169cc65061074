//! Programs without a sandbox, as on a machine that can confine nothing.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use faas_ports::{LayerMount, PortError, Sandboxes};
use faas_types::IsolationLevel;

use crate::Check;
use crate::confinement::{INSIDE_PORT, answering};
use crate::endings::{first_line, kill, processes, spawners};
use crate::lab::{Lab, config, finish, make_directory, wait_until};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("plain_processes_want_the_flag", plain_processes_want_the_flag),
    ("plain_paths_are_the_hosts", plain_paths_are_the_hosts),
    ("plain_processes_are_told_apart", plain_processes_are_told_apart),
    ("plain_programs_are_reached_on_the_host", plain_programs_are_reached_on_the_host),
    ("plain_trees_end", plain_trees_end),
    ("plain_trees_end_with_the_spawner", plain_trees_end_with_the_spawner),
];

fn plain_processes_want_the_flag(lab: &Lab) -> Result<()> {
    for (permitted, min_isolation) in [(false, IsolationLevel::Process), (true, IsolationLevel::Partial)] {
        let refusing = Lab::with(|home| {
            let mut settings = config(home);
            settings.level_max = IsolationLevel::Process;
            settings.unsafe_no_isolation = permitted;
            settings
        })?;
        let mut spec = lab.spec(&["exit", "0"]);
        spec.min_isolation = min_isolation;
        refusing.block_on(async {
            match refusing.sandboxes.open(spec).await {
                Err(PortError::Isolation(_)) => Ok(()),
                _ => bail!("a plain process was started: permitted {permitted}, wanted {min_isolation}"),
            }
        })?;
    }
    Ok(())
}

fn plain_programs_are_reached_on_the_host(_: &Lab) -> Result<()> {
    let lab = Lab::plain()?;
    lab.block_on(async {
        let spec = lab.plain_spec(&["answer", &INSIDE_PORT.to_string()]);
        let sandbox = answering(&lab, spec, true).await?;
        sandbox.control.connect(INSIDE_PORT).await?;
        Ok(())
    })
}

fn plain_paths_are_the_hosts(_: &Lab) -> Result<()> {
    let lab = Lab::plain()?;
    let layer = lab.home.path().join("app");
    make_directory(&layer.join("inner"))?;
    fs::write(layer.join("inner/main.py"), "print(1)")?;
    let mut spec = lab.plain_spec(&["list", "."]);
    spec.mounts = vec![LayerMount { source: layer, target: "/app".into() }];
    spec.cwd = "/app/inner".into();
    ensure!(lab.run_spec(spec.clone())?.stdout == "main.py\n");
    spec.argv = ["/bin/guest", "__guest", "cat", "/app/inner/main.py"].map(str::to_owned).to_vec();
    ensure!(lab.run_spec(spec.clone())?.stdout.ends_with("/app/inner/main.py: print(1)\n"));
    spec.argv = ["/bin/guest", "__guest", "environment"].map(str::to_owned).to_vec();
    spec.env = vec![("PATH".to_owned(), "/bin:/app".to_owned())];
    let home = lab.home.path().display().to_string();
    let stdout = lab.run_spec(spec)?.stdout;
    ensure!(stdout == format!("PATH={home}/guest/bin:{home}/app\n"), "{stdout}");
    Ok(())
}

fn plain_processes_are_told_apart(_: &Lab) -> Result<()> {
    let lab = Lab::plain()?;
    let run = |arguments: &[&str]| lab.run_spec(lab.plain_spec(arguments));
    let exit = run(&["exit", "7"])?.exit;
    ensure!((exit.code, exit.signal) == (Some(7), None), "{exit:?}");
    let exit = run(&["raise", &libc::SIGSEGV.to_string()])?.exit;
    ensure!((exit.code, exit.signal) == (None, Some(libc::SIGSEGV)), "{exit:?}");
    let files = run(&["list", "/proc/self/fd"])?.stdout;
    ensure!(files == "0 1 2 3 4\n", "{files}");
    let status = run(&["cat", "/proc/self/status"])?.stdout;
    ensure!(status.contains("NoNewPrivs:\t1"), "{status}");
    let mut spec = lab.plain_spec(&[]);
    spec.argv = vec!["/bin/absent".to_owned()];
    ensure!(matches!(lab.block_on(async { Ok(lab.sandboxes.open(spec).await) })?, Err(PortError::Invalid(_))));
    lab.block_on(async {
        let sandbox = lab.sandboxes.open(lab.plain_spec(&["exit", "0"])).await?;
        ensure!(sandbox.control.level() == IsolationLevel::Process, "level {}", sandbox.control.level());
        finish(sandbox).await.map(drop)
    })
}

fn plain_trees_end(_: &Lab) -> Result<()> {
    let lab = Lab::plain()?;
    let (killed, neighbour) = ("plain-killed", "plain-neighbour");
    lab.block_on(async {
        let bystander = lab.sandboxes.open(lab.plain_spec(&["hide", neighbour])).await?;
        first_line(&bystander).await?;
        let sandbox = lab.sandboxes.open(lab.plain_spec(&["hide", killed])).await?;
        first_line(&sandbox).await?;
        wait_until("both have hidden three", || processes(killed) == 4 && processes(neighbour) == 4)?;
        sandbox.control.kill();
        let exit = sandbox.control.wait().await;
        ensure!(exit.signal == Some(libc::SIGKILL), "{exit:?}");
        ensure!((processes(killed), processes(neighbour)) == (0, 4), "{} survivors", processes(killed));
        let leaver = lab.sandboxes.open(lab.plain_spec(&["hide-and-exit", killed])).await?;
        let exit = leaver.control.wait().await;
        ensure!(exit.code == Some(0) && processes(killed) == 0, "{exit:?}, {} survivors", processes(killed));
        drop(bystander);
        wait_until("the dropped one is gone", || processes(neighbour) == 0)
    })
}

fn plain_trees_end_with_the_spawner(_: &Lab) -> Result<()> {
    let mark = "plain-spawner";
    let before = spawners(std::process::id());
    let lab = Lab::plain()?;
    let spawner = spawners(std::process::id()).into_iter().find(|pid| !before.contains(pid)).context("no spawner")?;
    lab.block_on(async {
        let sandbox = lab.sandboxes.open(lab.plain_spec(&["hide", mark])).await?;
        first_line(&sandbox).await?;
        wait_until("it has hidden three", || processes(mark) == 4)?;
        kill(spawner);
        sandbox.control.wait().await;
        ensure!(processes(mark) == 0, "{} survivors", processes(mark));
        Ok(())
    })
}
