//! The service that holds the triggers of every project.

use std::sync::Arc;

use faas_catalog::{Catalog, ProjectionStatus};
use faas_ports::{Clock, IdSource, PortResult, Registry, Topics, Vault};
use faas_runs::Runs;
use faas_runs::lifecycle::{Lifecycle, stopping};
use faas_runs::route::{Route, Selector};
use faas_types::{Code, Fault, FunctionId};

use super::record::{TriggerRecord, TriggerState};
use super::states::TriggerStates;
use super::subscription_tracker::SubscriptionTracker;
use super::table::{TriggerEntry, TriggerTable};
use super::webhook_credentials::CredentialsPlace;

/// Ports and lower services that triggers need.
#[expect(missing_docs, reason = "each field is the port or service of its type")]
pub struct TriggerDeps {
    pub registry: Arc<dyn Registry>,
    pub topics: Arc<dyn Topics>,
    pub vault: Arc<dyn Vault>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdSource>,
    pub catalog: Arc<Catalog>,
    pub runs: Arc<Runs>,
    pub lifecycle: Arc<Lifecycle>,
}

/// Stores triggers and topics, and enqueues the runs that they make.
///
/// A deployment changes triggers in two steps: [`reconcile`](Self::reconcile) returns the writes for the deployment's
/// commit, and [`learn`](Self::learn) takes them into memory once that has succeeded. [`delete_all`](Self::delete_all)
/// removes the triggers of a deleted function.
pub struct Triggers {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) topic_store: Arc<dyn Topics>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) runs: Arc<Runs>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) table: TriggerTable,
    pub(crate) states: TriggerStates,
    pub(crate) subscriptions: SubscriptionTracker,
}

// === impl Triggers ===

impl Triggers {
    /// Loads records and states from the registry. Nothing fires before [`start`](Self::start).
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn open(deps: TriggerDeps) -> PortResult<Arc<Self>> {
        let TriggerDeps { registry, topics, vault, clock, ids, catalog, runs, lifecycle } = deps;
        let table = TriggerTable::start(Arc::clone(&registry)).await?;
        let states = TriggerStates::load(Arc::clone(&registry)).await?;
        let subscriptions = SubscriptionTracker::default();
        Ok(Arc::new(Self {
            registry,
            topic_store: topics,
            vault,
            clock,
            ids,
            catalog,
            runs,
            lifecycle,
            table,
            states,
            subscriptions,
        }))
    }

    /// How the table of triggers follows the registry.
    #[must_use]
    pub fn status(&self) -> ProjectionStatus {
        self.table.status()
    }

    /// The triggers of a function, by name.
    #[must_use]
    pub fn of(&self, function: FunctionId) -> Vec<Arc<TriggerEntry>> {
        self.table.of(function)
    }

    /// A trigger of a function, found by name.
    ///
    /// # Errors
    /// `FN_013` when the function has no trigger of that name.
    pub fn find(&self, function: FunctionId, name: &str) -> Result<Arc<TriggerEntry>, Fault> {
        self.table.find(function, name)
    }

    /// What happened to a trigger since it was made.
    #[must_use]
    pub fn state(&self, entry: &TriggerEntry) -> TriggerState {
        self.states.get(entry.record.id)
    }

    /// Where the secrets of a webhook are sealed.
    pub(crate) fn credentials_place<'a>(&'a self, record: &TriggerRecord) -> CredentialsPlace<'a> {
        CredentialsPlace { vault: &*self.vault, project: record.project, trigger: record.id }
    }

    /// Refuses new work while the server stops.
    pub(crate) fn check_ready(&self) -> Result<(), Fault> {
        if self.runs.is_ready() { Ok(()) } else { Err(stopping()) }
    }

    /// The version that the trigger's alias points to now.
    pub(crate) async fn route(&self, entry: &TriggerEntry) -> Result<Route, Fault> {
        let record = &entry.record;
        let function = self.catalog.by_id(record.project, record.function);
        let function = function.ok_or_else(|| Fault::new(Code::FunctionNotFound, "the trigger's function is gone"))?;
        self.runs.route_entry(function, &Selector::Alias(record.alias.clone()), None).await
    }
}
