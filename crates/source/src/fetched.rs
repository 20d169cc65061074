//! Where a function's files come from: a directory, a file, an archive, standard input or a git repository.
//!
//! Whatever is not a directory or a file of this machine is unpacked into a directory of its own first, within bounds, and
//! then goes the way of all directories.

mod archive;
mod git;
mod zip_names;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use faas_config::{EntryKind, IgnoreRules, SourceDir};

use crate::location::{has_manifest, or_here};
use crate::scratch::Scratch;
use faas_terminal::failure::Failure;
use faas_terminal::text::visible;
use git::Repository;

/// What on the command line says where files are.
#[derive(Clone, Debug, Default, Args)]
pub struct SourceArgs {
    /// A directory, a single file, an archive (zip, tar, tar.gz), - for one on standard input, or git+URL@REF#DIR [default:
    /// .]
    pub path: Option<PathBuf>,
    /// A git repository: https, ssh or file
    #[arg(long, value_name = "URL", conflicts_with = "path")]
    git: Option<String>,
    /// A branch, a tag or a commit of it [default: its HEAD]
    #[arg(long = "ref", value_name = "REF", requires = "git")]
    reference: Option<String>,
    /// A directory of it
    #[arg(long, value_name = "DIR", requires = "git")]
    subdir: Option<String>,
}

/// Files on this machine. What was unpacked is gone when it is dropped.
#[derive(Debug)]
pub struct FetchedSource {
    /// The directory or file.
    pub path: PathBuf,
    /// Where they came from, for people; `None` when they lie where they were named.
    pub origin: Option<String>,
    unpacked: Option<Scratch>,
}

// === impl FetchedSource ===

impl FetchedSource {
    /// Brings the files of a function here.
    pub fn fetch(args: SourceArgs) -> anyhow::Result<Self> {
        let mut source = Self::fetch_whole(args)?;
        if source.unpacked.is_some() {
            let only = single_directory(&source.path).map_err(|error| source.named(&error))?;
            source.path = only.unwrap_or(source.path);
        }
        Ok(source)
    }

    /// Brings files here as they lie, also where all are in one directory.
    pub fn fetch_whole(args: SourceArgs) -> anyhow::Result<Self> {
        let SourceArgs { path, git, reference, subdir } = args;
        if let Some(url) = git {
            return Self::cloned(&Repository::new(&url, reference.as_deref(), subdir.as_deref())?);
        }
        let path = or_here(path);
        match path.to_str() {
            Some("-") => Self::unpacked("standard input", archive::unpack_stdin),
            Some(text) if text.starts_with("git+") => Self::cloned(&Repository::parse(text)?),
            _ if path.is_file() && archive::is_meant(&path) => {
                let origin = path.display().to_string();
                Self::unpacked(&origin, |dir| archive::unpack_file(&path, dir))
            }
            Some(text) if git::is_repository(text) && !path.exists() => Err(git::bare(text).into()),
            _ => Ok(Self { path, origin: None, unpacked: None }),
        }
    }

    /// Names files by what the command line said, in place of the directory that they were unpacked into.
    pub fn named(&self, error: &anyhow::Error) -> Failure {
        let mut failure = Failure::from_error(error);
        let (Some(origin), Some(dir)) = (&self.origin, &self.unpacked) else { return failure };
        let dir = visible(&dir.path().display().to_string());
        let named = |text: &str| text.replace(&dir, &visible(origin));
        failure.message = named(&failure.message);
        failure.details = failure.details.iter().map(|line| named(line)).collect();
        failure.hint = failure.hint.as_deref().map(named);
        failure
    }

    fn cloned(repository: &Repository) -> anyhow::Result<Self> {
        let scratch = scratch()?;
        let tar = repository.fetch(scratch.path())?;
        Self::unpacked(&repository.to_string(), |dir| archive::unpack_file(&tar, dir))
    }

    fn unpacked(origin: &str, unpack: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<Self> {
        let dir = scratch()?;
        let path = dir.path().to_owned();
        let source = Self { path, origin: Some(origin.to_owned()), unpacked: Some(dir) };
        unpack(&source.path).map_err(|error| source.named(&error))?;
        Ok(source)
    }
}

/// Whether a file is an archive, or is named as one.
pub fn is_archive(path: &Path) -> bool {
    archive::is_meant(path)
}

fn scratch() -> anyhow::Result<Scratch> {
    Scratch::new().context("cannot make a directory to unpack into")
}

/// Archives often hold everything in one directory, named after the project.
fn single_directory(root: &Path) -> anyhow::Result<Option<PathBuf>> {
    if has_manifest(root)? {
        return Ok(None);
    }
    // Files that are never uploaded do not count when the function's directory is looked for.
    let rules = IgnoreRules::new("")?;
    let mut entries = SourceDir::open(root)?.entries()?;
    entries.retain(|entry| !rules.ignores(Path::new(&entry.name), entry.kind == EntryKind::Directory));
    match &entries[..] {
        [] => Err(Failure::usage("there is not a single file in it").into()),
        [only] if only.kind == EntryKind::Directory => Ok(Some(root.join(&only.name))),
        _ => Ok(None),
    }
}
