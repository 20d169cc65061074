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

/// Every pool of this node.
#[derive(Default)]
pub(crate) struct Pools {
    pools: RwLock<HashMap<PoolKey, Arc<Pool>>>,
}

// === impl Pools ===

impl Pools {
    pub(crate) fn get(&self, key: &PoolKey) -> Option<Arc<Pool>> {
        self.pools.read().get(key).cloned()
    }

    /// The pool of a key, made by `make` when there is none. A pool of the same version with other vars is closed.
    pub(crate) fn get_or_insert(&self, key: PoolKey, make: impl FnOnce() -> Arc<Pool>) -> Arc<Pool> {
        let mut pools = self.pools.write();
        let pool = Arc::clone(pools.entry(key).or_insert_with(make));
        let outdated =
            |other: &PoolKey| other.function == key.function && other.version == key.version && other.vars != key.vars;
        pools.iter().filter(|(other, _)| outdated(other)).for_each(|(_, pool)| pool.close());
        pool
    }

    /// Closes the pools of a function that `keep` does not want.
    pub(crate) fn close(&self, function: FunctionId, keep: impl Fn(&PoolKey) -> bool) {
        let mut closed = Vec::new();
        self.pools.write().retain(|key, pool| {
            let goes = key.function == function && !keep(key);
            if goes {
                closed.push(Arc::clone(pool));
            }
            !goes
        });
        closed.iter().for_each(super::pool::Pool::close);
    }

    /// Closes everything and returns the pools, which may still serve calls that they had admitted.
    pub(crate) fn close_all(&self) -> Vec<Arc<Pool>> {
        let pools: Vec<Arc<Pool>> = self.pools.write().drain().map(|(_, pool)| pool).collect();
        pools.iter().for_each(super::pool::Pool::close);
        pools
    }

    /// Scales in what is idle for longer than `idle`, and forgets empty pools that `is_current` does not want.
    pub(crate) fn tend(&self, idle: Duration, is_current: impl Fn(&PoolKey) -> bool) {
        let since = Instant::now().checked_sub(idle);
        let pools: Vec<(PoolKey, Arc<Pool>)> =
            self.pools.read().iter().map(|(key, pool)| (*key, Arc::clone(pool))).collect();
        for (key, pool) in pools {
            let current = is_current(&key);
            if let Some(since) = since {
                pool.tend(since, current);
            }
            if !current && pool.is_empty() {
                self.pools.write().remove(&key);
            }
        }
    }

    /// Live and starting instances of a function.
    pub(crate) fn instances(&self, function: FunctionId) -> u32 {
        let pools = self.pools.read();
        pools.iter().filter(|(key, _)| key.function == function).map(|(_, pool)| pool.instances()).sum()
    }
}
