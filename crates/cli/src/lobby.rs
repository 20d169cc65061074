//! Where calls of a private server wait while the code is being replaced that they mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// How long a call waits for a deployment at the most. Then the version that serves answers it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Calls that are told of but not yet printed; more are not told of.
const TOLD_MAX: usize = 1_024;

/// A counter of noticed changes, and how many of them are served. A call waits for those that were noticed before it came.
#[derive(Debug)]
pub struct Lobby {
    noticed: AtomicU64,
    served: watch::Sender<u64>,
    told: mpsc::Sender<CallSeen>,
}

/// A call that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSeen {
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The HTTP status.
    pub status: u16,
    /// From its leave to go on to the head of its answer.
    pub took: Duration,
    /// The run's id, where there is a run.
    pub run: Option<String>,
    /// Whether it had to start an instance.
    pub is_cold: Option<bool>,
    /// The version that answered.
    pub version: Option<String>,
}

// === impl Lobby ===

impl Lobby {
    /// An empty lobby, and where its calls are told of.
    #[must_use]
    pub fn new() -> (Arc<Self>, mpsc::Receiver<CallSeen>) {
        let (told, calls) = mpsc::channel(TOLD_MAX);
        (Arc::new(Self { noticed: AtomicU64::new(0), served: watch::Sender::new(0), told }), calls)
    }

    /// Waits until every change that has been noticed by now is served, or given up.
    pub async fn pass(&self) {
        let noticed = self.noticed();
        let mut served = self.served.subscribe();
        let waiting = served.wait_for(|served| *served >= noticed);
        // Late or not, the call goes on: a version that cannot be replaced still serves.
        let _ = tokio::time::timeout(PATIENCE, waiting).await;
    }

    /// Tells of a call. Costs nothing where nobody reads fast enough.
    pub fn tell(&self, call: CallSeen) {
        let _ = self.told.try_send(call);
    }

    /// Notes a change: calls that come from now on wait for it.
    pub(crate) fn notice(&self) {
        self.noticed.fetch_add(1, Ordering::SeqCst);
    }

    /// Changes noticed so far.
    pub(crate) fn noticed(&self) -> u64 {
        self.noticed.load(Ordering::SeqCst)
    }

    /// Lets calls go on that wait for no more than the first `changes`.
    pub(crate) fn serve(&self, changes: u64) {
        self.served.send_modify(|served| *served = changes.max(*served));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_waits_for_what_was_noticed_before_it_and_no_more() {
        let (lobby, _calls) = Lobby::new();
        lobby.pass().await;
        lobby.notice();
        let waiting = tokio::spawn({
            let lobby = Arc::clone(&lobby);
            async move { lobby.pass().await }
        });
        while lobby.served.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        lobby.notice();
        lobby.serve(1);
        waiting.await.expect("it goes on");
        lobby.serve(2);
        lobby.serve(1);
        lobby.pass().await;
    }
}
