//! A place in an instance, held by one call.

use std::sync::Arc;
use std::time::Instant;

use crate::slot::Slot;
use crate::usher::Usher;

/// A place in an instance, held by one call and given back when dropped.
pub(crate) struct Place {
    usher: Arc<Usher>,
    pub slot: Arc<Slot>,
    /// Whether the instance may take another call; cleared after a timeout, a crash or an abandoned call.
    pub reusable: bool,
    since: Instant,
}

// === impl Place ===

impl Place {
    pub(crate) fn new(usher: Arc<Usher>, slot: Arc<Slot>) -> Self {
        slot.begin();
        Self { usher, slot, reusable: true, since: Instant::now() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.slot.end();
        let fit = self.reusable && self.slot.is_clean();
        self.usher.give_back(self.slot.id, self.since.elapsed(), fit);
    }
}
