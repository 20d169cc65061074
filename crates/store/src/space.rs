//! Room on the disk: what is refused as it runs out, and the ballast that lets deletes work when it has.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use faas_ports::{PortError, PortResult};
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::StoreError;

/// Finishing what was accepted may go on until a quarter of the low-water mark is left.
const FINISH_SHARE: u64 = 4;

/// Watches the free space below the data directory.
#[derive(Debug)]
pub(crate) struct Space {
    dir: PathBuf,
    low_water: u64,
    ballast: u64,
    released: AtomicBool,
}

// === impl Space ===

impl Space {
    /// Lays in the ballast where there is room for it.
    pub(crate) fn open(dir: &Path, low_water: u64, ballast: u64) -> Result<Self, StoreError> {
        let space = Self { dir: dir.to_owned(), low_water, ballast, released: AtomicBool::new(true) };
        let path = space.path();
        match fs::metadata(&path) {
            Ok(found) if found.len() == ballast => space.released.store(false, Ordering::Relaxed),
            Ok(_) => fs::remove_file(&path).map_err(StoreError::io("cannot remove", path))?,
            Err(_) => {}
        }
        space.restore();
        Ok(space)
    }

    /// Whether new work and new content may be stored.
    pub(crate) fn admit(&self) -> PortResult<()> {
        self.admit_above(self.low_water)
    }

    /// Whether the outcome of accepted work may be stored.
    pub(crate) fn admit_outcome(&self) -> PortResult<()> {
        self.admit_above(self.low_water / FINISH_SHARE)
    }

    fn admit_above(&self, mark: u64) -> PortResult<()> {
        match self.free() {
            Some(free) if free < mark => Err(PortError::StorageFull),
            _ => Ok(()),
        }
    }

    /// Gives the ballast's room to a delete that found the disk full; returns whether there was any left.
    pub(crate) fn release(&self) -> bool {
        let released = !self.released.swap(true, Ordering::AcqRel) && fs::remove_file(self.path()).is_ok();
        if released {
            tracing::warn!(dir = %self.dir.display(), "the disk is full: released the ballast so that deletes work");
        }
        released
    }

    /// Lays the ballast in again once there is room for it above the low-water mark. Cheap when it is in place.
    pub(crate) fn restore(&self) {
        if self.ballast == 0 || !self.released.load(Ordering::Acquire) {
            return;
        }
        let wanted = self.low_water.saturating_add(self.ballast);
        if self.free().is_some_and(|free| free < wanted) {
            return;
        }
        match self.fill() {
            Ok(()) => self.released.store(false, Ordering::Release),
            Err(error) => {
                tracing::warn!(%error, "cannot lay in the ballast");
                let _ = fs::remove_file(self.path());
            }
        }
    }

    fn fill(&self) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.path())?;
        if fallocate(&file, FallocateFlags::empty(), 0, self.ballast).is_err() {
            write_zeros(&mut file, self.ballast)?;
        }
        file.sync_all()
    }

    fn free(&self) -> Option<u64> {
        let stat = statvfs(&self.dir).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn path(&self) -> PathBuf {
        self.dir.join("ballast")
    }
}

/// For file systems without `fallocate`.
fn write_zeros(file: &mut File, bytes: u64) -> std::io::Result<()> {
    let block = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
        file.write_all(&block[..part])?;
        left -= part as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ballast_goes_and_comes_back() {
        let dir = tempfile::tempdir().expect("temp dir");
        let space = Space::open(dir.path(), 0, 1 << 20).expect("open");
        let size = || fs::metadata(dir.path().join("ballast")).map(|found| found.len()).ok();
        assert_eq!(size(), Some(1 << 20));
        assert!(space.release());
        assert!(!space.release(), "released twice");
        assert_eq!(size(), None);
        space.restore();
        assert_eq!(size(), Some(1 << 20));
    }

    #[test]
    fn below_the_mark_new_work_is_refused() {
        let dir = tempfile::tempdir().expect("temp dir");
        let space = Space::open(dir.path(), u64::MAX, 1 << 20).expect("open");
        assert!(matches!(space.admit(), Err(PortError::StorageFull)));
        assert!(matches!(space.admit_outcome(), Err(PortError::StorageFull)));
        assert!(!dir.path().join("ballast").exists(), "no room above the mark");
        Space::open(dir.path(), 0, 0).expect("open").admit().expect("admit");
    }
}
