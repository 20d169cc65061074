//! Progress events of a deployment. Sending never waits: a receiver that does not keep up misses lines and learns how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faas_ports::BuildListener;
use faas_types::{FunctionName, LayerRecord};
use tokio::sync::mpsc;

/// The most events that wait for the receiver.
const QUEUED_MAX: usize = 256;
/// The most lines sent for one deployment; the rest is counted as left out.
const LINES_MAX: u64 = 10_000;

/// A step of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgressEvent {
    /// The deployment waits, for this reason.
    Waiting(&'static str),
    /// Packages that this file asks for are being installed.
    Installing(String),
    /// The installer wrote a line.
    Line(String),
    /// So many lines were left out.
    LeftOut(u64),
    /// The packages of an existing layer are used.
    Reused(Arc<LayerRecord>),
    /// The entrypoint is being loaded.
    Loading,
}

/// Sends the events of one function's deployment. The default drops them.
#[derive(Clone, Debug, Default)]
pub struct ProgressSender(Option<Channel>);

#[derive(Clone, Debug)]
struct Channel {
    function: FunctionName,
    to: mpsc::Sender<(FunctionName, ProgressEvent)>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    lines: AtomicU64,
    left_out: AtomicU64,
}

/// Receives the events of one deployment, of a function or of a group.
#[derive(Debug)]
pub struct ProgressReceiver {
    from: mpsc::Receiver<(FunctionName, ProgressEvent)>,
    to: Option<mpsc::Sender<(FunctionName, ProgressEvent)>>,
    senders: Vec<(FunctionName, Arc<Counts>)>,
}

// === impl ProgressSender ===

impl ProgressSender {
    pub(crate) fn send(&self, event: ProgressEvent) {
        let Some(Channel { function, to, counts }) = &self.0 else { return };
        let is_line = matches!(event, ProgressEvent::Line(_));
        if is_line && counts.lines.fetch_add(1, Ordering::Relaxed) >= LINES_MAX {
            counts.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let missed = counts.left_out.swap(0, Ordering::Relaxed);
        if missed > 0 && to.try_send((function.clone(), ProgressEvent::LeftOut(missed))).is_err() {
            counts.left_out.fetch_add(missed, Ordering::Relaxed);
        }
        if to.try_send((function.clone(), event)).is_err() && is_line {
            counts.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl BuildListener for ProgressSender {
    fn line(&self, line: &str) {
        self.send(ProgressEvent::Line(line.to_owned()));
    }
}

// === impl ProgressReceiver ===

impl ProgressReceiver {
    /// A receiver without senders.
    #[must_use]
    pub fn new() -> Self {
        let (to, from) = mpsc::channel(QUEUED_MAX);
        Self { from, to: Some(to), senders: Vec::new() }
    }

    /// A sender for one function.
    pub fn sender_for(&mut self, function: &FunctionName) -> ProgressSender {
        let Some(to) = self.to.clone() else { return ProgressSender::default() };
        let counts = Arc::new(Counts::default());
        self.senders.push((function.clone(), Arc::clone(&counts)));
        ProgressSender(Some(Channel { function: function.clone(), to, counts }))
    }

    /// The next event; `None` once all senders are gone.
    pub async fn recv(&mut self) -> Option<(FunctionName, ProgressEvent)> {
        self.to = None;
        if let Some(event) = self.from.recv().await {
            return Some(event);
        }
        // Lines that were dropped after the last event.
        loop {
            let (function, counts) = self.senders.pop()?;
            let missed = counts.left_out.swap(0, Ordering::Relaxed);
            if missed > 0 {
                return Some((function, ProgressEvent::LeftOut(missed)));
            }
        }
    }
}

impl Default for ProgressReceiver {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_receiver_that_does_not_keep_up_learns_what_it_misses() {
        let mut receiver = ProgressReceiver::new();
        let sender = receiver.sender_for(&"a".parse().expect("a name"));
        let total = QUEUED_MAX as u64 + 50;
        (0..total).for_each(|n| sender.line(&n.to_string()));
        let mut received = 0;
        for _ in 0..10 {
            let (_, event) = receiver.recv().await.expect("an event");
            assert_eq!(event, ProgressEvent::Line(received.to_string()));
            received += 1;
        }
        sender.line("late");
        drop(sender);
        let (mut lines, mut missed) = (received, 0);
        while let Some((_, event)) = receiver.recv().await {
            match event {
                ProgressEvent::Line(_) => lines += 1,
                ProgressEvent::LeftOut(count) => missed += count,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((lines, missed), (QUEUED_MAX as u64 + 1, 50), "every line was sent or counted");
    }

    #[tokio::test]
    async fn an_endless_installer_is_cut_off() {
        let mut receiver = ProgressReceiver::new();
        let sender = receiver.sender_for(&"a".parse().expect("a name"));
        let counted = tokio::spawn(async move {
            let (mut lines, mut missed) = (0, 0);
            while let Some((_, event)) = receiver.recv().await {
                match event {
                    ProgressEvent::LeftOut(count) => missed += count,
                    _ => lines += 1,
                }
            }
            (lines, missed)
        });
        for _ in 0..LINES_MAX + 7 {
            sender.line("x");
            tokio::task::yield_now().await;
        }
        drop(sender);
        let (lines, missed) = counted.await.expect("it ends");
        assert!(lines <= LINES_MAX && lines + missed == LINES_MAX + 7, "{lines} {missed}");
        // Without a receiver.
        ProgressSender::default().line("x");
    }
}
