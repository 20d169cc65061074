//! How threads stand behind others on a busy processor.

use std::time::Duration;

use crate::sys;

/// Longer than what the kernel gives an ordinary thread, which is 3 ms at most.
const SLICE: Duration = Duration::from_millis(10);

/// Lets ordinary threads that wake up run before the calling one, which gets its fair share all the same, in longer turns.
/// For threads whose work nobody waits for: otherwise a call that wakes up on their processor waits until their turn ends.
/// Kernels before Linux 6.12 know one length of turns for all, and keep nothing of this.
pub fn give_way_to_calls() {
    // Where it is refused the thread works as well.
    let _ = sys::set_slice(SLICE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_gives_way_has_a_longer_turn_and_no_other_has() {
        let slice = || {
            let own = std::fs::read_to_string("/proc/thread-self/sched").unwrap_or_default();
            let line = own.lines().find(|line| line.starts_with("se.slice"))?;
            line.rsplit(' ').next()?.parse::<u128>().ok()
        };
        let before = slice();
        let after = std::thread::spawn(move || {
            give_way_to_calls();
            slice()
        });
        let after = after.join().expect("no panic");
        assert_eq!(slice(), before);
        // Kernels that show no slice have none to set.
        if let (Some(before), Some(after)) = (before, after) {
            assert_eq!(after, SLICE.as_nanos());
            assert!(before < after);
        }
    }
}
