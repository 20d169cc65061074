//! Room on the disk: what is refused as it runs out, and the ballast that lets deletes work when it has.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use faas_ports::{PortError, PortResult};
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::StoreError;

/// Finishing what was accepted may go on until a quarter of the low-water mark is left.
const FINISH_SHARE: u64 = 4;

/// Watches the free space below the data directory.
#[derive(Debug)]
pub(crate) struct Space {
    dir: PathBuf,
    low_water: u64,
    ballast_bytes: u64,
    ballast: Mutex<Ballast>,
}

/// Where the ballast is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ballast {
    /// In its file.
    Laid,
    /// There was no room for it yet.
    Absent,
    /// Its room was given to what frees room; nothing else may take it.
    Released,
}

// === impl Space ===

impl Space {
    /// Lays in the ballast where there is room for it.
    pub(crate) fn open(dir: &Path, low_water: u64, ballast_bytes: u64) -> Result<Self, StoreError> {
        let space = Self { dir: dir.to_owned(), low_water, ballast_bytes, ballast: Mutex::new(Ballast::Absent) };
        let path = space.path();
        match fs::metadata(&path) {
            Ok(found) if found.len() == ballast_bytes => *space.ballast.lock() = Ballast::Laid,
            Ok(_) => fs::remove_file(&path).map_err(StoreError::io("cannot remove", path))?,
            Err(_) => {}
        }
        space.restore();
        Ok(space)
    }

    /// Whether new work and new content may be stored. At most two system calls, unless the ballast is written
    /// again after a full disk, which takes some milliseconds.
    pub(crate) fn admit(&self) -> PortResult<()> {
        self.admit_above(self.low_water)
    }

    /// Whether the outcome of accepted work may be stored.
    pub(crate) fn admit_outcome(&self) -> PortResult<()> {
        self.admit_above(self.low_water / FINISH_SHARE)
    }

    fn admit_above(&self, mark: u64) -> PortResult<()> {
        if self.restore() == Ballast::Released {
            return Err(PortError::StorageFull);
        }
        match self.free() {
            Some(free) if free < mark => Err(PortError::StorageFull),
            _ => Ok(()),
        }
    }

    /// Does what frees room. On a full disk it gives the ballast's room away and tries once more; that helps even
    /// when the ballast is gone, because a database that was full has shrunk its log meanwhile.
    pub(crate) async fn freeing<T, F: Future<Output = PortResult<T>>>(&self, work: impl Fn() -> F) -> PortResult<T> {
        match work().await {
            Err(PortError::StorageFull) => {
                self.release();
                work().await
            }
            done => done,
        }
    }

    /// Gives the ballast's room to what frees room.
    pub(crate) fn release(&self) {
        let mut ballast = self.ballast.lock();
        if *ballast == Ballast::Laid && fs::remove_file(self.path()).is_ok() {
            *ballast = Ballast::Released;
            tracing::warn!(dir = %self.dir.display(), "the disk is full: released the ballast so that deletes work");
        }
    }

    /// Lays the ballast in once there is room for it above the low-water mark.
    fn restore(&self) -> Ballast {
        let mut ballast = self.ballast.lock();
        // Twice, or a ballast that was just released would be laid in again before the delete that needs its room.
        let wanted = self.low_water.saturating_add(self.ballast_bytes.saturating_mul(2));
        let idle = *ballast == Ballast::Laid || self.ballast_bytes == 0;
        if idle || self.free().is_none_or(|free| free < wanted) {
            return *ballast;
        }
        match self.fill() {
            Ok(()) => *ballast = Ballast::Laid,
            Err(error) => {
                tracing::warn!(%error, "cannot lay in the ballast");
                let _ = fs::remove_file(self.path());
            }
        }
        *ballast
    }

    fn fill(&self) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.path())?;
        if fallocate(&file, FallocateFlags::empty(), 0, self.ballast_bytes).is_err() {
            write_zeros(&mut file, self.ballast_bytes)?;
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
        space.release();
        assert_eq!(size(), None);
        space.release();
        space.admit().expect("there is room");
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
