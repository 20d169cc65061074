//! Registry news on their way from the writer to the watchers.

use std::sync::{Arc, OnceLock};

use faas_ports::{Change, Collection, Entry, Watch};
use futures_util::{StreamExt, stream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// One channel of changes for each collection. It is made when the first watcher comes, since its places take memory from
/// the start, and most collections are never watched.
#[derive(Debug)]
pub(crate) struct WatchHub {
    channels: [OnceLock<broadcast::Sender<Arc<Change>>>; Collection::ALL.len()],
    capacity: usize,
}

/// News of one collection from now on.
pub(crate) struct News {
    receiver: broadcast::Receiver<Arc<Change>>,
}

// === impl WatchHub ===

impl WatchHub {
    /// A watcher may lag `capacity` changes behind before it is told to watch anew.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { channels: Default::default(), capacity: capacity.max(1) }
    }

    /// Tells the changes of one commit. Commits must be told in their order.
    pub(crate) fn publish(&self, changes: &[Change]) {
        for change in changes {
            let key = match change {
                Change::Put(entry) => &entry.key,
                Change::Deleted { key, .. } => key,
                Change::Synced | Change::Lagged => continue,
            };
            if let Some(channel) = self.channels[key.collection as usize].get().filter(|one| one.receiver_count() > 0) {
                // An error means that the last watcher has just gone.
                let _ = channel.send(Arc::new(change.clone()));
            }
        }
    }

    pub(crate) fn subscribe(&self, collection: Collection) -> News {
        let channel = self.channels[collection as usize].get_or_init(|| broadcast::Sender::new(self.capacity));
        News { receiver: channel.subscribe() }
    }
}

// === impl News ===

impl News {
    /// The watch: a snapshot taken at `revision`, then what came after it.
    pub(crate) fn after(self, revision: u64, snapshot: Vec<Entry>) -> Watch {
        let known = stream::iter(snapshot.into_iter().map(Change::Put).chain([Change::Synced]));
        let news = stream::unfold(Some(self.receiver), move |receiver| async move {
            let mut receiver = receiver?;
            loop {
                match receiver.recv().await {
                    Ok(change) if revision_of(&change) <= revision => {}
                    Ok(change) => return Some((Arc::unwrap_or_clone(change), Some(receiver))),
                    Err(RecvError::Lagged(_)) => return Some((Change::Lagged, None)),
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        Box::pin(known.chain(news))
    }
}

fn revision_of(change: &Change) -> u64 {
    match change {
        Change::Put(entry) => entry.revision,
        Change::Deleted { revision, .. } => *revision,
        Change::Synced | Change::Lagged => u64::MAX,
    }
}
