//! How the sandboxes of one server are set up.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use faas_types::IsolationLevel;

/// Settings of [`LinuxSandboxes`](crate::LinuxSandboxes).
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// The server's data directory, locked against a second server. Its identity names the cgroups, so that a start
    /// finds what a killed server left; the throwaway sandboxes of the probes have their root below it.
    pub data_dir: PathBuf,
    /// Starts the spawner process.
    pub spawner: SpawnerCommand,
    /// Starts the process of functions' network, which the probes try, too; where there is one.
    pub network: Option<SpawnerCommand>,
    /// Whether plain processes may stand in for sandboxes where the machine cannot confine.
    pub unsafe_no_isolation: bool,
    /// The strongest level to use. Below `Full` only in tests, of what happens where a machine offers less.
    pub level_max: IsolationLevel,
}

/// The program that becomes the spawner: it must call [`spawner_main`](crate::spawner_main) before anything else when
/// started with these arguments. The same for the process of functions' network and
/// [`network_main`](crate::network_main).
#[derive(Clone, Debug)]
pub struct SpawnerCommand {
    /// The program's path.
    pub program: PathBuf,
    /// Its arguments, without the name.
    pub args: Vec<String>,
}

// === impl SandboxConfig ===

impl SandboxConfig {
    /// The usual settings.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, spawner: SpawnerCommand) -> Self {
        Self {
            data_dir: data_dir.into(),
            spawner,
            network: None,
            unsafe_no_isolation: false,
            level_max: IsolationLevel::Full,
        }
    }
}

// === impl SpawnerCommand ===

impl SpawnerCommand {
    /// The running program itself, also after its file was replaced by an upgrade.
    #[must_use]
    pub fn this_program(argument: &str) -> Self {
        Self { program: running_program(), args: vec![argument.to_owned()] }
    }
}

/// The file that runs, whatever its path names by now. Where another program runs it, as valgrind does, that link leads to
/// the other one, and only the text of the link to this.
fn running_program() -> PathBuf {
    const RUNNING: &str = "/proc/self/exe";
    let identity = |path: &Path| path.metadata().map(|file| (file.dev(), file.ino())).ok();
    match std::env::current_exe() {
        Ok(named) if identity(&named).is_some_and(|file| identity(Path::new(RUNNING)) != Some(file)) => named,
        _ => PathBuf::from(RUNNING),
    }
}
