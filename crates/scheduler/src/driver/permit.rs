//! The right of one call to run in an instance.

use std::sync::Arc;
use std::time::Instant;

use super::SchedulerDriver;
use crate::instance_handle::InstanceHandle;

/// The right of one call to run in an instance; released when dropped.
pub struct Permit {
    driver: Arc<SchedulerDriver>,
    /// The instance.
    pub handle: Arc<InstanceHandle>,
    /// Whether the instance may take another call; cleared after a timeout, a crash or an abandoned call.
    pub reusable: bool,
    since: Instant,
}

// === impl Permit ===

impl Permit {
    #[inline]
    pub(super) fn new(driver: Arc<SchedulerDriver>, handle: Arc<InstanceHandle>) -> Self {
        handle.begin_call();
        Self { driver, handle, reusable: true, since: Instant::now() }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.handle.end_call();
        let fit = self.reusable && self.handle.is_clean();
        self.driver.release(self.handle.id, self.since.elapsed(), fit);
    }
}
