//! How much a push may add to its repository.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use faas_types::{ByteSize, ProjectId};

use crate::git::remote::GitRemote;
use crate::git::repository::Repository;

/// Bytes of a block, as `stat` counts.
const BLOCK: u64 = 512;
/// Packs that a repository may have before they are put together; each push brings one.
const PACKS_MAX: usize = 20;

/// What there is of a repository and of its project.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    repository: u64,
    project: u64,
    packs: usize,
    repository_max: ByteSize,
    project_max: ByteSize,
}

// === impl Room ===

impl Room {
    /// Looks at the files. Blocks.
    pub(super) fn look(remote: &GitRemote, project: ProjectId, repository: &Repository) -> Self {
        let packs = fs::read_dir(repository.path.join("objects").join("pack")).into_iter().flatten().flatten();
        Self {
            repository: used(&repository.path),
            project: used(&remote.project_dir(project)),
            packs: packs.filter(|entry| entry.path().extension().is_some_and(|end| end == "pack")).count(),
            repository_max: remote.settings.repository_max,
            project_max: remote.settings.project_max,
        }
    }

    /// Bytes that a push may add.
    pub(super) fn left(&self) -> u64 {
        let repository = self.repository_max.bytes().saturating_sub(self.repository);
        repository.min(self.project_max.bytes().saturating_sub(self.project))
    }

    /// What a push is told that brings more.
    pub(super) fn refusal(&self) -> String {
        let in_repository = self.repository_max.bytes().saturating_sub(self.repository);
        let in_project = self.project_max.bytes().saturating_sub(self.project);
        let (what, used, most, key) = if in_repository <= in_project {
            ("this repository", self.repository, self.repository_max, "git.repository_max")
        } else {
            ("the repositories of this project", self.project, self.project_max, "git.project_max")
        };
        format!(
            "{what} may take {most} ({key} of the server) and take {} MB; leave large files and old history out, delete \
             branches with `git push REMOTE --delete BRANCH`, or let the operator raise {key}",
            used >> 20
        )
    }

    /// Whether it is time to put packs together and to drop what no branch leads to.
    pub(super) fn is_untidy(&self) -> bool {
        self.packs > PACKS_MAX
            || self.repository > self.repository_max.bytes() / 2
            || self.project > self.project_max.bytes() / 2
    }
}

/// Bytes that a directory takes on the disk.
fn used(dir: &Path) -> u64 {
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => meta.blocks() * BLOCK + used(&entry.path()),
        Ok(meta) => meta.blocks() * BLOCK,
        Err(_) => 0,
    };
    fs::read_dir(dir).into_iter().flatten().flatten().map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tighter_bound_decides() {
        let room = Room {
            repository: 3 << 20,
            project: 90 << 20,
            packs: 1,
            repository_max: ByteSize::from_mib(8),
            project_max: ByteSize::from_mib(100),
        };
        assert_eq!(room.left(), 5 << 20);
        assert!(room.refusal().starts_with("this repository may take 8MB (git.repository_max"), "{}", room.refusal());
        let project = Room { project: 98 << 20, ..room };
        assert_eq!(project.left(), 2 << 20);
        assert!(project.refusal().contains("100MB (git.project_max of the server) and take 98 MB"));
        assert_eq!(Room { project: 200 << 20, ..room }.left(), 0);
        assert!(room.is_untidy(), "the project is more than half full");
        assert!(!Room { project: 9 << 20, ..room }.is_untidy());
        assert!(Room { project: 9 << 20, packs: PACKS_MAX + 1, ..room }.is_untidy());
    }
}
