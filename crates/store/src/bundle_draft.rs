//! Lays the files of a bundle out in a draft.
//!
//! Paths come from outside. They have been checked by `Bundle::validate`; here the kernel holds every one of them below
//! the draft once more, whatever links it finds on the way.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use bytes::Bytes;
use faas_ports::{Blobs, PortError, PortResult};
use faas_types::BundleFile;
use futures_util::future::try_join_all;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;

use crate::layer_draft::LayerDraft;

const BELOW: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Files that are fetched and written together, so that a thousand small ones do not cost a thousand handovers.
const GROUP_FILES: usize = 64;
/// Bytes held in memory at once, unless one file has more.
const GROUP_BYTES: u64 = 16 << 20;

/// A draft that takes files group by group.
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

    /// Writes files. Gives the draft back only when that went well.
    pub(crate) fn write_all(mut self, contents: &[(BundleFile, Bytes)]) -> PortResult<Self> {
        contents.iter().try_for_each(|(file, bytes)| self.write(file, bytes))?;
        Ok(self)
    }

    fn write(&mut self, file: &BundleFile, bytes: &[u8]) -> PortResult<()> {
        self.place(file, bytes).map_err(|error| match Errno::from_io_error(&error) {
            // What `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS` and `O_EXCL` answer.
            Some(Errno::XDEV | Errno::LOOP | Errno::EXIST | Errno::NOTDIR) => {
                PortError::Invalid(format!("the bundle path `{}` leaves its tree or is there twice", file.path))
            }
            _ => PortError::io("cannot lay out a bundle", error),
        })
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

/// How many of the first files make a group; at least one of any.
pub(crate) fn group_len(files: &[BundleFile]) -> usize {
    let mut bytes = 0_u64;
    let fits = |file: &&BundleFile| {
        bytes = bytes.saturating_add(file.size);
        bytes <= GROUP_BYTES
    };
    files.iter().take(GROUP_FILES).take_while(fits).count().clamp(1, GROUP_FILES)
}

/// The bytes of some files, checked against the sizes that the bundle says.
pub(crate) async fn fetch(files: &[BundleFile], blobs: &dyn Blobs) -> PortResult<Vec<(BundleFile, Bytes)>> {
    try_join_all(files.iter().map(async |file| {
        let bytes = blobs.get(&file.digest).await?;
        if bytes.len() as u64 == file.size {
            return Ok((file.clone(), bytes));
        }
        let why = format!("`{}` has {} bytes, the bundle says {}", file.path, bytes.len(), file.size);
        Err(PortError::Invalid(why))
    }))
    .await
}

#[cfg(test)]
mod tests {
    use faas_types::Digest;

    use super::*;

    #[test]
    fn groups_are_bounded_by_count_and_bytes() {
        let file = |size| BundleFile { path: "a".into(), digest: Digest::from_bytes([0; 32]), size, executable: false };
        let lens = |sizes: &[u64]| group_len(&sizes.iter().map(|size| file(*size)).collect::<Vec<_>>());
        assert_eq!(lens(&[1; 200]), GROUP_FILES);
        assert_eq!(lens(&[1; 3]), 3);
        assert_eq!(lens(&[GROUP_BYTES + 1, 1]), 1);
        assert_eq!(lens(&[GROUP_BYTES / 2, GROUP_BYTES / 2, 1]), 2);
        assert_eq!(lens(&[u64::MAX, u64::MAX]), 1);
    }
}
