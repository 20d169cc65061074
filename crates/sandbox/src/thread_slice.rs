//! How threads stand behind others on a busy processor.

use std::time::Duration;

use crate::sys;

/// Longer than what the kernel gives an ordinary thread, which is 3 ms at most.
const SLICE: Duration = Duration::from_millis(10);

/// Lets ordinary threads that wake up run before the calling one, which gets its fair share all the same, in longer turns;
/// or ends that. For work that nobody waits for: otherwise a call that wakes up on its processor waits until its turn ends.
/// Kernels before Linux 6.12 know one length of turns for all, and keep nothing of this.
pub fn give_way_to_calls(whether: bool) {
    // Zero is the kernel's own. Where it is refused the thread works as well.
    let _ = sys::set_slice(if whether { SLICE } else { Duration::ZERO });
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
        let other = std::thread::spawn(move || {
            give_way_to_calls(true);
            let during = slice();
            give_way_to_calls(false);
            (during, slice())
        });
        let (during, after) = other.join().expect("no panic");
        assert_eq!(slice(), before);
        // Kernels that show no slice have none to set.
        if let (Some(before), Some(during)) = (before, during) {
            assert_eq!(during, SLICE.as_nanos());
            assert!(before < during);
            assert_eq!(after, Some(before));
        }
    }
}
