//! The façade of the server's services, and their composition.
//!
//! [`Engine`] opens runs, triggers, deployments and the services of the catalog on the ports, starts and stops their
//! tasks, and is what every door holds. Decisions are made in the crates below.

mod engine;
mod foundation;
mod ports;
mod settings;

pub use faas_artifacts::{BundleStore, FileChange, FileChangeKind};
pub use faas_catalog::{
    Caller, Catalog, EffectiveVar, FunctionEntry, Functions, KeyRecord, KeySettings, Keys, MintedKey, NameWalk,
    NetworkPolicies, NetworkState, PolicyChange, ProjectionStatus, Rekeyed, Rekeyer, STALE_MAX, SecretRecord,
    SecretSummary, SecretVersion, Secrets, VarSettings, VarSource,
};
pub use faas_ports::{
    BodyStream, InvocationBody, NetworkDecision, NetworkTarget, NetworkTrial, NetworkUsage, TrialOutcome,
};

pub use faas_runs::{
    Accepted, BodyBudget, BodyOwner, Call, CallBody, CallFailure, CallRequest, CallbackPolicy, ClaimHolder,
    CompletionMetrics, DeadSelection, HttpRequest, KeyClaim, NamedWrite, Payload, Quotas, Redriven, Replay,
    Reservation, RetentionMetrics, Route, RunInput, RunOptions, Runs, Selector, SigningSecrets, StoredReply,
    WriteClaim, WriteId,
};

pub use faas_triggers::{
    DeliveryOutcome, DeliveryReply, Fired, NewSecret, OutgoingMessage, PublishedEvent, SubscriberState, TopicSummary,
    TriggerChange, TriggerEntry, TriggerOrigin, TriggerRecord, TriggerState, Triggers, WebhookCredentials,
    WebhookDelivery,
};

pub use faas_deployments::{
    AcceptOptions, AcceptedDeployment, AcceptedGroup, AliasWish, CanaryStatus, Dependencies, Deployed, DeployedGroup,
    DeploymentEvent, Deployments, EventTail, GarbageCollector, GcPolicy, GcReport, GcStats, KnownLayer, KnownLayerName,
    KnownLayerVersion, LayerCatalog, NewDeployment, NewLayer, PackageInstaller, Plan, ProgressEvent, ProgressSender,
    Target, Unmoved, UploadRules, Uploads, VersionWalk,
};

pub use engine::Engine;
pub use ports::Ports;
pub use settings::EngineSettings;
