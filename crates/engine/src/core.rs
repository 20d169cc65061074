//! What every part of the engine shares, and the pools it keeps.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use faas_ports::{Blobs, Clock, Events, IdSource, Launcher, Layers, Registry, RunHistory, Vault};
use faas_types::{Code, Fault, FunctionName, ProjectId};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::call::Route;
use crate::catalog::{Catalog, FunctionEntry};
use crate::dispatch::Dispatch;
use crate::engine::EngineSettings;
use crate::keys::Keys;
use crate::pool::{Pool, PoolDeps, PoolSpec};
use crate::pools::{PoolKey, Pools, Standing};
use crate::recorder::Recorder;
use crate::room::Room;
use crate::stats::Stats;
use crate::triggers::{States, Triggers};

/// Pause between two looks for room.
const RELIEF_PAUSE: Duration = Duration::from_millis(5);

/// What every part of the engine shares.
pub(crate) struct Core {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) history: Arc<dyn RunHistory>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) layers: Arc<dyn Layers>,
    pub(crate) events: Arc<dyn Events>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) launcher: Arc<dyn Launcher>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) triggers: Arc<Triggers>,
    pub(crate) trigger_states: States,
    pub(crate) pools: Pools,
    pub(crate) stats: Arc<Stats>,
    pub(crate) recorder: Recorder,
    pub(crate) dispatch: Dispatch,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) stopping: AtomicBool,
    pub(crate) room: Arc<Room>,
    /// One deployment at a time for each function name.
    pub(crate) deploying: Mutex<HashMap<(ProjectId, FunctionName), DeploymentGuard>>,
}

/// Held while a deployment is under way.
pub(crate) type DeploymentGuard = Arc<tokio::sync::Mutex<()>>;

// === impl Core ===

impl Core {
    /// The pool that serves a route, with the vars of this moment.
    pub(crate) async fn pool(&self, route: &Route) -> Result<Arc<Pool>, Fault> {
        let key = pool_key(route);
        if let Some(pool) = self.pools.get(&key) {
            return Ok(pool);
        }
        let code = self.code_layer(&route.version).await?;
        if self.stopping.load(Ordering::Acquire) {
            return Err(stopping());
        }
        let record = &route.entry.record;
        Ok(self.pools.get_or_insert(key, || {
            let spec = PoolSpec {
                project: record.project,
                function: record.id,
                name: record.name.clone(),
                version: route.version.number,
                settings: Arc::new(route.version.settings.clone()),
                vars: crate::vars::effective(&route.version.settings, &record.vars),
                code,
                concurrency: route.version.concurrency,
            };
            Pool::new(spec, self.pool_deps())
        }))
    }

    pub(crate) fn pool_deps(&self) -> PoolDeps {
        PoolDeps {
            launcher: Arc::clone(&self.launcher),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            recorder: self.recorder.clone(),
            tasks: self.tasks.clone(),
            room: Arc::clone(&self.room),
        }
    }

    /// Scales in what is idle and keeps the minimum of each live version, until the engine stops.
    pub(crate) async fn tend(self: Arc<Self>, settings: EngineSettings) {
        self.start_minimums().await;
        let mut tick = tokio::time::interval(settings.tend_every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = tick.tick() => self.pools.tend(settings.idle_timeout, |key| self.standing(key)),
                () = self.room.changed() => {
                    if !self.pools.relieve() {
                        self.room.suffices();
                        // A call that began to wait in between was not announced; now it is, or it is served.
                        self.pools.relieve();
                    }
                    // A full node hears of every call that waits: look at all pools now and then, not each time.
                    tokio::time::sleep(RELIEF_PAUSE).await;
                }
            }
        }
    }

    async fn start_minimums(self: &Arc<Self>) {
        for entry in self.catalog.all() {
            if self.stop.is_cancelled() {
                return;
            }
            self.keep_minimum(&entry).await;
        }
    }

    /// Makes the pool of a function's live version where it keeps instances without calls.
    pub(crate) async fn keep_minimum(self: &Arc<Self>, entry: &Arc<FunctionEntry>) {
        let Some(live) = entry.live_version() else { return };
        let made = async {
            let version = self.catalog.version(entry, live).await?;
            if version.settings.scaling.min > 0 {
                self.pool(&Route { entry: Arc::clone(entry), version }).await?;
            }
            Ok::<(), Fault>(())
        };
        if let Err(fault) = made.await {
            tracing::warn!(function = %entry.record.name, error = %fault, "the minimum of instances is not kept");
        }
    }

    fn standing(&self, key: &PoolKey) -> Standing {
        match self.catalog.all_by_id(key.function) {
            Some(entry) if entry.vars_mark == key.vars => {
                let is_live = entry.record.aliases.values().any(|alias| alias.version == key.version);
                if is_live { Standing::Live } else { Standing::Reachable }
            }
            _ => Standing::Outdated,
        }
    }
}

pub(crate) fn pool_key(route: &Route) -> PoolKey {
    PoolKey { function: route.entry.record.id, version: route.version.number, vars: route.entry.vars_mark }
}

pub(crate) fn encode<T: serde::Serialize>(value: &T) -> Result<Bytes, Fault> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| Fault::internal(format!("cannot encode a record: {error}")))
}

pub(crate) fn stopping() -> Fault {
    Fault::new(Code::Unavailable, "the server is stopping").with_retry_after(1)
}
