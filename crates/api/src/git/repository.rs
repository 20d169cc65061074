//! The bare repositories that pushes go to.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use faas_types::{Code, Fault, FunctionName, ProjectId};
use tokio::process::Command;

use crate::git::GitRemote;

const HOOK: &str = include_str!("pre-receive.sh");

/// The repository of one function.
#[derive(Clone, Debug)]
pub(super) struct Repository {
    pub(super) path: PathBuf,
    /// The directory of the hooks.
    pub(super) hooks: PathBuf,
    /// Where pushes lay out their files.
    pub(super) scratch: PathBuf,
}

// === impl Repository ===

impl Repository {
    /// Finds the repository, or makes it.
    pub(super) async fn open(remote: &GitRemote, project: ProjectId, function: &FunctionName) -> Result<Self, Fault> {
        let hooks = remote.dir.join("hooks");
        let path = remote.path_of(project, function);
        let repository = Self { path, hooks, scratch: remote.scratch() };
        let made = repository.clone();
        let is_there = tokio::task::spawn_blocking(move || made.prepare()).await;
        let is_there =
            is_there.map_err(|error| Fault::internal(error.to_string()))?.map_err(|error| unusable(&error))?;
        if !is_there {
            repository.create().await?;
        }
        Ok(repository)
    }

    /// Lays in the hook and the directories; answers whether the repository is there.
    fn prepare(&self) -> io::Result<bool> {
        let parent = self.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        for dir in [&self.hooks, &self.scratch, parent] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let hook = self.hooks.join("pre-receive");
        if fs::read(&hook).ok().as_deref() != Some(HOOK.as_bytes()) {
            write_whole(&hook, HOOK)?;
        }
        // Written last by `git init`: what a crash left half-made is made again.
        Ok(self.path.join("ready").exists())
    }

    async fn create(&self) -> Result<(), Fault> {
        let words = ["init", "--quiet", "--bare", "--template=", "--initial-branch=main"];
        let status = git().args(words).arg(&self.path).stdin(Stdio::null()).stdout(Stdio::null()).status().await;
        if !status.map_err(|error| unusable(&error))?.success() {
            return Err(Fault::internal("git could not make a repository"));
        }
        write_whole(&self.path.join("ready"), "").map_err(|error| unusable(&error))
    }
}

/// A git that reads nobody's settings.
pub(super) fn git() -> Command {
    let mut command = Command::new("git");
    command.env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
    command.env("HOME", "/nonexistent").env("LC_ALL", "C.UTF-8");
    command.stderr(Stdio::null()).kill_on_drop(true);
    command
}

pub(super) fn unusable(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound => Fault::new(Code::NotImplemented, "this server has no git")
            .with_hint("install git on the server, or deploy with `faas deploy`"),
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
