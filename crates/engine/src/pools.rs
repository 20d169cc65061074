//! Every pool of this node, found by function and version.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_types::FunctionId;
use parking_lot::RwLock;

use crate::pool::Pool;

/// What a pool belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PoolKey {
    pub function: FunctionId,
    pub version: u32,
    /// Identifies the vars that the instances were started with.
    pub vars: u64,
}

/// What calls can still come to a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// An alias points to its version.
    Live,
    /// Only calls that name its version.
    Reachable,
    /// None: its function is gone or has other vars.
    Outdated,
}

/// Every pool of this node.
#[derive(Default)]
pub(crate) struct Pools {
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    /// Pools that admit calls. Closing one moves it out under the same lock, so that nobody finds a closed one here.
    open: HashMap<PoolKey, Arc<Pool>>,
    /// Closed pools that may still serve calls they had admitted.
    draining: Vec<(PoolKey, Arc<Pool>)>,
    /// No pool opens any more.
    closed: bool,
}

// === impl Table ===

impl Table {
    fn close(&mut self, goes: impl Fn(&PoolKey, &Pool) -> bool) {
        for (key, pool) in self.open.extract_if(|key, pool| goes(key, pool)) {
            pool.close();
            self.draining.push((key, pool));
        }
    }

    fn all(&self) -> impl Iterator<Item = (&PoolKey, &Arc<Pool>)> {
        self.open.iter().chain(self.draining.iter().map(|(key, pool)| (key, pool)))
    }
}

// === impl Pools ===

impl Pools {
    pub(crate) fn get(&self, key: &PoolKey) -> Option<Arc<Pool>> {
        self.table.read().open.get(key).cloned()
    }

    /// The pool of a key, made by `make` when there is none; a closed one once everything is closed.
    pub(crate) fn get_or_insert(&self, key: PoolKey, make: impl FnOnce() -> Arc<Pool>) -> Arc<Pool> {
        let mut table = self.table.write();
        if table.closed {
            let pool = make();
            pool.close();
            return pool;
        }
        Arc::clone(table.open.entry(key).or_insert_with(make))
    }

    /// Closes the pools of a function that `keep` does not want.
    pub(crate) fn close(&self, function: FunctionId, keep: impl Fn(&PoolKey) -> bool) {
        self.table.write().close(|key, _| key.function == function && !keep(key));
    }

    /// Closes everything for good and returns the pools, which may still serve calls that they had admitted.
    pub(crate) fn close_all(&self) -> Vec<Arc<Pool>> {
        let mut table = self.table.write();
        table.closed = true;
        table.close(|_, _| true);
        table.draining.drain(..).map(|(_, pool)| pool).collect()
    }

    /// Scales in what is idle for longer than `idle`, and lets go of pools that no call can come to or that are empty.
    pub(crate) fn tend(&self, idle: Duration, standing: impl Fn(&PoolKey) -> Standing) {
        let open: Vec<(PoolKey, Arc<Pool>)> =
            self.table.read().open.iter().map(|(key, pool)| (*key, Arc::clone(pool))).collect();
        let since = Instant::now().checked_sub(idle);
        let mut leaving = false;
        for (key, pool) in open {
            let standing = standing(&key);
            if let Some(since) = since {
                pool.tend(since, standing == Standing::Live);
            }
            leaving |= goes(standing, &pool);
        }
        let mut table = self.table.write();
        if leaving {
            table.close(|key, pool| goes(standing(key), pool));
        }
        table.draining.retain(|(_, pool)| !pool.is_empty());
    }

    /// Starts instances for calls that wait for room, and makes room for them by stopping what idles longest.
    /// Returns whether calls still wait for it.
    pub(crate) fn relieve(&self) -> bool {
        let pools: Vec<Arc<Pool>> = self.table.read().all().map(|(_, pool)| Arc::clone(pool)).collect();
        let lacking: u32 = pools.iter().map(super::pool::Pool::start_waiting).sum();
        if lacking == 0 {
            return false;
        }
        let mut idle: Vec<_> = pools
            .iter()
            .flat_map(|pool| pool.spare().into_iter().map(move |slot| (slot.idle_since(), pool, slot)))
            .collect();
        idle.sort_by_key(|(since, ..)| *since);
        idle.iter().take(lacking as usize).for_each(|(_, pool, slot)| pool.retire_idle(slot));
        true
    }

    /// Live and starting instances of a function.
    pub(crate) fn instances(&self, function: FunctionId) -> u32 {
        let table = self.table.read();
        table.all().filter(|(key, _)| key.function == function).map(|(_, pool)| pool.instances()).sum()
    }
}

fn goes(standing: Standing, pool: &Pool) -> bool {
    match standing {
        Standing::Live => false,
        Standing::Reachable => pool.is_empty(),
        Standing::Outdated => true,
    }
}
