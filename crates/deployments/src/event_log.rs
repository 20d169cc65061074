//! What happens on the way of a deployment: kept in its order, and read by followers at any time.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_types::{DeploymentState, FunctionName, LogStream, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Bytes of the texts of one deployment; further lines are counted as left out. Half of what an entry of the registry may have.
const BYTES_MAX: usize = 512 << 10;
/// Bytes that an event counts besides its text.
const EVENT_BYTES: usize = 160;
/// Bytes above which also events that are no lines are dropped, so that nothing grows without end.
const BYTES_HARD_MAX: usize = BYTES_MAX + (64 << 10);

/// An event of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentEvent {
    /// Its place, from 1.
    pub id: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The function that it is about.
    pub function: FunctionName,
    /// What happened.
    pub what: ProgressEvent,
}

/// A step of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgressEvent {
    /// It has come so far.
    State(DeploymentState),
    /// It waits, for this reason.
    Waiting(String),
    /// Packages that this file asks for are being installed.
    Installing(String),
    /// The installer wrote a line, or the function while it was loaded.
    Line(LogStream, String),
    /// So many lines were left out.
    LeftOut(u64),
    /// The packages of an existing layer are used: its id, and when it was built.
    Reused(String, Timestamp),
    /// The entrypoint is being loaded.
    Loading,
}

/// The events of one deployment, or of one group.
#[derive(Debug)]
pub struct EventLog {
    state: Mutex<State>,
    /// How many events there are, and whether it is all.
    told: watch::Sender<(u64, bool)>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<DeploymentEvent>,
    bytes: usize,
    left_out: BTreeMap<FunctionName, u64>,
}

/// Reads a log from a place on.
#[derive(Debug)]
pub struct EventTail {
    log: Arc<EventLog>,
    /// Only what is about this function.
    function: Option<FunctionName>,
    after: u64,
    told: watch::Receiver<(u64, bool)>,
}

// === impl EventLog ===

impl EventLog {
    /// A log that grows.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), told: watch::Sender::new((0, false)) })
    }

    /// The log of a deployment that has ended.
    pub(crate) fn ended(events: Vec<DeploymentEvent>) -> Arc<Self> {
        let count = events.last().map_or(0, |event| event.id);
        let state = Mutex::new(State { events, ..State::default() });
        Arc::new(Self { state, told: watch::Sender::new((count, true)) })
    }

    pub(crate) fn push(&self, at: Timestamp, function: &FunctionName, what: ProgressEvent) {
        let mut state = self.state.lock();
        let size = EVENT_BYTES + text_size(&what);
        let is_line = matches!(what, ProgressEvent::Line(..));
        let most = if is_line { BYTES_MAX } else { BYTES_HARD_MAX };
        if state.bytes + size > most {
            if is_line {
                *state.left_out.entry(function.clone()).or_default() += 1;
            }
            return;
        }
        if !is_line && let Some(count) = state.left_out.remove(function) {
            state.add(at, function, ProgressEvent::LeftOut(count), EVENT_BYTES);
        }
        state.add(at, function, what, size);
        self.told.send_replace((state.events.len() as u64, false));
    }

    /// Tells how many lines were left out.
    pub(crate) fn settle(&self, at: Timestamp) {
        let mut state = self.state.lock();
        for (function, count) in std::mem::take(&mut state.left_out) {
            state.add(at, &function, ProgressEvent::LeftOut(count), EVENT_BYTES);
        }
        self.told.send_replace((state.events.len() as u64, false));
    }

    /// No more events come. To be called once the outcome is stored, since followers read it then.
    pub(crate) fn close(&self) {
        self.told.send_modify(|told| told.1 = true);
    }

    pub(crate) fn events(&self) -> Vec<DeploymentEvent> {
        self.state.lock().events.clone()
    }

    /// Reads what comes after this place.
    #[must_use]
    pub fn tail(self: &Arc<Self>, function: Option<FunctionName>, after: u64) -> EventTail {
        EventTail { log: Arc::clone(self), function, after, told: self.told.subscribe() }
    }
}

/// Bytes of an event's text as it is stored.
fn text_size(event: &ProgressEvent) -> usize {
    match event {
        ProgressEvent::Line(_, text) => serde_json::to_string(text).map_or(text.len(), |json| json.len()),
        ProgressEvent::Waiting(text) | ProgressEvent::Installing(text) | ProgressEvent::Reused(text, _) => text.len(),
        ProgressEvent::State(_) | ProgressEvent::LeftOut(_) | ProgressEvent::Loading => 0,
    }
}

impl State {
    fn add(&mut self, at: Timestamp, function: &FunctionName, what: ProgressEvent, size: usize) {
        self.bytes += size;
        let id = self.events.len() as u64 + 1;
        self.events.push(DeploymentEvent { id, at, function: function.clone(), what });
    }
}

// === impl EventTail ===

impl EventTail {
    /// The events that are there and were not given yet; waits for some. `None` once there will be no more.
    pub async fn next(&mut self) -> Option<Vec<DeploymentEvent>> {
        loop {
            let (count, is_all) = *self.told.borrow_and_update();
            let events = self.ready();
            if !events.is_empty() {
                return Some(events);
            }
            if is_all && self.after >= count {
                return None;
            }
            // The log is held by this tail, so that its sender is there.
            self.told.changed().await.ok()?;
        }
    }

    /// The events that are there and were not given yet.
    pub fn ready(&mut self) -> Vec<DeploymentEvent> {
        let state = self.log.state.lock();
        let from = usize::try_from(self.after).unwrap_or(usize::MAX).min(state.events.len());
        let wanted =
            |event: &&DeploymentEvent| self.function.as_ref().is_none_or(|function| event.function == *function);
        let events = state.events[from..].iter().filter(wanted).cloned().collect();
        self.after = self.after.max(state.events.len() as u64);
        events
    }

    /// The id of what comes after the last event.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.log.state.lock().events.len() as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn line(text: &str) -> ProgressEvent {
        ProgressEvent::Line(LogStream::Stdout, text.to_owned())
    }

    #[tokio::test]
    async fn every_reader_gets_every_event_once_from_where_it_asks() {
        let (log, name) = (EventLog::new(), "a".parse().expect("a name"));
        let mut early = log.tail(None, 0);
        (0..10).for_each(|n| log.push(at(n), &name, line(&n.to_string())));
        assert_eq!(early.next().await.map(|events| events.len()), Some(10));
        let late = log.tail(None, 4).next().await.expect("events");
        assert_eq!(late.iter().map(|event| event.id).collect::<Vec<_>>(), (5..=10).collect::<Vec<_>>());
        log.push(at(11), &name, ProgressEvent::Loading);
        assert_eq!(early.next().await.map(|events| events[0].id), Some(11));
        let waiting = tokio::spawn(async move { early.next().await });
        tokio::task::yield_now().await;
        log.close();
        assert_eq!(waiting.await.expect("it ends"), None);
        assert_eq!(EventLog::ended(log.events()).tail(None, 10).next().await.map(|events| events[0].id), Some(11));
        assert_eq!(EventLog::ended(Vec::new()).tail(None, 99).next().await, None, "beyond the end is the end");
    }

    #[tokio::test]
    async fn members_of_a_group_are_told_apart() {
        let log = EventLog::new();
        let (one, two): (FunctionName, FunctionName) = ("one".parse().expect("good"), "two".parse().expect("good"));
        log.push(at(1), &one, ProgressEvent::Loading);
        log.push(at(2), &two, line("x"));
        log.close();
        let mut tail = log.tail(Some(two), 0);
        assert_eq!(tail.next().await.map(|events| events[0].id), Some(2));
        assert_eq!((tail.next().await, tail.end()), (None, 3));
    }

    #[test]
    fn an_endless_installer_is_cut_off_and_counted() {
        let (log, name) = (EventLog::new(), "a".parse().expect("a name"));
        let text = "x".repeat(1_000);
        (0..1_000).for_each(|_| log.push(at(1), &name, line(&text)));
        log.push(at(2), &name, ProgressEvent::Loading);
        log.settle(at(3));
        let events = log.events();
        let kept = events.iter().filter(|event| matches!(event.what, ProgressEvent::Line(..))).count() as u64;
        let left_out: Vec<_> = events
            .iter()
            .filter_map(|event| if let ProgressEvent::LeftOut(count) = event.what { Some(count) } else { None })
            .collect();
        assert_eq!(left_out, [1_000 - kept]);
        assert_eq!(events.last().map(|event| &event.what), Some(&ProgressEvent::Loading));
        assert!(serde_json::to_vec(&events).expect("it encodes").len() < faas_ports::VALUE_MAX, "an entry holds it");
    }
}
