//! The bare repositories that pushes go to.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use faas_ports::HelperRules;
use faas_types::{Code, Fault, FunctionName, ProjectId};
use tokio::process::Command;

use crate::git::leftovers;
use crate::git::remote::GitRemote;

const HOOK: &str = include_str!("pre-receive.sh");
/// The attributes of every file, whatever a commit says of them: files come out as they were committed, and no program is
/// run on them. This file of the repository goes before a commit's own.
const ATTRIBUTES: &str =
    "* !text !eol !ident !filter !working-tree-encoding !export-subst !export-ignore !diff !merge\n";
/// git's settings. What a pack unfolds to is bounded by the helper's memory; these keep an honest one well below it.
const SETTINGS: [(&str, &str); 13] = [
    ("core.symlinks", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.protectNTFS", "true"),
    ("core.protectHFS", "true"),
    ("core.bigFileThreshold", "16m"),
    ("core.deltaBaseCacheLimit", "16m"),
    ("pack.threads", "1"),
    ("core.logAllRefUpdates", "false"),
    ("protocol.allow", "never"),
    ("submodule.recurse", "false"),
    ("gc.auto", "0"),
];
/// What a helper ends with where its program is not there.
const NOT_FOUND: i32 = 127;
/// The longest putting together of packs.
const TIDYING: Duration = Duration::from_secs(120);
/// Puts all packs together without what no branch and no tag leads to. Of a large one, git makes several.
const REPACK: [&str; 7] = ["repack", "-a", "-d", "-q", "--window=0", "--max-pack-size=256m", "--no-write-bitmap-index"];

/// The repository of one function.
#[derive(Clone, Debug)]
pub(super) struct Repository {
    pub(super) path: PathBuf,
    /// The directory of the hooks.
    pub(super) hooks: PathBuf,
}

// === impl Repository ===

impl Repository {
    /// A repository that may not be there yet.
    pub(super) fn at(remote: &GitRemote, path: PathBuf) -> Self {
        Self { path, hooks: remote.settings.dir.join("hooks") }
    }

    /// Finds the repository, or makes it. The caller has the turn to change it.
    pub(super) async fn open(remote: &GitRemote, project: ProjectId, function: &FunctionName) -> Result<Self, Fault> {
        let repository = Self::at(remote, remote.path_of(project, function));
        let made = repository.clone();
        let is_there = tokio::task::spawn_blocking(move || made.prepare()).await;
        let is_there =
            is_there.map_err(|error| Fault::internal(error.to_string()))?.map_err(|error| unusable(&error))?;
        if !is_there {
            repository.create(remote).await?;
        }
        Ok(repository)
    }

    /// Whether it is made. The file comes last: what a crash left half-made is made again.
    pub(super) fn is_there(&self) -> bool {
        self.path.join("ready").exists()
    }

    /// Puts packs together. What that costs is paid by the push that makes it necessary.
    pub(super) async fn tidy(&self, remote: &GitRemote) -> Result<(), Fault> {
        let mut git = self.git(remote, None);
        git.args(REPACK).stdin(Stdio::null()).stdout(Stdio::null());
        let ended = tokio::time::timeout(TIDYING, git.status()).await;
        let status = ended.map_err(|_| Fault::internal("git takes too long"))?.map_err(|error| unusable(&error))?;
        ended_well(status, "git could not put packs together")
    }

    /// Lays in the hook and the directories; answers whether the repository is there.
    fn prepare(&self) -> io::Result<bool> {
        let parent = self.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        for dir in [self.hooks.as_path(), parent] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let hook = self.hooks.join("pre-receive");
        if fs::read(&hook).ok().as_deref() != Some(HOOK.as_bytes()) {
            write_whole(&hook, HOOK)?;
        }
        let is_there = self.is_there();
        let attributes = self.path.join("info").join("attributes");
        if is_there && fs::read(&attributes).ok().as_deref() != Some(ATTRIBUTES.as_bytes()) {
            self.lay_in_attributes()?;
        }
        leftovers::sweep_repository(&self.path);
        Ok(is_there)
    }

    fn lay_in_attributes(&self) -> io::Result<()> {
        let info = self.path.join("info");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&info)?;
        write_whole(&info.join("attributes"), ATTRIBUTES)
    }

    pub(super) async fn create(&self, remote: &GitRemote) -> Result<(), Fault> {
        // What git makes below a directory is all that it may write.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(|error| unusable(&error))?;
        let words = ["init", "--quiet", "--bare", "--template=", "--initial-branch=main"];
        let mut git = self.git(remote, None);
        let status = git.args(words).arg(&self.path).stdin(Stdio::null()).stdout(Stdio::null()).status().await;
        ended_well(status.map_err(|error| unusable(&error))?, "git could not make a repository")?;
        self.lay_in_attributes()
            .and_then(|()| write_whole(&self.path.join("ready"), ""))
            .map_err(|error| unusable(&error))
    }

    /// A git that reads nobody's settings, confined to this repository and a scratch directory.
    pub(super) fn git(&self, remote: &GitRemote, scratch: Option<&Path>) -> Command {
        let rules = HelperRules {
            read: vec![self.hooks.clone(), remote.settings.program.clone()],
            write: scratch.map(Path::to_owned).into_iter().chain([self.path.clone()]).collect(),
            connect: remote.port(),
        };
        let mut command = Command::new(&remote.settings.program);
        command.args(rules.words()).arg("git").current_dir(&self.path);
        clear_environment(&mut command);
        command.stderr(Stdio::null()).kill_on_drop(true);
        command
    }
}

fn clear_environment(command: &mut Command) {
    command.env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
    command.env("HOME", "/nonexistent").env("LC_ALL", "C.UTF-8");
    // What a later git would choose otherwise: the first locks clients out, the second is not what is looked at here.
    command.env("GIT_DEFAULT_HASH", "sha1").env("GIT_DEFAULT_REF_FORMAT", "files");
    // In the environment, which the hook's own git inherits.
    command.env("GIT_CONFIG_COUNT", SETTINGS.len().to_string());
    for (index, (key, value)) in SETTINGS.into_iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{index}"), key).env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
}

/// Turns how git ended into a fault.
pub(super) fn ended_well(status: ExitStatus, otherwise: &str) -> Result<(), Fault> {
    match status.code() {
        Some(0) => Ok(()),
        Some(NOT_FOUND) => Err(unusable(&io::ErrorKind::NotFound.into())),
        _ => Err(Fault::internal(otherwise)),
    }
}

pub(super) fn unusable(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound => Fault::new(Code::NotImplemented, "this server has no git")
            .with_command_hint("install git on the server, or deploy with `faas deploy`"),
        io::ErrorKind::StorageFull => Fault::new(Code::StorageFull, "the disk of the data directory is full"),
        _ => Fault::internal(format!("git cannot be used: {error}")),
    }
}

/// An executable file with this text, whole or not at all.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o700).open(&draft)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    drop(file);
    fs::rename(&draft, path)
}
