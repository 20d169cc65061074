//! Registry news on their way from the writer to the watchers.

use faas_ports::{Change, Collection, Entry, Watch};
use futures_util::{StreamExt, stream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// One channel of changes for each collection.
#[derive(Debug)]
pub(crate) struct WatchHub {
    channels: [broadcast::Sender<Change>; Collection::ALL.len()],
}

/// News of one collection from now on.
pub(crate) struct News {
    receiver: broadcast::Receiver<Change>,
}

// === impl WatchHub ===

impl WatchHub {
    /// A watcher may lag `capacity` changes behind before it is told to watch anew.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { channels: std::array::from_fn(|_| broadcast::Sender::new(capacity.max(1))) }
    }

    /// Tells the changes of one commit. Commits must be told in their order.
    pub(crate) fn publish(&self, changes: &[Change]) {
        for change in changes {
            let key = match change {
                Change::Put(entry) => &entry.key,
                Change::Deleted { key, .. } => key,
                Change::Synced | Change::Lagged => continue,
            };
            // An error means that there is no watcher.
            let _ = self.channels[key.collection as usize].send(change.clone());
        }
    }

    pub(crate) fn subscribe(&self, collection: Collection) -> News {
        News { receiver: self.channels[collection as usize].subscribe() }
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
                    Ok(change) => return Some((change, Some(receiver))),
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
