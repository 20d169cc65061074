//! How many files the processes of a sandbox may have open.
//!
//! The kernel bounds a process, not a tree, and its table of open files is the whole machine's. So the bound of a process
//! is what keeps the largest tree at a small share of that table, and no more than the sandbox asks for.

use std::fs;

use crate::limits::Limits;

/// Sandboxes that can use up their bounds at once before the machine's table is full.
const SANDBOXES: u64 = 64;
/// What any program gets by with.
const LEAST: u64 = 256;

/// The machine's bound.
pub(super) struct Files {
    table: u64,
    /// Whether each sandbox is another user.
    is_foreign: bool,
}

// === impl Files ===

impl Files {
    pub(super) fn of_this_machine(is_foreign: bool) -> Self {
        let table = fs::read_to_string("/proc/sys/fs/file-max").ok().and_then(|text| text.trim().parse().ok());
        Self { table: table.unwrap_or(u64::MAX), is_foreign }
    }

    /// The bound of a process.
    ///
    /// Where all sandboxes are the server's user, watches of `epoll`, pages of pipes and descriptors under way are
    /// counted for all together, and each follows from the number of files.
    pub(super) fn bound(&self, limits: &Limits) -> u64 {
        let share = self.table / SANDBOXES / u64::from(limits.pids.max(1));
        let most = if self.is_foreign { share.max(LEAST) } else { LEAST };
        limits.open_files.min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_gets_a_small_share_of_the_table() {
        let limits =
            Limits { memory_bytes: 0, cpu_millis: 0, cpu_period_us: 0, pids: 128, tmp_bytes: 0, open_files: 1024 };
        let bound = |table, is_foreign| Files { table, is_foreign }.bound(&limits);
        assert_eq!(bound(u64::MAX, true), 1024, "what was asked for");
        assert_eq!(bound(2_466_165, true), 301);
        assert_eq!(bound(100_000, true), LEAST);
        assert_eq!(bound(u64::MAX, false), LEAST);
        assert_eq!(Files { table: 1, is_foreign: false }.bound(&Limits { open_files: 64, ..limits }), 64);
    }
}
