//! Makes layers from this test program and opens sandboxes over them.

use std::fs::{self, File, Permissions};
use std::future::Future;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use faas_ports::{LayerMount, OpenSandbox, SandboxExit, SandboxLimits, SandboxSpec, Sandboxes, Zygote};
use faas_sandbox::{LinuxSandboxes, SandboxConfig, SpawnerCommand};
use faas_types::{IsolationLevel, NetworkMode, SandboxId, Timestamp};
use parking_lot::Mutex;

use crate::ways::{self, Way};

/// No check takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sandboxes on a directory of their own.
pub(crate) struct Lab {
    runtime: tokio::runtime::Runtime,
    pub(crate) sandboxes: LinuxSandboxes,
    pub(crate) home: tempfile::TempDir,
    way: Way,
    /// Alive as long as the laboratory.
    zygotes: Mutex<Vec<Arc<dyn Zygote>>>,
}

/// What a guest has done.
pub(crate) struct Outcome {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) exit: SandboxExit,
}

// === impl Lab ===

impl Lab {
    pub(crate) fn new() -> Result<Self> {
        Self::with(config)
    }

    /// One whose sandboxes are plain processes.
    pub(crate) fn plain() -> Result<Self> {
        Self::with(|home| {
            let mut settings = config(home);
            settings.level_max = IsolationLevel::Process;
            settings.unsafe_no_isolation = true;
            settings
        })
    }

    pub(crate) fn with(settings: impl FnOnce(&Path) -> SandboxConfig) -> Result<Self> {
        let home = tempfile::tempdir()?;
        make_guest_layer(&home.path().join("guest"))?;
        let runtime = tokio::runtime::Runtime::new()?;
        let sandboxes = runtime.block_on(LinuxSandboxes::start(settings(home.path())))?;
        Ok(Self { runtime, sandboxes, home, way: Way::Opened, zygotes: Mutex::default() })
    }

    /// The same, whose sandboxes come to be in another way.
    pub(crate) fn going(self, way: Way) -> Self {
        Self { way, ..self }
    }

    pub(crate) fn way(&self) -> Way {
        self.way
    }

    pub(crate) fn keep(&self, zygote: Arc<dyn Zygote>) {
        self.zygotes.lock().extend([zygote]);
    }

    /// Opens a sandbox in this laboratory's way.
    pub(crate) async fn open(&self, spec: SandboxSpec) -> Result<OpenSandbox> {
        ways::open(self, self.way, spec).await
    }

    pub(crate) fn level(&self) -> IsolationLevel {
        self.sandboxes.report().level
    }

    /// Whether cgroups limit the tree; says so when not.
    pub(crate) fn has_cgroups(&self, check: &str) -> bool {
        let full = self.level() == IsolationLevel::Full;
        if !full {
            println!("    not checked at level {}: {check}", self.level());
        }
        full
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.context("took too long")? })
    }

    /// A sandbox in which this program plays a guest.
    pub(crate) fn spec(&self, arguments: &[&str]) -> SandboxSpec {
        guest_spec(&self.home.path().join("guest"), arguments)
    }

    /// The same, accepting a plain process.
    pub(crate) fn plain_spec(&self, arguments: &[&str]) -> SandboxSpec {
        SandboxSpec { min_isolation: IsolationLevel::Process, ..self.spec(arguments) }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        self.run_spec(self.spec(arguments))
    }

    pub(crate) fn run_spec(&self, spec: SandboxSpec) -> Result<Outcome> {
        self.block_on(async {
            let sandbox = self.open(spec).await?;
            finish(sandbox).await
        })
    }
}

pub(crate) fn config(home: &Path) -> SandboxConfig {
    SandboxConfig::new(home.join("data"), SpawnerCommand::this_program("__spawner"))
}

pub(crate) fn guest_spec(root: &Path, arguments: &[&str]) -> SandboxSpec {
    let mut argv = vec!["/bin/guest".to_owned(), "__guest".to_owned()];
    argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    SandboxSpec {
        id: new_id(),
        root: root.to_owned(),
        mounts: Vec::<LayerMount>::new(),
        argv,
        env: vec![("GREETING".to_owned(), "hi".to_owned())],
        cwd: PathBuf::from("/"),
        limits: SandboxLimits {
            memory_bytes: 64 << 20,
            cpu_millis: 1000,
            pids: 24,
            tmp_bytes: 1 << 20,
            open_files: 64,
        },
        network: NetworkMode::None,
        port_forward: false,
        min_isolation: IsolationLevel::Partial,
    }
}

fn new_id() -> SandboxId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let entropy = u128::from(std::process::id()) << 32 | u128::from(NEXT.fetch_add(1, Ordering::Relaxed));
    SandboxId::mint(Timestamp::from_millis(1_700_000_000_000), entropy)
}

pub(crate) async fn finish(sandbox: OpenSandbox) -> Result<Outcome> {
    let read = |fd| {
        tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            File::from(fd).read_to_string(&mut text).map(|_| text)
        })
    };
    let OpenSandbox { channel, stdout, stderr, control, network } = sandbox;
    let (stdout, stderr) = (read(stdout), read(stderr));
    let exit = control.wait().await;
    drop((channel, network));
    Ok(Outcome { stdout: stdout.await??, stderr: stderr.await??, exit })
}

/// Waits for a state; the pause only saves work.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        if Instant::now() > deadline {
            bail!("{what}: still not");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Copies this program and the libraries it has loaded; the dynamic linker goes where programs look for it.
fn make_guest_layer(root: &Path) -> Result<()> {
    make_skeleton(root)?;
    for name in ["bin", "lib", "lib/x86_64-linux-gnu", "lib64"] {
        make_directory(&root.join(name))?;
    }
    fs::copy(std::env::current_exe()?, root.join("bin/guest"))?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    let mut libraries: Vec<&str> = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).collect();
    libraries.retain(|path| path.contains(".so"));
    libraries.dedup();
    for library in libraries {
        let name = Path::new(library).file_name().context("a library has a name")?;
        let loader = name.to_string_lossy().starts_with("ld-linux");
        fs::copy(library, root.join(if loader { "lib64" } else { "lib/x86_64-linux-gnu" }).join(name))?;
    }
    Ok(())
}

/// What every root layer has.
pub(crate) fn make_skeleton(root: &Path) -> Result<()> {
    for name in ["", "proc", "dev", "tmp"] {
        make_directory(&root.join(name))?;
    }
    Ok(())
}

pub(crate) fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    Ok(())
}
