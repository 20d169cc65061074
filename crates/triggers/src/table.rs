//! The triggers of every project in memory, and who is told of changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use faas_catalog::{FunctionEntry, ProjectedTable, Projection, ProjectionStatus};
use faas_ports::{Collection, Key, PortResult, Registry, TopicKey};
use faas_types::{Fault, FunctionId, ProjectId, QueueTrigger, Reason, TriggerId, TriggerName, TriggerSettings};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::record::TriggerRecord;

/// A trigger's record with its revision in the registry.
#[derive(Debug)]
pub struct TriggerEntry {
    /// The record.
    pub record: TriggerRecord,
    /// The revision to expect when changing it.
    pub revision: u64,
}

/// The triggers of every project, a projection of the registry.
pub(super) struct TriggerTable(Projection<TriggerIndex>);

/// Lookups of triggers, and news for the tasks of schedules and of messages.
#[derive(Default)]
struct TriggerIndex {
    maps: RwLock<TriggerMaps>,
    /// Triggers that changed since the task of schedules last asked.
    changed: Mutex<BTreeSet<TriggerId>>,
    schedules_notify: Notify,
    /// Whether a trigger changed since the message dispatcher last asked.
    queues_changed: AtomicBool,
    queues_notify: Notify,
}

#[derive(Default)]
struct TriggerMaps {
    by_name: HashMap<FunctionId, BTreeMap<TriggerName, Arc<TriggerEntry>>>,
    by_id: HashMap<TriggerId, Arc<TriggerEntry>>,
    /// Webhooks by the hash of their token.
    hooks: HashMap<String, TriggerId>,
    events: HashMap<ProjectId, BTreeSet<TriggerId>>,
    queues: BTreeMap<TopicKey, BTreeSet<TriggerId>>,
}

// === impl TriggerEntry ===

impl TriggerEntry {
    /// Whether the function has the alias that the trigger calls.
    pub(super) fn has_alias(&self, function: &FunctionEntry) -> bool {
        function.record.aliases.contains_key(&self.record.alias)
    }
}

// === impl TriggerTable ===

impl TriggerTable {
    /// Loads all triggers, returns once they are complete, and keeps following the registry.
    pub(super) async fn start(registry: Arc<dyn Registry>) -> PortResult<Self> {
        Ok(Self(Projection::start(registry, TriggerIndex::default()).await?))
    }

    /// How the table follows the registry.
    pub(super) fn status(&self) -> ProjectionStatus {
        self.0.status()
    }

    /// Takes in a committed record.
    pub(super) fn learn(&self, record: TriggerRecord, revision: u64) {
        self.0.put(&record.key(), record, revision);
    }

    /// Takes in a committed deletion.
    pub(super) fn forget(&self, key: &Key, revision: u64) {
        self.0.remove(key, revision);
    }

    fn index(&self) -> &TriggerIndex {
        self.0.table()
    }

    /// Whether queue triggers may have changed since the last call.
    pub(super) fn take_queues_changed(&self) -> bool {
        self.index().queues_changed.swap(false, Ordering::AcqRel)
    }

    /// Completes when queue triggers may have changed.
    pub(super) async fn queues_changed(&self) {
        self.index().queues_notify.notified().await;
    }

    /// The subscribers of every topic that has any.
    pub(super) fn queues(&self) -> BTreeMap<TopicKey, BTreeSet<TriggerId>> {
        self.index().maps.read().queues.clone()
    }

    /// The subscribers of a topic.
    pub(super) fn subscribers(&self, topic: &TopicKey) -> Vec<TriggerId> {
        self.index().maps.read().queues.get(topic).into_iter().flatten().copied().collect()
    }

    /// The triggers that changed since the last call.
    pub(super) fn take_changed(&self) -> BTreeSet<TriggerId> {
        std::mem::take(&mut *self.index().changed.lock())
    }

    /// Completes when a trigger changes.
    pub(super) async fn changed(&self) {
        self.index().schedules_notify.notified().await;
    }

    /// The triggers of a function, by name.
    pub(super) fn of(&self, function: FunctionId) -> Vec<Arc<TriggerEntry>> {
        self.index().maps.read().by_name.get(&function).map(|of| of.values().cloned().collect()).unwrap_or_default()
    }

    /// A trigger of a function, found by name.
    ///
    /// # Errors
    /// `FN_013` when the function has no trigger of that name.
    pub(super) fn find(&self, function: FunctionId, name: &str) -> Result<Arc<TriggerEntry>, Fault> {
        let parsed: Option<TriggerName> = name.parse().ok();
        let maps = self.index().maps.read();
        let of = maps.by_name.get(&function);
        of.zip(parsed).and_then(|(of, name)| of.get(&name).cloned()).ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            Fault::new(Reason::TriggerNotFound, format!("the function has no trigger `{shown}`"))
                .with_command_hint("list them with `faas triggers list`")
        })
    }

    pub(super) fn by_id(&self, id: TriggerId) -> Option<Arc<TriggerEntry>> {
        self.index().maps.read().by_id.get(&id).cloned()
    }

    /// The webhook whose token has this hash.
    pub(super) fn by_token(&self, hash: &str) -> Option<Arc<TriggerEntry>> {
        let maps = self.index().maps.read();
        maps.by_id.get(maps.hooks.get(hash)?).cloned()
    }

    /// The event triggers of a project.
    pub(super) fn listening(&self, project: ProjectId) -> Vec<Arc<TriggerEntry>> {
        let maps = self.index().maps.read();
        let ids = maps.events.get(&project).into_iter().flatten();
        ids.filter_map(|id| maps.by_id.get(id).cloned()).collect()
    }
}

// === impl TriggerIndex ===

impl ProjectedTable for TriggerIndex {
    type Record = TriggerRecord;
    const COLLECTION: Collection = Collection::Triggers;

    fn put(&self, key: &Key, record: TriggerRecord, revision: u64) -> PortResult<()> {
        let mut changed = vec![record.id];
        let mut maps = self.maps.write();
        if let Some(old) = maps.by_key(key) {
            changed.push(old.record.id);
            maps.forget(&old.record);
        }
        maps.learn(Arc::new(TriggerEntry { record, revision }));
        drop(maps);
        self.notify(changed);
        Ok(())
    }

    fn remove(&self, key: &Key) {
        let mut maps = self.maps.write();
        let Some(known) = maps.by_key(key) else { return };
        maps.forget(&known.record);
        drop(maps);
        self.notify([known.record.id]);
    }
}

impl TriggerIndex {
    fn notify(&self, ids: impl IntoIterator<Item = TriggerId>) {
        self.changed.lock().extend(ids);
        self.schedules_notify.notify_one();
        self.queues_changed.store(true, Ordering::Release);
        self.queues_notify.notify_one();
    }
}

// === impl TriggerMaps ===

impl TriggerMaps {
    fn by_key(&self, key: &Key) -> Option<Arc<TriggerEntry>> {
        let (function, name) = key.name.split_once('/')?;
        let (function, name) = (function.parse::<FunctionId>().ok()?, name.parse::<TriggerName>().ok()?);
        self.by_name.get(&function)?.get(&name).cloned()
    }

    fn learn(&mut self, entry: Arc<TriggerEntry>) {
        let record = &entry.record;
        match (&record.settings, &record.credentials) {
            (TriggerSettings::Webhook(_), Some(credentials)) => {
                self.hooks.insert(credentials.token_hash.clone(), record.id);
            }
            (TriggerSettings::Event(_), _) => {
                self.events.entry(record.project).or_default().insert(record.id);
            }
            (TriggerSettings::Queue(queue), _) => {
                self.queues.entry(topic_of(record.project, queue)).or_default().insert(record.id);
            }
            _ => {}
        }
        self.by_name.entry(record.function).or_default().insert(record.name().clone(), Arc::clone(&entry));
        self.by_id.insert(record.id, entry);
    }

    fn forget(&mut self, record: &TriggerRecord) {
        if let Some(credentials) = &record.credentials {
            self.hooks.remove(&credentials.token_hash);
        }
        if let Some(listening) = self.events.get_mut(&record.project) {
            listening.remove(&record.id);
        }
        if let TriggerSettings::Queue(queue) = &record.settings {
            let topic = topic_of(record.project, queue);
            if let Some(subscribers) = self.queues.get_mut(&topic) {
                subscribers.remove(&record.id);
                if subscribers.is_empty() {
                    self.queues.remove(&topic);
                }
            }
        }
        if let Some(of) = self.by_name.get_mut(&record.function) {
            of.remove(record.name());
            if of.is_empty() {
                self.by_name.remove(&record.function);
            }
        }
        self.by_id.remove(&record.id);
    }
}

fn topic_of(project: ProjectId, queue: &QueueTrigger) -> TopicKey {
    TopicKey { project, name: queue.topic.clone() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faas_catalog::encode;
    use faas_ports::{Expect, Write};
    use faas_testkit::UnreliableRegistry;
    use faas_types::{AliasName, QueueTrigger, Span, Timestamp};

    use super::*;
    use crate::record::TriggerOrigin;

    fn subscriber(name: &str, topic: &str, id: u128) -> TriggerRecord {
        let at = Timestamp::from_millis(1);
        TriggerRecord {
            id: TriggerId::from_u128(id),
            project: ProjectId::from_u128(1),
            function: FunctionId::from_u128(1),
            alias: AliasName::live(),
            origin: TriggerOrigin::Api,
            settings: TriggerSettings::Queue(QueueTrigger {
                name: name.parse().expect("a name"),
                topic: topic.parse().expect("a name"),
                batch_size: 1,
                batch_window: Span::from_millis(0),
                retry: None,
                path: "/".to_owned(),
            }),
            enabled: true,
            active_since: at,
            credentials: None,
            created_at: at,
            updated_at: at,
        }
    }

    async fn commit(registry: &UnreliableRegistry, write: Write) {
        registry.commit(vec![write]).await.expect("commits");
    }

    async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        for _ in 0..100_000 {
            if is_so() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("never: {what}");
    }

    #[tokio::test(start_paused = true)]
    async fn triggers_changed_during_an_outage_are_known_after_it() {
        let registry = UnreliableRegistry::new();
        let put = |record: TriggerRecord| {
            let value = encode(&record).expect("encodes");
            commit(&registry, Write::Put { key: record.key(), value, expect: Expect::Any })
        };
        let (gone, moved) = (subscriber("gone", "a", 1), subscriber("moved", "a", 2));
        put(gone.clone()).await;
        put(moved.clone()).await;
        let triggers = TriggerTable::start(Arc::clone(&registry) as Arc<dyn Registry>).await.expect("starts");
        let topic = |name: &str| TopicKey { project: gone.project, name: name.parse().expect("a name") };
        assert_eq!(triggers.subscribers(&topic("a")), [gone.id, moved.id]);
        assert!(triggers.take_queues_changed());

        registry.set_outage(true);
        until("it fails to follow", || triggers.status().failures >= 3).await;
        commit(&registry, Write::Delete { key: gone.key(), expect: Expect::Any }).await;
        put(subscriber("moved", "b", 2)).await;
        registry.set_outage(false);
        until("it is current", || triggers.status().stale_for.is_none()).await;
        assert_eq!((triggers.subscribers(&topic("a")), triggers.subscribers(&topic("b"))), (vec![], vec![moved.id]));
        assert!(triggers.take_queues_changed(), "the message dispatcher looks again");

        put(subscriber("new", "a", 3)).await;
        until("it follows again", || triggers.subscribers(&topic("a")).len() == 1).await;
    }
}
