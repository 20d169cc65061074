//! Holds the calls of a private server while the code that they mean is being redeployed, and answers them while nothing serves.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// How long a call waits for a deployment. Then the version that serves answers it.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Calls that are reported but not yet printed; calls beyond that are not reported.
const REPORTED_MAX: usize = 1_024;

/// A counter of noticed changes, and how many of them are served. A call waits for those that were noticed before it came.
#[derive(Debug)]
pub struct ReloadGate {
    noticed: AtomicU64,
    served: watch::Sender<u64>,
    reports: mpsc::Sender<ObservedCall>,
    failure: Mutex<Option<Arc<ReloadFailure>>>,
    /// Whether functions answer without a key that their manifest asks for.
    is_opened: AtomicBool,
}

/// Why nothing serves yet, in answer to calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadFailure {
    /// For people.
    pub text: String,
    /// For programs, as a problem document.
    pub problem: serde_json::Value,
}

/// A call that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedCall {
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The HTTP status.
    pub status: u16,
    /// From leaving the gate to the head of the answer.
    pub took: Duration,
    /// The run's id, where there is a run.
    pub run: Option<String>,
    /// Whether it had to start an instance.
    pub is_cold: Option<bool>,
    /// The version that answered.
    pub version: Option<String>,
}

// === impl ReloadGate ===

impl ReloadGate {
    /// An open gate, and the channel of the calls that passed it.
    #[must_use]
    pub fn new() -> (Arc<Self>, mpsc::Receiver<ObservedCall>) {
        let (reports, calls) = mpsc::channel(REPORTED_MAX);
        let gate = Self {
            noticed: AtomicU64::new(0),
            served: watch::Sender::new(0),
            reports,
            failure: Mutex::default(),
            is_opened: AtomicBool::new(false),
        };
        (Arc::new(gate), calls)
    }

    /// Waits until every change that has been noticed by now is served, or given up.
    pub async fn pass(&self) {
        let noticed = self.noticed();
        let mut served = self.served.subscribe();
        let waiting = served.wait_for(|served| *served >= noticed);
        // Late or not, the call goes on: a version that cannot be replaced still serves.
        let _ = tokio::time::timeout(WAIT_MAX, waiting).await;
    }

    /// Reports a call. Drops the report when the reader is behind.
    pub fn report(&self, call: ObservedCall) {
        let _ = self.reports.try_send(call);
    }

    /// What calls are answered with while nothing that was deployed here serves.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<ReloadFailure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether functions answer without a key although their manifest asks for one. Then only this machine may call: a page
    /// that a browser has open could point a host name of its own here.
    #[must_use]
    pub fn is_opened(&self) -> bool {
        self.is_opened.load(Ordering::Relaxed)
    }

    /// Says whether functions were opened.
    pub fn set_opened(&self, is_opened: bool) {
        self.is_opened.store(is_opened, Ordering::Relaxed);
    }

    /// Answers calls with a failure; `None` lets them through again.
    pub fn set_failure(&self, failure: Option<ReloadFailure>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure.map(Arc::new);
    }

    /// Notes a change: calls that come from now on wait for it.
    pub fn notice(&self) {
        self.noticed.fetch_add(1, Ordering::SeqCst);
    }

    /// Changes noticed so far.
    #[must_use]
    pub fn noticed(&self) -> u64 {
        self.noticed.load(Ordering::SeqCst)
    }

    /// Lets calls go on that wait for no more than the first `changes`.
    pub fn serve(&self, changes: u64) {
        self.served.send_modify(|served| *served = changes.max(*served));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_waits_for_what_was_noticed_before_it_and_no_more() {
        let (gate, _calls) = ReloadGate::new();
        gate.pass().await;
        gate.notice();
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.pass().await }
        });
        while gate.served.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        gate.notice();
        gate.serve(1);
        waiting.await.expect("it goes on");
        gate.serve(2);
        gate.serve(1);
        gate.pass().await;
    }
}
