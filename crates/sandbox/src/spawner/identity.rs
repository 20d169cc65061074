//! Which host user a sandbox is.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};

use rustix::fs::{Mode, OFlags, openat};
use rustix::process::{Gid, Uid};

use super::users::{self, Range};
use crate::child::INSIDE_ID;

/// The kernel's killer of last resort prefers processes with a higher value; the server has none.
const OOM_SCORE: &str = "500";

/// Hands out host users.
///
/// Root has a range of them, one for each open sandbox, which own nothing. An ordinary user can only be itself: its
/// sandboxes are then told apart by their namespaces alone.
pub(super) struct Identities {
    /// The first user of the range; `None` when every sandbox is ourselves.
    first: Option<u32>,
    #[expect(dead_code, reason = "held for what it locks")]
    range: Option<Range>,
    own: (Uid, Gid),
    /// Oldest first, so that a number rests as long as possible before it is used again.
    free: VecDeque<u32>,
}

// === impl Identities ===

impl Identities {
    /// Those of a server of this name.
    pub(super) fn of_this_process(server: &str) -> Self {
        let own = (rustix::process::geteuid(), rustix::process::getegid());
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let maps = [read("/proc/self/uid_map"), read("/proc/self/gid_map")];
        let range = own.0.is_root().then(|| Range::of(server));
        let first = range.as_ref().and_then(|range| fit(&maps, range.first, users::COUNT));
        // An ordinary user's slots are not users; the number only bounds what is open at once.
        let (start, count) = first.unwrap_or((0, users::COUNT));
        Self { first: first.map(|_| start), range, own, free: (0..count).collect() }
    }

    /// A free slot; `None` when all are taken.
    pub(super) fn take(&mut self) -> Option<u32> {
        self.free.pop_front()
    }

    /// Returns a slot.
    pub(super) fn give_back(&mut self, slot: u32) {
        self.free.push_back(slot);
    }

    /// Whether sandboxes are other users than this process.
    pub(super) fn is_foreign(&self) -> bool {
        self.first.is_some()
    }

    /// The host user and group of a slot.
    pub(super) fn owner(&self, slot: u32) -> (Uid, Gid) {
        match self.first {
            Some(first) => (Uid::from_raw(first + slot), Gid::from_raw(first + slot)),
            None => self.own,
        }
    }

    /// Makes a process and what it forks the first to go when memory runs out. Best effort: some containers forbid it, and
    /// nothing else depends on it.
    pub(super) fn make_expendable(pid: i32) {
        let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), OOM_SCORE);
    }

    /// Writes the maps of a new user namespace, and makes its processes the first to go when memory runs out.
    pub(super) fn assign(&self, pid: i32, slot: u32) -> io::Result<()> {
        let directory = File::open(format!("/proc/{pid}"))?;
        let put = |name: &str, text: &str| -> io::Result<()> {
            let file = openat(&directory, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
            File::from(file).write_all(text.as_bytes())
        };
        let (uid, gid) = self.owner(slot);
        Self::make_expendable(pid);
        put("setgroups", "deny")?;
        put("gid_map", &format!("{INSIDE_ID} {} 1\n", gid.as_raw()))?;
        put("uid_map", &format!("{INSIDE_ID} {} 1\n", uid.as_raw()))
    }
}

/// Finds `count` numbers from `first` on which exist in our own user namespace, as users and as groups; otherwise the
/// upper part of what exists there. `None` when the namespace has no other user.
fn fit(maps: &[String; 2], first: u32, count: u32) -> Option<(u32, u32)> {
    let extents = maps.each_ref().map(|map| widest(map));
    let [Some(users), Some(groups)] = extents else { return None };
    let (start, end) = (users.0.max(groups.0), users.1.min(groups.1));
    let wanted = u64::from(first)..u64::from(first) + u64::from(count);
    if wanted.start >= start && wanted.end <= end {
        return Some((first, count));
    }
    // A container with the customary 65,536 ids: stay clear of those that systems give to services and people.
    let (low, high) = (start.max(20_000), end.min(60_000));
    (high > low).then(|| (low as u32, (high - low) as u32))
}

/// The widest extent of a map as first number and end.
fn widest(map: &str) -> Option<(u64, u64)> {
    let extents = map.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().map(str::parse::<u64>);
        let (start, length) = (fields.next()?.ok()?, fields.nth(1)?.ok()?);
        Some((start, start + length))
    });
    extents.max_by_key(|(start, end)| end - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_fits_into_what_the_namespace_has() {
        let maps = |map: &str| [map.to_owned(), map.to_owned()];
        assert_eq!(fit(&maps("0 0 4294967295"), 200_000, 65_536), Some((200_000, 65_536)));
        assert_eq!(fit(&maps("0 100000 65536"), 200_000, 65_536), Some((20_000, 40_000)));
        assert_eq!(fit(&maps("0 1000 1"), 200_000, 65_536), None);
        assert_eq!(fit(&maps(""), 200_000, 65_536), None);
    }
}
