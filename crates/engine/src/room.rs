//! Room for instances on this node, which all pools share.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

/// Room for instances on this node, which all pools share.
pub(crate) struct Room {
    /// Live and starting instances.
    taken: AtomicU32,
    max: u32,
    /// Set while a call waits somewhere for want of room.
    lacking: AtomicBool,
    news: Notify,
}

// === impl Room ===

impl Room {
    pub(crate) fn new(max: u32) -> Self {
        Self { taken: AtomicU32::new(0), max, lacking: AtomicBool::new(false), news: Notify::new() }
    }

    pub(crate) fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes room for at most `wanted` instances; returns for how many.
    pub(crate) fn take(&self, wanted: u32) -> u32 {
        let mut got = 0;
        let take = |taken: u32| {
            got = wanted.min(self.max.saturating_sub(taken));
            Some(taken + got)
        };
        // The closure always gives a value, so the update cannot fail.
        let _ = self.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, take);
        if got < wanted && !self.lacking.swap(true, Ordering::AcqRel) {
            self.news.notify_one();
        }
        got
    }

    /// An instance has ended.
    pub(crate) fn give(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
        if self.lacking.load(Ordering::Acquire) {
            self.news.notify_one();
        }
    }

    /// An instance fell idle, which may make room for a call that waits elsewhere.
    pub(crate) fn fell_idle(&self) {
        if self.lacking.load(Ordering::Relaxed) {
            self.news.notify_one();
        }
    }

    /// Until a pool lacks room, or room may have come free for one that lacks it.
    pub(crate) async fn changed(&self) {
        self.news.notified().await;
    }

    /// Nobody lacks room any more.
    pub(crate) fn suffices(&self) {
        self.lacking.store(false, Ordering::Release);
    }
}
