//! From a route to a permit: opens pools, follows deployments that happen meanwhile, explains refusals.

use std::sync::Arc;
use std::time::Instant;

use faas_artifacts::StackSpec;
use faas_catalog::{FunctionEntry, ResolvedVars};
use faas_ports::NetworkAccess;
use faas_scheduler::{AdmissionError, CallRefusal, Permit, PoolKey, PoolSpec, RefusalReason, Urgency};
use faas_types::{Code, Fault, Stage};

use crate::lifecycle::stopping;
use crate::route::{Route, Selector};
use crate::runs::Runs;

/// Times that a call asks for a permit. A pool that is replaced costs it two of them, and after some replacements the call
/// stays with its pool; the rest is for changes between the opening of a pool and the question to it.
const ASKED_MAX: u32 = 16;

// === impl Runs ===

impl Runs {
    /// A permit for a call before `deadline`, in the version that its route means by then: when a deployment happens
    /// meanwhile, the call follows it and keeps its position in the queue. Returns the route that was followed last.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        mut route: Route,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<(Permit, Route), Fault> {
        let mut position = None;
        for _ in 0..ASKED_MAX {
            match self.scheduler.acquire(&self.pool_key(&route), urgency, position, deadline).await {
                Ok(permit) => return Ok((permit, route)),
                Err(AdmissionError::Refused(refusal)) => return Err(refused(&route, refusal)),
                Err(AdmissionError::StartFailed(fault)) => return Err(fault),
                Err(AdmissionError::PoolClosed(kept)) => {
                    position = Some(kept);
                    route = self.newest(route).await?;
                }
                Err(AdmissionError::UnknownPool) => {
                    route = self.newest(route).await?;
                    Box::pin(self.open_pool(&route)).await?;
                    // A version that was deployed while the pool opened must not start the one before it again.
                    route = self.newest(route).await?;
                }
            }
        }
        let fault = Fault::new(Code::Unavailable, "the function is being replaced again and again").with_retry_after(1);
        Err(fault)
    }

    /// What the selector of the route means now.
    async fn newest(&self, route: Route) -> Result<Route, Fault> {
        let record = &route.entry.record;
        match self.catalog.by_id(record.project, record.id) {
            Some(entry) if entry.revision == route.entry.revision => Ok(route),
            Some(entry) => {
                let newest = self.route_entry(entry, &route.selector, route.lot).await?;
                Ok(Route { stage: route.stage, ..newest })
            }
            None => Err(faas_catalog::deleted_meanwhile(&record.name)),
        }
    }

    /// Opens the pool that serves a route, with the current vars, unless it is open.
    pub(crate) async fn open_pool(&self, route: &Route) -> Result<(), Fault> {
        let code = self.bundles.lay_out_code(&route.version).await?;
        let version = &route.version;
        let dependencies = self.bundles.lay_out_packages_of(version).await?;
        let layers = self.bundles.lay_out_stack(StackSpec::of(version)).await?;
        if self.lifecycle.is_stopping() {
            return Err(stopping());
        }
        let record = &route.entry.record;
        // The key comes first: a change after it makes the key outdated, never the vars.
        let key = self.pool_key(route);
        let ResolvedVars { vars, redactor } = self.vars.resolve(&route.entry, &route.version, route.stage)?;
        let spec = PoolSpec {
            project: record.project,
            function: record.id,
            name: record.name.clone(),
            version: route.version.number,
            settings: Arc::new(route.version.settings.clone()),
            network: NetworkAccess {
                policy: self.catalog.egress_policy(&route.entry, &route.version),
                counters: self.stats.function(record.id, &record.name).network(),
            },
            vars,
            redactor,
            code,
            dependencies,
            layers,
            concurrency: route.version.concurrency,
            inspection: self.inspection.clone().filter(|inspection| inspection.is_of(&record.name)),
        };
        self.scheduler.open_pool(key, spec);
        Ok(())
    }

    /// Whether instances of a pool have the current vars and secrets; `None` when the version would have to be read.
    pub(crate) fn is_current(&self, entry: &FunctionEntry, key: &PoolKey) -> Option<bool> {
        let version = self.catalog.known_version(key.function, key.version)?;
        Some(self.vars.fingerprint(entry, &version, key.stage).as_u64() == key.vars)
    }

    fn pool_key(&self, route: &Route) -> PoolKey {
        let Route { entry, version, stage, .. } = route;
        let vars = self.vars.fingerprint(entry, version, *stage).as_u64();
        PoolKey { function: entry.record.id, version: version.number, stage: *stage, vars }
    }

    /// Opens the pool of a function's live version when it keeps instances without calls.
    pub(crate) async fn keep_minimum(&self, entry: &Arc<FunctionEntry>) {
        if entry.record.min_instances == 0 {
            return;
        }
        let made = async {
            let Some(live) = entry.live_version() else { return Ok(()) };
            let route = self.route_entry(Arc::clone(entry), &Selector::Version(live), None).await?;
            let route = Route { stage: Stage::Prod, ..route };
            self.open_pool(&route).await
        };
        if let Err(fault) = made.await {
            tracing::warn!(function = %entry.record.name, error = %fault, "the minimum of instances is not kept");
        }
    }
}

fn refused(route: &Route, refusal: CallRefusal) -> Fault {
    let name = &route.entry.record.name;
    let max = route.version.settings.scaling.max;
    let (code, message, hint) = match refusal.reason {
        RefusalReason::FunctionFull => (
            Code::RateLimited,
            format!("all {max} instances of `{name}` are busy and too many calls wait for them"),
            format!("try again later, or raise scaling.max (now {max}) in the manifest"),
        ),
        RefusalReason::ShareFull => (
            Code::RateLimited,
            format!("the node is full and the project of `{name}` holds its share of it"),
            "try again later; other projects keep their part of the node".to_owned(),
        ),
        RefusalReason::NodeFull => (
            Code::Overloaded,
            format!("the node has no room for another instance of `{name}`"),
            "try again later, or raise engine.instances_max or engine.memory_max of the server".to_owned(),
        ),
        RefusalReason::TooLarge => (
            Code::Overloaded,
            format!("an instance of `{name}` needs more memory than the node gives to all instances"),
            "raise engine.memory_max of the server, or let the function use less".to_owned(),
        ),
        RefusalReason::Stopping => return stopping(),
    };
    Fault::new(code, message).with_hint(hint).with_retry_after(refusal.retry_after)
}
