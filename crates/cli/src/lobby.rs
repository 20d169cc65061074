//! Where calls of a private server wait while the code is being replaced that they mean, and what answers them when there is none.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
    trouble: Mutex<Option<Arc<Trouble>>>,
    /// Whether functions answer without a key that their manifest asks for.
    is_opened: AtomicBool,
}

/// Why nothing serves yet, in answer to calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// For people.
    pub text: String,
    /// For programs, as a problem document.
    pub problem: serde_json::Value,
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
        let lobby = Self {
            noticed: AtomicU64::new(0),
            served: watch::Sender::new(0),
            told,
            trouble: Mutex::default(),
            is_opened: AtomicBool::new(false),
        };
        (Arc::new(lobby), calls)
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

    /// What calls are answered with while nothing that was deployed here serves.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether functions answer without a key although their manifest asks for one. Then only this machine may ask: a page
    /// that a browser has open could lead a name of its own here.
    #[must_use]
    pub fn is_opened(&self) -> bool {
        self.is_opened.load(Ordering::Relaxed)
    }

    /// Says whether functions were opened.
    pub(crate) fn open(&self, is_opened: bool) {
        self.is_opened.store(is_opened, Ordering::Relaxed);
    }

    /// Answers calls with a failure; `None` lets them through again.
    pub(crate) fn answer_with(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble.map(Arc::new);
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
