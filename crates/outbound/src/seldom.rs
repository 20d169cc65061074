//! Words of the server's log that others decide how often they are due.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The time between two of them.
const PAUSE: Duration = Duration::from_secs(60);

/// Says once a minute that it is time to say something.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Option<Instant>>);

// === impl Seldom ===

impl Seldom {
    /// Whether a minute has passed since this was true.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due_at(Instant::now())
    }

    fn is_due_at(&self, now: Instant) -> bool {
        let mut last = self.0.lock();
        let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_once_a_minute() {
        let (seldom, now) = (Seldom::default(), Instant::now());
        let due = (0..600).filter(|second| seldom.is_due_at(now + Duration::from_secs(*second)));
        assert_eq!(due.collect::<Vec<_>>(), [0, 60, 120, 180, 240, 300, 360, 420, 480, 540]);
    }
}
