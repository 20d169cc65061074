//! The body of a push on its way to git.

use std::sync::Arc;

use axum::body::BodyDataStream;
use bytes::Bytes;
use faas_types::{ByteSize, Code, Fault, limits};
use futures_util::stream::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::git::remote::GitRemote;

/// After how many bytes it is asked again whether the disk has room.
const ASK_EVERY: u64 = 16 << 20;

/// Hands the body to git. What breaks off ends in the middle of a pack, and git says so.
pub(super) struct Feed {
    pub(super) stdin: ChildStdin,
    /// What was read of the body already.
    pub(super) head: Bytes,
    pub(super) body: BodyDataStream,
    pub(super) deadline: Instant,
    pub(super) remote: Arc<GitRemote>,
}

// === impl Feed ===

impl Feed {
    /// Tells why where the rest is not wanted.
    pub(super) async fn run(mut self, refuse: oneshot::Sender<Fault>) {
        let (mut passed, mut asked) = (0, 0);
        let mut next = Some(std::mem::take(&mut self.head));
        while let Some(chunk) = next {
            passed += chunk.len() as u64;
            let admitted = if passed - asked > ASK_EVERY {
                asked = passed;
                self.remote.admit()
            } else {
                Ok(())
            };
            if let Err(fault) = admitted.and_then(|()| check_size(passed)) {
                tracing::warn!(error = fault.message, "a push is broken off");
                drain(self.body, self.deadline).await;
                // Its push may have ended.
                let _ = refuse.send(fault);
                return;
            }
            if !matches!(timeout_at(self.deadline, self.stdin.write_all(&chunk)).await, Ok(Ok(()))) {
                return;
            }
            next = match timeout_at(self.deadline, self.body.next()).await {
                Ok(Some(Ok(chunk))) => Some(chunk),
                _ => None,
            };
        }
    }
}

fn check_size(passed: u64) -> Result<(), Fault> {
    let most = limits::BUNDLE_BYTES_MAX;
    if passed <= most {
        return Ok(());
    }
    let message = format!("the push brings more than {}, the most that a bundle may have", ByteSize::from_bytes(most));
    Err(Fault::new(Code::PayloadTooLarge, message).with_hint(
        "leave large files and old history out (`git commit-tree HEAD^{tree}` makes a commit without any), or push in steps",
    ))
}

/// Reads what a refused push still sends: many clients hear the answer only then. One that goes on for too long misses it.
pub(super) async fn drain(mut body: BodyDataStream, deadline: Instant) {
    let mut left = limits::BUNDLE_BYTES_MAX;
    while let Ok(Some(Ok(chunk))) = timeout_at(deadline, body.next()).await {
        left = left.saturating_sub(chunk.len() as u64);
        if left == 0 {
            return;
        }
    }
}

/// Waits for a reason to refuse the push; for ever where there will be none.
pub(super) async fn refusal(refused: &mut Option<oneshot::Receiver<Fault>>) -> Fault {
    if let Some(receiver) = refused
        && let Ok(fault) = receiver.await
    {
        return fault;
    }
    *refused = None;
    std::future::pending().await
}
