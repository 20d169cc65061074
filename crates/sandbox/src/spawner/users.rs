//! Ranges of host users, of which each server has one.
//!
//! Two servers of one machine whose sandboxes were the same users would share what the kernel counts by user, and could
//! signal each other's. A range follows from the data directory, so that a restart has the same users again, and is held
//! by a lock, so that no two servers have it where the directories lead to the same one.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Where no distribution, container manager or table of subordinate users has ids: systemd's documentation calls these
/// unused.
const FIRST: u32 = 0x7000_0000;
/// Users of a range; bounds the sandboxes that a server has open at once.
pub(super) const COUNT: u32 = 0x1_0000;
const RANGES: u32 = 0xFFF;
/// The user of the processes that speak for sandboxes, behind the last range: one for all servers, as the user alone gives
/// them nothing.
pub(crate) const NETWORK_USER: u32 = FIRST + RANGES * COUNT;
/// Locks are here, where only root may write.
const PLACE: &str = "/run/faas-users";

/// A range of host users.
pub(super) struct Range {
    pub(super) first: u32,
    /// Held as long as the range; `None` where no lock could be had.
    #[expect(dead_code, reason = "held for what it locks")]
    lock: Option<File>,
}

// === impl Range ===

impl Range {
    /// The range of a server of this name, or the next one that no other server has.
    pub(super) fn of(name: &str) -> Self {
        Self::within(Path::new(PLACE), name)
    }

    fn within(place: &Path, name: &str) -> Self {
        let wanted = preferred(name);
        for step in 0..RANGES {
            let index = (wanted + step) % RANGES;
            match lock(place, index) {
                Ok(Some(lock)) => return Self { first: first(index), lock: Some(lock) },
                Ok(None) => {}
                // Without a place for locks, what follows from the name has to do.
                Err(_) => break,
            }
        }
        Self { first: first(wanted), lock: None }
    }
}

fn preferred(name: &str) -> u32 {
    let hash = blake3::hash(name.as_bytes());
    let [a, b, ..] = *hash.as_bytes();
    u32::from(u16::from_le_bytes([a, b])) % RANGES
}

const fn first(index: u32) -> u32 {
    FIRST + index * COUNT
}

/// `None` when another server has it.
fn lock(place: &Path, index: u32) -> io::Result<Option<File>> {
    if !place.is_dir() {
        DirBuilder::new()
            .mode(0o700)
            .create(place)
            .or_else(|error| if place.is_dir() { Ok(()) } else { Err(error) })?;
    }
    let file = File::options().write(true).create(true).truncate(false).open(place.join(index.to_string()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_ranges_of_their_own_and_the_same_one_again() -> io::Result<()> {
        let home = tempfile::tempdir()?;
        let range = |name: &str| Range::within(home.path(), name);
        let (one, other) = (range("faas-1"), range("faas-2"));
        assert_ne!(one.first, other.first);
        let twin = range("faas-1");
        assert_eq!(twin.first, one.first + COUNT, "the next one where it is taken");
        let had = one.first;
        drop(one);
        assert_eq!(range("faas-1").first, had);
        Ok(())
    }

    #[test]
    fn every_range_is_in_the_unused_part() {
        const { assert!(NETWORK_USER < 0x8000_0000) };
        for index in [0, RANGES - 1] {
            assert!(first(index) >= 0x7000_0000 && first(index) + COUNT <= NETWORK_USER);
        }
    }
}
