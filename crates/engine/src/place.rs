//! A place in an instance, held by one call.

use std::sync::Arc;

use crate::pool::Pool;
use crate::slot::Slot;

/// A place in an instance, held by one call and given back when dropped.
pub(crate) struct Place {
    pub(crate) pool: Arc<Pool>,
    pub slot: Arc<Slot>,
    /// Whether the instance may take another call; cleared after a timeout, a crash or an abandoned call.
    pub reusable: bool,
    /// Set for a place that no call ever took.
    pub(crate) unclaimed: bool,
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        if self.unclaimed {
            // Dropped under the pool's lock: nobody used it, so nothing has to be woken or stopped.
            self.slot.end();
        } else {
            self.pool.give_back(&self.slot, self.reusable);
        }
    }
}
