//! Lays the files of a bundle out in a draft.
//!
//! Paths come from outside. They have been checked by `Bundle::validate`; here the kernel holds every one of them below
//! the draft once more, whatever links it finds on the way.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use faas_ports::{PortError, PortResult};
use faas_types::BundleFile;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;

use crate::layer_draft::LayerDraft;

const BELOW: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A draft that takes files one by one.
#[derive(Debug)]
pub(crate) struct BundleDraft {
    draft: LayerDraft,
    root: OwnedFd,
    directories: HashSet<String>,
}

// === impl BundleDraft ===

impl BundleDraft {
    pub(crate) fn begin(draft: LayerDraft) -> PortResult<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = openat2(CWD, draft.path(), flags, Mode::empty(), ResolveFlags::empty())
            .map_err(|error| PortError::io("cannot open the draft of a layer", error.into()))?;
        Ok(Self { draft, root, directories: HashSet::new() })
    }

    /// Writes one file. Gives the draft back only when that went well.
    pub(crate) fn write(mut self, file: &BundleFile, bytes: &[u8]) -> PortResult<Self> {
        self.place(file, bytes).map_err(|error| match Errno::from_io_error(&error) {
            // What `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS` and `O_EXCL` answer.
            Some(Errno::XDEV | Errno::LOOP | Errno::EXIST | Errno::NOTDIR) => {
                PortError::Invalid(format!("the bundle path `{}` leaves its tree or is there twice", file.path))
            }
            _ => PortError::io("cannot lay out a bundle", error),
        })?;
        Ok(self)
    }

    pub(crate) fn finish(self) -> LayerDraft {
        self.draft
    }

    fn place(&mut self, file: &BundleFile, bytes: &[u8]) -> std::io::Result<()> {
        for (end, _) in file.path.match_indices('/') {
            self.directory(&file.path[..end])?;
        }
        let mode = Mode::from_raw_mode(if file.executable { 0o755 } else { 0o644 });
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut placed = File::from(openat2(&self.root, &file.path, flags, mode, BELOW)?);
        placed.write_all(bytes)
    }

    fn directory(&mut self, path: &str) -> std::io::Result<()> {
        if self.directories.contains(path) {
            return Ok(());
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = openat2(&self.root, parent, flags, Mode::empty(), BELOW)?;
        mkdirat(parent, name, Mode::RWXU)?;
        self.directories.insert(path.to_owned());
        Ok(())
    }
}
