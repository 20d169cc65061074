//! The vars and sealed secrets of every project's stages in memory, kept current by watching the registry.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faas_ports::{Change, Collection, Key, PortResult, Registry};
use faas_types::{ProjectId, SecretName, Stage};
use futures_util::StreamExt;
use parking_lot::RwLock;

use super::secrets::SecretRecord;
use crate::catalog::decode;

/// What the stages of every project have.
#[derive(Default)]
pub(crate) struct StageBook {
    projects: RwLock<HashMap<ProjectId, Arc<ProjectStages>>>,
    /// Rises with every change of any of them.
    generation: AtomicU64,
}

/// What the stages of one project have. A look at it stays as it was.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProjectStages {
    vars: BTreeMap<Stage, Kept<BTreeMap<String, String>>>,
    secrets: BTreeMap<(Stage, SecretName), Kept<SecretRecord>>,
}

/// A record with the registry's revision of it.
#[derive(Clone, Debug)]
struct Kept<T> {
    record: Arc<T>,
    revision: u64,
}

/// The two collections that are watched.
const WATCHED: [Collection; 2] = [Collection::StageVars, Collection::Secrets];

pub(super) fn vars_key(project: ProjectId, stage: Stage) -> Key {
    Key::new(project, Collection::StageVars, stage.as_str())
}

pub(super) fn secret_key(project: ProjectId, stage: Stage, name: &SecretName) -> Key {
    Key::new(project, Collection::Secrets, format!("{stage}/{name}"))
}

/// Stage and name of a secret by its key's name.
pub(super) fn secret_of(name: &str) -> Option<(Stage, SecretName)> {
    let (stage, name) = name.split_once('/')?;
    Some((stage.parse().ok()?, name.parse().ok()?))
}

// === impl StageBook ===

impl StageBook {
    /// Loads all of them and keeps following; returns once it is complete.
    pub(crate) async fn start(registry: Arc<dyn Registry>) -> PortResult<Arc<Self>> {
        let book = Arc::new(Self::default());
        for collection in WATCHED {
            let mut watch = registry.watch(collection).await?;
            while let Some(change) = watch.next().await {
                match change {
                    Change::Synced => break,
                    Change::Lagged => watch = registry.watch(collection).await?,
                    other => book.apply(&other),
                }
            }
            let (following, registry) = (Arc::downgrade(&book), Arc::clone(&registry));
            tokio::spawn(async move {
                loop {
                    while let Some(change) = watch.next().await {
                        let Some(book) = following.upgrade() else { return };
                        book.apply(&change);
                    }
                    if following.strong_count() == 0 {
                        return;
                    }
                    match registry.watch(collection).await {
                        Ok(anew) => watch = anew,
                        Err(error) => {
                            tracing::warn!(%error, "vars and secrets no longer follow the registry");
                            return;
                        }
                    }
                }
            });
        }
        Ok(book)
    }

    /// Tells apart what the book said at different times.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What a project has now.
    pub(crate) fn of(&self, project: ProjectId) -> Arc<ProjectStages> {
        self.projects.read().get(&project).cloned().unwrap_or_default()
    }

    /// Takes in a change; an older revision than the one known is ignored.
    pub(super) fn apply(&self, change: &Change) {
        let (key, revision, value) = match change {
            Change::Put(entry) => (&entry.key, entry.revision, Some(&entry.value[..])),
            Change::Deleted { key, revision } => (key, *revision, None),
            Change::Synced | Change::Lagged => return,
        };
        if let Err(error) = self.change(key, |project| project.take_in(key, revision, value)) {
            tracing::error!(%error, "vars or a secret are left out");
        }
    }

    fn change(&self, key: &Key, change: impl FnOnce(&mut ProjectStages) -> PortResult<()>) -> PortResult<()> {
        let mut projects = self.projects.write();
        let outcome = change(Arc::make_mut(projects.entry(key.project).or_default()));
        drop(projects);
        self.generation.fetch_add(1, Ordering::AcqRel);
        outcome
    }
}

// === impl ProjectStages ===

impl ProjectStages {
    /// The vars that a stage itself gives all functions.
    pub(crate) fn vars(&self, stage: Stage) -> Option<&BTreeMap<String, String>> {
        self.vars.get(&stage).map(|kept| &*kept.record)
    }

    /// The secret that a stage itself has.
    pub(crate) fn own_secret(&self, stage: Stage, name: &SecretName) -> Option<&Arc<SecretRecord>> {
        // Looked up by reference would need a borrowed pair; names are short and this is no warm path.
        self.secrets.get(&(stage, name.clone())).map(|kept| &kept.record)
    }

    /// The secret that a stage sees, and the stage that has it.
    pub(crate) fn secret(&self, stage: Stage, name: &SecretName) -> Option<(Stage, &Arc<SecretRecord>)> {
        stage.chain().find_map(|owner| Some((owner, self.own_secret(owner, name)?)))
    }

    /// Every secret, by stage and name.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = (Stage, &SecretName, &Arc<SecretRecord>)> {
        self.secrets.iter().map(|((stage, name), kept)| (*stage, name, &kept.record))
    }

    fn take_in(&mut self, key: &Key, revision: u64, value: Option<&[u8]>) -> PortResult<()> {
        let corrupt = || faas_ports::PortError::Corrupt { what: format!("{} `{}`", key.collection.as_str(), key.name) };
        match key.collection {
            Collection::StageVars => {
                let stage: Stage = key.name.parse().map_err(|_| corrupt())?;
                let record = value.map(|value| decode(key, value)).transpose()?;
                put(&mut self.vars, stage, record, revision);
            }
            _ => {
                let place = secret_of(&key.name).ok_or_else(corrupt)?;
                let record = value.map(|value| decode(key, value)).transpose()?;
                put(&mut self.secrets, place, record, revision);
            }
        }
        Ok(())
    }
}

fn put<K: Ord, T>(table: &mut BTreeMap<K, Kept<T>>, key: K, record: Option<T>, revision: u64) {
    if table.get(&key).is_some_and(|known| known.revision >= revision) {
        return;
    }
    match record {
        Some(record) => drop(table.insert(key, Kept { record: Arc::new(record), revision })),
        None => drop(table.remove(&key)),
    }
}
