//! Finds out what this machine enforces, by trying it in a throwaway sandbox.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use faas_ports::{NetworkProcesses, OpenSandbox, PortError, PortResult};
use faas_types::{Feature, IsolationLevel, IsolationReport, NetworkMode, Probe};

use crate::cgroup::{Controller, Layout};
use crate::child::Finding;
use crate::config::{SandboxConfig, SpawnerCommand};
use crate::launch::launch;
use crate::limits::Limits;
use crate::network_process::LinuxNetworkProcesses;
use crate::probe_targets::ProbeTargets;
use crate::problem::{OpenError, Step};
use crate::spawner_client::SpawnerClient;
use crate::spawner_protocol::{Confinement, OpenRequest, Program};
use crate::sys;

/// All attempts together must end within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Small enough that running into each takes milliseconds.
const LIMITS: Limits = Limits {
    memory_bytes: 24 << 20,
    cpu_millis: 500,
    cpu_period_us: 10_000,
    pids: 12,
    tmp_bytes: 128 << 10,
    open_files: 32,
};

/// Runs the probes.
pub(crate) async fn examine(link: &SpawnerClient, config: &SandboxConfig) -> PortResult<IsolationReport> {
    let root =
        ProbeRoot::make(&config.data_dir).map_err(|error| PortError::io("making the root of the probes", error))?;
    let targets = targets(&root).map_err(|error| PortError::io("reading our own namespaces", error))?;
    let request = OpenRequest {
        request: 0,
        name: "probe".to_owned(),
        root: root.path.clone(),
        mounts: Vec::new(),
        confinement: Confinement::Sandbox,
        program: Program::Probe(targets),
        cwd: PathBuf::from("/"),
        limits: LIMITS,
        network: NetworkMode::None,
        port_forward: false,
        parked: false,
    };
    let network = egress(link, request.clone(), config.network.clone());
    let (mut outcome, network) = tokio::join!(attempt(link, request.clone()), network);
    if let Err(error) = &outcome
        && !is_a_lack(error)
    {
        // A machine that lacks something says so with one of a few errors. Anything else may be a passing trouble,
        // and a level that is too low holds for the server's whole life.
        tracing::warn!(%error, "probing for isolation failed unexpectedly; it is tried once more");
        outcome = attempt(link, OpenRequest { name: "probe-again".to_owned(), ..request }).await;
    }
    let mut probes = match outcome {
        Ok(findings) => judge(&findings, &link.layout),
        Err(error) => {
            tracing::warn!(%error, "no sandbox can be opened on this machine");
            impossible(&error)
        }
    };
    probes.extend([network, landlock()]);
    let report = IsolationReport::from_probes(probes);
    Ok(IsolationReport { level: report.level.min(config.level_max), ..report })
}

async fn attempt(link: &SpawnerClient, request: OpenRequest) -> Result<Vec<Finding>, OpenError> {
    let probing = async {
        let sandbox = launch(link, request, IsolationLevel::Process).await?;
        Ok(collect(sandbox).await?)
    };
    let late = || PortError::failed("probing", "the throwaway sandbox does not end");
    tokio::time::timeout(PATIENCE, probing).await.map_err(|_| late())?
}

/// Whether a sandbox can have a network: opens one that has a device, whose program tries nothing, and starts the process
/// that speaks for it.
async fn egress(link: &SpawnerClient, request: OpenRequest, process: Option<SpawnerCommand>) -> Probe {
    let Program::Probe(targets) = request.program else { unreachable!("a probe's request runs a probe") };
    let program = Program::Probe(ProbeTargets { features: Vec::new(), ..targets });
    let request = OpenRequest { name: "probe-network".to_owned(), program, network: NetworkMode::Egress, ..request };
    let probing = tokio::time::timeout(PATIENCE, launch(link, request, IsolationLevel::Process)).await;
    let outcome = probing.unwrap_or_else(|_| Err(PortError::failed("probing", "it does not end").into()));
    let (enforced, detail, fix) = match outcome {
        Ok(sandbox) => {
            drop(sandbox.network);
            sandbox.control.wait().await;
            match speaker(process).await {
                Ok(()) => (true, "functions with network = \"egress\" get a device".to_owned(), None),
                Err(error) => (false, error.to_string(), Some(PROCESS_FIX.to_owned())),
            }
        }
        Err(error) => (false, error.to_string(), Some(network_fix(&error).to_owned())),
    };
    Probe { feature: Feature::Egress, enforced, detail, fix }
}

/// Starts that process, and lets it end.
async fn speaker(process: Option<SpawnerCommand>) -> PortResult<()> {
    let Some(command) = process else { return Ok(()) };
    let starting = tokio::task::spawn_blocking(move || LinuxNetworkProcesses::new(command).start().map(drop));
    starting.await.map_err(|error| PortError::failed("probing", error))?
}

const PROCESS_FIX: &str =
    "let the server's user make user namespaces, and use a kernel with seccomp: see the features above";

fn network_fix(error: &OpenError) -> &'static str {
    match error {
        OpenError::Problem(problem) if problem.step != Step::Network => {
            "functions must be confined first: see the features above"
        }
        OpenError::Problem(problem) if problem.errno == libc::EACCES => {
            "let the server's user open it: `chmod 0666 /dev/net/tun` (a udev rule keeps that over restarts), or run the \
             server as root"
        }
        _ => "load the kernel's module: `modprobe tun`; in a container, start it with `--device /dev/net/tun`",
    }
}

/// Whether the kernel or the machine's configuration refuses what a sandbox needs.
fn is_a_lack(error: &OpenError) -> bool {
    use libc::{EACCES, EINVAL, ENODEV, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM, EROFS, EUSERS};
    let OpenError::Problem(problem) = error else { return false };
    // No space: the number of namespaces is limited.
    [EACCES, EINVAL, ENODEV, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM, EROFS, EUSERS].contains(&problem.errno)
}

async fn collect(sandbox: OpenSandbox) -> PortResult<Vec<Finding>> {
    let OpenSandbox { stdout, control, .. } = sandbox;
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        File::from(stdout).read_to_string(&mut text).map(|_| text)
    });
    let exit = control.wait().await;
    let text = reading.await.map_err(io::Error::from).and_then(|outcome| outcome);
    let text = text.map_err(|error| PortError::io("reading the probes", error))?;
    let findings: Result<Vec<Finding>, _> = text.lines().map(serde_json::from_str).collect();
    match findings {
        Ok(findings) if findings.len() == Feature::CONFINING.len() => Ok(findings),
        _ => Err(PortError::failed("probing", format!("the throwaway sandbox ended early: {exit:?}"))),
    }
}

fn targets(root: &ProbeRoot) -> io::Result<ProbeTargets> {
    let names = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
    let link = |name: &str| Ok((name.to_owned(), fs::read_link(format!("/proc/self/ns/{name}"))?));
    Ok(ProbeTargets {
        namespaces: names.into_iter().map(link).collect::<io::Result<_>>()?,
        host_file: root.path.clone(),
        host_pid: std::process::id().cast_signed(),
        user: rustix::process::geteuid().as_raw(),
        features: Feature::CONFINING.to_vec(),
    })
}

/// Combines what was tried inside with what the cgroup hierarchies offer.
fn judge(findings: &[Finding], layout: &Layout) -> Vec<Probe> {
    findings.iter().map(|finding| judge_one(finding, layout)).collect()
}

fn judge_one(finding: &Finding, layout: &Layout) -> Probe {
    let feature = finding.feature;
    let missing = controller(feature).filter(|controller| !layout.has(*controller));
    let (enforced, detail) = match (&finding.outcome, missing) {
        // Chance, or another limit: without the controller nothing bounds the tree as a whole.
        (_, Some(controller)) => (false, layout.obstacle(controller).to_owned()),
        (Ok(seen), None) => (true, seen.clone()),
        (Err(fault), None) => (false, fault.clone()),
    };
    Probe { feature, enforced, detail, fix: (!enforced).then(|| fix(feature).to_owned()) }
}

fn controller(feature: Feature) -> Option<Controller> {
    match feature {
        Feature::CgroupMemory => Some(Controller::Memory),
        Feature::CgroupPids => Some(Controller::Pids),
        Feature::CgroupCpu => Some(Controller::Cpu),
        _ => None,
    }
}

/// When no sandbox can be opened, nothing holds. One feature is to blame; the others could not be tried.
fn impossible(error: &OpenError) -> Vec<Probe> {
    let culprit = match error {
        OpenError::Problem(problem) => culprit(problem.step),
        OpenError::Port(_) => Feature::UserNamespace,
    };
    let probe = |feature| {
        let blamed = feature == culprit;
        let detail = if blamed { error.to_string() } else { format!("not tried: {error}") };
        Probe { feature, enforced: false, detail, fix: blamed.then(|| fix(feature).to_owned()) }
    };
    Feature::CONFINING.into_iter().map(probe).collect()
}

fn culprit(step: Step) -> Feature {
    match step {
        Step::CreateCgroup | Step::JoinCgroup => Feature::CgroupMemory,
        Step::CgroupNamespace => Feature::CgroupNamespace,
        Step::HostName => Feature::UtsNamespace,
        Step::Loopback => Feature::NetNamespace,
        Step::Layers | Step::Root | Step::Devices | Step::Pivot => Feature::MountNamespace,
        Step::Proc => Feature::MaskedProc,
        Step::Tmp => Feature::PrivateTmp,
        Step::Privileges => Feature::NoPrivileges,
        Step::Seccomp => Feature::Seccomp,
        Step::Limits => Feature::Rlimits,
        _ => Feature::UserNamespace,
    }
}

/// What helper programs are kept from, besides what their limits and lost capabilities do.
fn landlock() -> Probe {
    let (enforced, detail) = match sys::landlock_version() {
        Ok(version @ ..4) => (true, format!("version {version}: files; TCP ports need Linux 6.7")),
        Ok(version) => (true, format!("version {version}: files and TCP ports")),
        Err(error) => (false, format!("git and other helpers can read what the server's user can: {error}")),
    };
    Probe { feature: Feature::Landlock, enforced, detail, fix: (!enforced).then(|| fix(Feature::Landlock).to_owned()) }
}

fn fix(feature: Feature) -> &'static str {
    match feature {
        Feature::CgroupMemory | Feature::CgroupPids | Feature::CgroupCpu | Feature::CgroupNamespace => {
            "run the server as root, or as a systemd service with `Delegate=yes`, on a machine whose kernel has the \
             memory, pids and cpu controllers"
        }
        Feature::HostUser => "run the server as root: each sandbox is another user of the host then",
        Feature::Landlock => {
            "use Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK and `landlock` in the `lsm=` list of the kernel's command \
             line; in a container, start it with a seccomp profile that allows landlock_create_ruleset"
        }
        Feature::Seccomp => "use a kernel with CONFIG_SECCOMP_FILTER",
        Feature::MaskedProc => {
            "run outside of a container, or in one whose /proc is not masked (Docker: \
             `--security-opt systempaths=unconfined`)"
        }
        _ => {
            "allow user namespaces: `sysctl user.max_user_namespaces=10000`; on Debian and Ubuntu also \
             `kernel.unprivileged_userns_clone=1` and `kernel.apparmor_restrict_unprivileged_userns=0`; in a \
             container, start it with a seccomp profile that allows clone, unshare and mount"
        }
    }
}

/// A root layer with nothing in it; removed when dropped.
struct ProbeRoot {
    path: PathBuf,
}

impl ProbeRoot {
    fn make(data_dir: &Path) -> io::Result<Self> {
        let made = Self { path: data_dir.canonicalize()?.join("probe-root") };
        for name in ["", "proc", "dev", "tmp"] {
            let directory = made.path.join(name);
            fs::create_dir_all(&directory)?;
            fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
        }
        Ok(made)
    }
}

impl Drop for ProbeRoot {
    fn drop(&mut self) {
        // Empty directories that are left serve the next start.
        let _ = fs::remove_dir_all(&self.path);
    }
}
