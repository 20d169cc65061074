//! Decides: deploy, admit, place, scale, record.
//!
//! The engine knows the ports' traits, never SQLite, NATS or Linux. Decisions are pure (`faas_scheduler`,
//! `faas_types::RunPhase`); the rest of this crate is the thin shell that carries them out.

mod aliases;
mod canary;
mod catalog_services;
mod core;
mod dependencies;
mod deploy;
mod deployment_group;
mod deployments;
mod engine;
mod functions;
mod gc;
mod layers;
mod load_check;
mod new_deployment;
mod note;
mod pipeline;
mod progress;
mod publish;
mod rollback;
mod rollouts;
mod upload_check;
mod upload_rules;
mod uploads;
mod version_gc;

pub use faas_artifacts::{BundleStore, FileChange, FileChangeKind};
pub use faas_catalog::{
    Caller, Catalog, EffectiveVar, FunctionEntry, Functions, KeyRecord, Keys, MintedKey, NetworkPolicies, NetworkState,
    PolicyChange, ProjectionStatus, Rekeyed, Rekeyer, STALE_MAX, SecretRecord, SecretSummary, SecretVersion, Secrets,
    VarSettings, VarSource,
};
pub use faas_ports::{
    BodyStream, InvocationBody, NetworkDecision, NetworkTarget, NetworkTrial, NetworkUsage, TrialOutcome,
};

pub use faas_runs::{
    Accepted, BodyBudget, BodyOwner, Call, CallBody, CallFailure, CallRequest, CallbackPolicy, ClaimHolder,
    CompletionMetrics, DeadSelection, HttpRequest, KeyClaim, Payload, Quotas, Redriven, Replay, Reservation,
    RetentionMetrics, Route, RunInput, RunOptions, Runs, Selector, SigningSecrets, StoredReply,
};

pub use faas_triggers::{
    DeliveryOutcome, DeliveryReply, Fired, NewSecret, OutgoingMessage, PublishedEvent, SubscriberState, TopicSummary,
    TriggerEntry, TriggerOrigin, TriggerRecord, TriggerState, Triggers, WebhookCredentials, WebhookDelivery,
};

pub use aliases::{AliasWish, Target};
pub use canary::CanaryStatus;
pub use dependencies::{Dependencies, PackageInstaller};
pub use deploy::Deployed;
pub use deployment_group::{DeployedGroup, Unmoved};
pub use deployments::Deployments;
pub use engine::{Engine, EngineSettings, Ports};
pub use gc::{GarbageCollector, GcPolicy, GcReport, GcStats};
pub use layers::{KnownLayer, KnownLayerName, KnownLayerVersion, LayerCatalog, NewLayer};
pub use new_deployment::NewDeployment;
pub use progress::{ProgressEvent, ProgressReceiver, ProgressSender};
pub use upload_rules::UploadRules;
pub use uploads::{Plan, PlanSubject, Uploads};
