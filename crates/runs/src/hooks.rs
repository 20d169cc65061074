//! What runs ask of the services above them.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use faas_ports::Publication;
use faas_types::{Code, Fault, FunctionId, FunctionName, ProjectId, RetryPolicy, RunId, RunRecord, limits};

/// Publishes events and sends messages for runs.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Returns the id of the event or message once it is committed.
    async fn publish_for(self: Arc<Self>, publisher: PublishingRun, publication: Publication) -> Result<String, Fault>;
}

/// The triggers that cause runs.
pub trait RunSource: Send + Sync {
    /// The retry policy of the trigger that caused a run; `None` where the function's own applies.
    fn retry_policy(&self, run: &RunRecord) -> Option<RetryPolicy>;

    /// A background run has reached its terminal state, which is committed.
    fn run_ended(&self, run: RunId);
}

/// The run that publishes: what its record says, whatever the frame from its sandbox claims.
pub struct PublishingRun {
    /// Its project.
    pub project: ProjectId,
    /// The name of its function.
    pub function: FunctionName,
    /// Its function.
    pub function_id: FunctionId,
    /// Runs that led to what is published, this one included.
    pub hops: u32,
}

/// The upper services, connected once after they were made. Weak, as they hold the runs themselves.
#[derive(Default)]
pub struct Hooks(OnceLock<Connected>);

struct Connected {
    publisher: Weak<dyn Publisher>,
    source: Weak<dyn RunSource>,
}

// === impl Hooks ===

impl Hooks {
    /// Connects the services above. The first call counts.
    pub fn connect(&self, publisher: Weak<dyn Publisher>, source: Weak<dyn RunSource>) {
        let _ = self.0.set(Connected { publisher, source });
    }

    pub(crate) fn publisher(&self) -> Option<Arc<dyn Publisher>> {
        self.0.get()?.publisher.upgrade()
    }

    pub(crate) fn retry_policy(&self, run: &RunRecord) -> Option<RetryPolicy> {
        self.0.get()?.source.upgrade()?.retry_policy(run)
    }

    pub(crate) fn run_ended(&self, run: RunId) {
        if let Some(source) = self.0.get().and_then(|connected| connected.source.upgrade()) {
            source.run_ended(run);
        }
    }
}

// === impl PublishingRun ===

impl PublishingRun {
    /// The publisher of a run's publication number `count`; refused past the limits of publications and of hops.
    pub(crate) fn of(record: &RunRecord, count: u32) -> Result<Self, Fault> {
        if count > limits::PUBLICATIONS_MAX {
            let most = limits::PUBLICATIONS_MAX;
            let message = format!("a run publishes and sends at most {most} events and messages");
            return Err(Fault::new(Code::RateLimited, message).with_hint("put more into each, or publish from outside"));
        }
        let hops = record.completion.as_ref().map_or(0, |completion| completion.hops);
        if hops >= limits::HOPS_MAX {
            let message = format!("{hops} runs led to this one, each caused by the one before; it can cause no other");
            return Err(Fault::new(Code::BadRequest, message)
                .with_hint("look for functions that publish what they subscribe to"));
        }
        let (project, function_id, function) = (record.project, record.function().id, record.function().name.clone());
        Ok(Self { project, function, function_id, hops: hops + 1 })
    }
}
