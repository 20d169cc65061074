//! What an instance and a project may have of connections and look-ups.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use faas_types::{EgressLimits, ProjectId};
use parking_lot::Mutex;

use super::bucket::Bucket;

/// What an instance, or all of a project together, may have of each.
pub(super) struct Share {
    pub(super) connections_max: u32,
    pub(super) connections: AtomicU32,
    pub(super) queries: AtomicU32,
    pub(super) connects: Mutex<Bucket>,
    pub(super) asks: Mutex<Bucket>,
    pub(super) limits: [u32; 2],
    /// Of a project: its number for the process.
    pub(super) number: u64,
}

/// The shares of projects that have instances.
#[derive(Default)]
pub(super) struct ProjectShares {
    shares: Mutex<HashMap<ProjectId, Weak<Share>>>,
    next: AtomicU64,
}

// === impl Share ===

impl Share {
    pub(super) fn of_instance(limits: &EgressLimits, now: Instant) -> Self {
        Self::new(limits.connections, limits.connect_rate, limits.query_rate, 0, now)
    }

    pub(super) fn of_project(limits: &EgressLimits, number: u64, now: Instant) -> Self {
        Self::new(limits.project_connections, limits.project_connect_rate, limits.project_query_rate, number, now)
    }

    fn new(connections_max: u32, connect_rate: u32, query_rate: u32, number: u64, now: Instant) -> Self {
        Self {
            connections_max,
            connections: AtomicU32::new(0),
            queries: AtomicU32::new(0),
            connects: Mutex::new(Bucket::new(connect_rate, now)),
            asks: Mutex::new(Bucket::new(query_rate, now)),
            limits: [connect_rate, query_rate],
            number,
        }
    }
}

// === impl ProjectShares ===

impl ProjectShares {
    pub(super) fn of(&self, project: ProjectId, limits: &EgressLimits) -> Arc<Share> {
        let mut shares = self.shares.lock();
        if let Some(share) = shares.get(&project).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let share = Arc::new(Share::of_project(limits, number, Instant::now()));
        shares.insert(project, Arc::downgrade(&share));
        share
    }
}

/// Counts one more, unless there are that many.
pub(super) fn take(counter: &AtomicU32, most: u32) -> bool {
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < most).then_some(count + 1)).is_ok()
}
