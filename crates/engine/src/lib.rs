//! Decides: deploy, admit, place, scale, record.
//!
//! The engine knows the ports' traits, never SQLite, NATS or Linux. Decisions are pure (`faas_scheduler`,
//! `faas_types::RunPhase`); the rest of this crate is the thin shell that carries them out.

mod accept;
mod admission;
mod aliases;
mod batch;
mod body_budget;
mod call;
mod canary;
mod completion;
mod content_length;
mod core;
mod dependencies;
mod deploy;
mod deployment_group;
mod deployments;
mod dispatch;
mod engine;
mod failure_line;
mod functions;
mod gc;
mod hooks;
mod idempotency;
mod invocation;
mod layers;
mod lifecycle;
mod limit_classification;
mod load_check;
mod network;
mod new_deployment;
mod note;
mod pause;
mod pipeline;
mod progress;
mod publication;
mod publish;
mod quotas;
mod replay;
mod reply;
mod reply_head;
mod response_stream;
mod retention;
mod retry;
mod rollback;
mod rollouts;
mod run_guard;
mod runs;
mod stages;
mod topics;
mod triggers;
mod upload_check;
mod upload_rules;
mod uploads;
mod vars;
mod version_gc;
pub mod webhook;

pub use faas_artifacts::{BundleStore, FileChange, FileChangeKind};
pub use faas_catalog::{
    Caller, Catalog, EffectiveVar, FunctionEntry, KeyRecord, Keys, MintedKey, ProjectionStatus, STALE_MAX,
    SecretRecord, SecretVersion, VarSource,
};
pub use faas_ports::{
    BodyStream, InvocationBody, NetworkDecision, NetworkTarget, NetworkTrial, NetworkUsage, TrialOutcome,
};

pub use accept::{Accepted, RunOptions};
pub use aliases::{AliasWish, Target};
pub use body_budget::{BodyBudget, BodyOwner, Reservation};
pub use call::{CallRequest, Route, Selector};
pub use canary::CanaryStatus;
pub use completion::{CallbackPolicy, CompletionMetrics, SigningSecrets};
pub use dependencies::{Dependencies, PackageInstaller};
pub use deploy::Deployed;
pub use deployment_group::{DeployedGroup, Unmoved};
pub use deployments::Deployments;
pub use dispatch::input::RunInput;
pub use engine::{Engine, EngineSettings, Ports};
pub use gc::{GarbageCollector, GcPolicy, GcReport, GcStats};
pub use idempotency::{KeyClaim, KeyHolder};
pub use layers::{KnownLayer, KnownLayerName, KnownLayerVersion, LayerCatalog, NewLayer};
pub use network::{NetworkState, PolicyChange};
pub use new_deployment::NewDeployment;
pub use progress::{ProgressEvent, ProgressReceiver, ProgressSender};
pub use quotas::Quotas;
pub use replay::{DeadSelection, Redriven, Replay};
pub use reply::{Call, CallBody, CallFailure};
pub use retention::RetentionMetrics;
pub use runs::Runs;
pub use stages::{Rekeyed, SecretSummary};
pub use topics::{OutgoingMessage, SubscriberState, TopicSummary};
pub use triggers::{
    Fired, HookAnswer, HookReply, HookRequest, NewSecret, PublishedEvent, SealedSecret, TriggerEntry, TriggerOrigin,
    TriggerRecord, TriggerState, Triggers, WebhookDoor,
};
pub use upload_rules::UploadRules;
pub use uploads::{Plan, PlanSubject, Uploads};
