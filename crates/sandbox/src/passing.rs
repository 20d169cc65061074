//! Processes that are in a sandbox's cgroup only while it is filled: the assigner, and the first of the processes that a
//! zygote's fork goes through.
//!
//! On a busy machine they may be there longer than the function takes to get ready, even though their work is done.
//! Counted as part of the function, one of them would hide a process that a call leaves behind.

use parking_lot::Mutex;

/// What stays: the sandbox's first process and its program.
const STAYING: usize = 2;

/// Who was inside before anything of a function was.
#[derive(Debug, Default)]
pub(crate) struct Passing(Mutex<Vec<u32>>);

// === impl Passing ===

impl Passing {
    /// Takes down who is inside. Only for a time when that cannot be a process of the function.
    pub(crate) fn note(&self, inside: Vec<u32>) {
        *self.0.lock() = inside;
    }

    /// How many of those who are inside now only pass through.
    pub(crate) fn among(&self, now: &[u32]) -> usize {
        let mut before = self.0.lock();
        // Whoever left never comes back, though its number may.
        before.retain(|process| now.contains(process));
        let passing = before.len().saturating_sub(STAYING);
        if passing == 0 {
            before.clear();
        }
        passing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_passes_through_is_known_until_it_has_left() {
        let passing = Passing::default();
        assert_eq!(passing.among(&[10, 11, 12]), 0, "nobody said who was there before");
        passing.note(vec![10, 11, 12, 13]);
        assert_eq!(passing.among(&[10, 11, 12, 13, 20]), 2);
        assert_eq!(passing.among(&[10, 11, 13, 20]), 1);
        assert_eq!(passing.among(&[10, 11, 20]), 0);
        assert_eq!(passing.among(&[10, 11, 13, 20]), 0, "its number is another process's now");
    }
}
