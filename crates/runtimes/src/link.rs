//! What an instance's handle and its driver share, and why there is nothing more to read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faas_ports::{ExchangeItem, SandboxControl, SandboxExit};
use tokio::sync::watch;

use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::streams::Streams;

/// What an instance's handle and its driver share.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) control: Arc<dyn SandboxControl>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) streams: Arc<Streams>,
    /// The program wrote that it has no memory left.
    pub(crate) starved: Arc<AtomicBool>,
    /// The number of the last ping that was answered.
    pub(crate) pongs: Arc<watch::Sender<u64>>,
}

/// Why there is no further frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The program ended or closed its socket.
    Gone,
    /// The shim broke the protocol.
    Breach(String),
}

// === impl Stopped ===

impl Stopped {
    /// How long to wait before the sandbox is killed. A program whose socket has closed is usually about to be gone,
    /// and killing it at once would hide the status that it ends with.
    pub(crate) const fn patience(&self) -> Duration {
        match self {
            Self::Gone => Duration::from_millis(500),
            Self::Breach(_) => Duration::ZERO,
        }
    }
}

// === impl Link ===

impl Link {
    /// Waits until nothing is left of the sandbox, killing it after `patience`.
    pub(crate) async fn end(&self, patience: Duration) -> SandboxExit {
        if !patience.is_zero()
            && let Ok(exit) = tokio::time::timeout(patience, self.control.wait()).await
        {
            return self.judged(exit);
        }
        self.control.kill();
        self.judged(self.control.wait().await)
    }

    /// Puts a line, or a part of one, that was admitted into the log of its run.
    pub(crate) async fn hand_over(&self, stream: u32, inbox: &Inbox, line: ExchangeItem, headed: bool) {
        if inbox.push_line(line, headed).await.is_err() {
            self.streams.drop_line(stream);
        }
    }

    /// An exit with what the program said about it. Complete once its pipes have been drained.
    pub(crate) fn judged(&self, exit: SandboxExit) -> SandboxExit {
        let starved = exit.signal.is_some() && self.starved.load(Ordering::Acquire);
        SandboxExit { out_of_memory: exit.out_of_memory || starved, ..exit }
    }
}
