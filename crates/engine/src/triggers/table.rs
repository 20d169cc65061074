//! The triggers of every project in memory, kept current by watching the registry.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use faas_ports::{Change, Collection, Key, PortResult, Registry, TopicKey};
use faas_types::{Code, Fault, FunctionId, ProjectId, QueueTrigger, TriggerId, TriggerName, TriggerSettings};
use futures_util::StreamExt;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::record::TriggerRecord;
use crate::catalog::{FunctionEntry, decode};

/// A trigger with the registry's revision of its record.
#[derive(Debug)]
pub struct TriggerEntry {
    /// The record.
    pub record: TriggerRecord,
    /// The revision to expect when changing it.
    pub revision: u64,
}

/// The triggers of every project.
pub struct Triggers {
    registry: Arc<dyn Registry>,
    tables: RwLock<Tables>,
    /// Triggers that changed since the scheduler last looked.
    changed: Mutex<BTreeSet<TriggerId>>,
    news: Notify,
    /// A queue trigger changed since this was last asked.
    queue_news: AtomicBool,
    queues_changed: Notify,
}

#[derive(Default)]
struct Tables {
    by_name: HashMap<FunctionId, BTreeMap<TriggerName, Arc<TriggerEntry>>>,
    by_id: HashMap<TriggerId, Arc<TriggerEntry>>,
    /// Webhooks by the hash of their token.
    hooks: HashMap<String, TriggerId>,
    events: HashMap<ProjectId, BTreeSet<TriggerId>>,
    queues: BTreeMap<TopicKey, BTreeSet<TriggerId>>,
}

// === impl TriggerEntry ===

impl TriggerEntry {
    /// Whether the alias by which it calls its function is there.
    pub(super) fn has_alias(&self, function: &FunctionEntry) -> bool {
        function.record.aliases.contains_key(&self.record.alias)
    }
}

// === impl Triggers ===

impl Triggers {
    /// Loads all triggers and keeps following; returns once it is complete.
    pub(crate) async fn start(registry: Arc<dyn Registry>) -> PortResult<Arc<Self>> {
        let triggers = Arc::new(Self {
            registry,
            tables: RwLock::default(),
            changed: Mutex::default(),
            news: Notify::new(),
            queue_news: AtomicBool::new(false),
            queues_changed: Notify::new(),
        });
        let mut watch = triggers.registry.watch(Collection::Triggers).await?;
        while let Some(change) = watch.next().await {
            match change {
                Change::Synced => break,
                Change::Lagged => watch = triggers.registry.watch(Collection::Triggers).await?,
                other => triggers.apply(other),
            }
        }
        let following = Arc::downgrade(&triggers);
        tokio::spawn(async move {
            loop {
                while let Some(change) = watch.next().await {
                    let Some(triggers) = following.upgrade() else { return };
                    triggers.apply(change);
                }
                let Some(triggers) = following.upgrade() else { return };
                match triggers.registry.watch(Collection::Triggers).await {
                    Ok(anew) => watch = anew,
                    Err(error) => {
                        tracing::warn!(%error, "the triggers no longer follow the registry");
                        return;
                    }
                }
            }
        });
        Ok(triggers)
    }

    fn apply(&self, change: Change) {
        match change {
            Change::Put(entry) => match decode::<TriggerRecord>(&entry.key, &entry.value) {
                Ok(record) => self.put(record, entry.revision),
                Err(error) => tracing::error!(%error, "a trigger is left out"),
            },
            Change::Deleted { key, revision } => self.remove(&key, revision),
            Change::Synced | Change::Lagged => {}
        }
    }

    /// Takes in a record; an older revision than the one known is ignored.
    pub(crate) fn put(&self, record: TriggerRecord, revision: u64) {
        let mut tables = self.tables.write();
        let known = tables.by_name.get(&record.function).and_then(|of| of.get(record.name())).cloned();
        if known.as_ref().is_some_and(|old| old.revision >= revision) {
            return;
        }
        let mut changed = vec![record.id];
        if let Some(old) = known {
            changed.push(old.record.id);
            tables.forget(&old.record);
        }
        tables.learn(Arc::new(TriggerEntry { record, revision }));
        drop(tables);
        self.tell(changed);
    }

    /// Forgets a record, unless a newer one than `revision` is known.
    pub(crate) fn remove(&self, key: &Key, revision: u64) {
        let Some((function, name)) = key.name.split_once('/') else { return };
        let (Ok(function), Ok(name)) = (function.parse::<FunctionId>(), name.parse::<TriggerName>()) else { return };
        let mut tables = self.tables.write();
        let known = tables.by_name.get(&function).and_then(|of| of.get(&name)).cloned();
        let Some(known) = known.filter(|known| known.revision < revision) else { return };
        tables.forget(&known.record);
        drop(tables);
        self.tell([known.record.id]);
    }

    fn tell(&self, ids: impl IntoIterator<Item = TriggerId>) {
        self.changed.lock().extend(ids);
        self.news.notify_one();
        self.queue_news.store(true, Ordering::Release);
        self.queues_changed.notify_one();
    }

    /// Whether anything about queue triggers may have changed since this was last asked.
    pub(crate) fn take_queue_news(&self) -> bool {
        self.queue_news.swap(false, Ordering::AcqRel)
    }

    /// Until something about queue triggers may have changed.
    pub(crate) async fn queues_changed(&self) {
        self.queues_changed.notified().await;
    }

    /// Every topic that has subscribers, with them.
    pub(crate) fn queues(&self) -> BTreeMap<TopicKey, BTreeSet<TriggerId>> {
        self.tables.read().queues.clone()
    }

    /// The subscribers of a topic.
    pub(crate) fn subscribers(&self, topic: &TopicKey) -> Vec<TriggerId> {
        self.tables.read().queues.get(topic).into_iter().flatten().copied().collect()
    }

    /// The triggers that changed since this was last asked.
    pub(crate) fn take_changed(&self) -> BTreeSet<TriggerId> {
        std::mem::take(&mut *self.changed.lock())
    }

    /// Until a trigger changes.
    pub(crate) async fn changed(&self) {
        self.news.notified().await;
    }

    /// The triggers of a function, by name.
    #[must_use]
    pub fn of(&self, function: FunctionId) -> Vec<Arc<TriggerEntry>> {
        self.tables.read().by_name.get(&function).map(|of| of.values().cloned().collect()).unwrap_or_default()
    }

    /// A trigger by name.
    ///
    /// # Errors
    /// `FN_013` when the function has none of that name.
    pub fn find(&self, function: FunctionId, name: &str) -> Result<Arc<TriggerEntry>, Fault> {
        let parsed: Option<TriggerName> = name.parse().ok();
        let tables = self.tables.read();
        let of = tables.by_name.get(&function);
        of.zip(parsed).and_then(|(of, name)| of.get(&name).cloned()).ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            Fault::new(Code::NotFound, format!("the function has no trigger `{shown}`"))
                .with_hint("list them with `faas triggers list`")
        })
    }

    pub(crate) fn by_id(&self, id: TriggerId) -> Option<Arc<TriggerEntry>> {
        self.tables.read().by_id.get(&id).cloned()
    }

    /// The webhook whose token has this hash.
    pub(crate) fn by_token(&self, hash: &str) -> Option<Arc<TriggerEntry>> {
        let tables = self.tables.read();
        tables.by_id.get(tables.hooks.get(hash)?).cloned()
    }

    /// The event triggers of a project.
    pub(crate) fn listening(&self, project: ProjectId) -> Vec<Arc<TriggerEntry>> {
        let tables = self.tables.read();
        let ids = tables.events.get(&project).into_iter().flatten();
        ids.filter_map(|id| tables.by_id.get(id).cloned()).collect()
    }
}

// === impl Tables ===

impl Tables {
    fn learn(&mut self, entry: Arc<TriggerEntry>) {
        let record = &entry.record;
        match (&record.settings, &record.door) {
            (TriggerSettings::Webhook(_), Some(door)) => {
                self.hooks.insert(door.token_hash.clone(), record.id);
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
        if let Some(door) = &record.door {
            self.hooks.remove(&door.token_hash);
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
