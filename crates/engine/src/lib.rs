//! Decides: deploy, admit, place, scale, record.
//!
//! The engine knows the ports' traits, never SQLite, NATS or Linux. Decisions are pure (`places`,
//! `faas_types::RunPhase`); the rest of this crate is the thin shell that carries them out.

mod accept;
mod aliases;
mod batch;
mod body_budget;
mod breach;
mod call;
mod canary;
mod catalog;
mod collect;
mod core;
mod delivery;
mod dependencies;
mod deploy;
mod dispatch;
mod engine;
mod exchange;
mod failure_line;
mod figures;
mod functions;
mod histogram;
mod history;
mod idempotency;
mod keys;
mod layers;
mod live_policies;
mod log_shares;
mod meter;
mod network;
mod onward;
mod pause;
mod place;
mod places;
mod placing;
mod policy;
mod pool;
mod preflight;
mod promise;
mod publication;
mod publish;
mod quotas;
mod readiness;
mod recorder;
mod replay;
mod reply;
mod reply_head;
mod retention;
mod retry;
mod rollback;
mod rollouts;
mod slot;
mod spent_versions;
mod stages;
mod stats;
mod talk;
mod ticket;
mod together;
mod topics;
mod trial;
mod triggers;
mod usher;
mod vars;
mod version_cache;
pub mod webhook;

pub use faas_artifacts::{BundleStore, FileChange, FileChangeKind};
pub use faas_ports::{
    BodyStream, InvocationBody, NetworkDecision, NetworkTarget, NetworkTrial, NetworkUsage, TrialOutcome,
};

pub use accept::{Accepted, Later};
pub use aliases::{AliasWish, Target};
pub use body_budget::{BodyBudget, BodyOwner, Reservation};
pub use call::{CallRequest, Route, Selector};
pub use canary::CanaryStatus;
pub use catalog::{Catalog, FunctionEntry};
pub use collect::{CollectPolicy, Collected, Collections};
pub use dependencies::Dependencies;
pub use deploy::{Deployed, NewDeployment, Plan, PlanSubject};
pub use dispatch::input::RunInput;
pub use engine::{Engine, EngineSettings, Ports};
pub use figures::{CacheOutcome, FigureSnapshot};
pub use histogram::HistogramSnapshot;
pub use history::LogFollower;
pub use idempotency::{KeyHolder, Once};
pub use keys::{Caller, KeyRecord, Keys, MintedKey};
pub use layers::{KnownLayer, KnownLayerName, KnownLayerVersion, NewLayer};
pub use network::{NetworkState, PolicyChange};
pub use onward::{CallbackPolicy, OnwardFigures, SigningSecrets};
pub use places::{Census, Decisions, FunctionCensus, Urgency};
pub use quotas::Quotas;
pub use replay::{DeadSelection, Redriven, Replay};
pub use reply::{Call, CallBody, CallFailure};
pub use retention::Forgotten;
pub use stages::{EffectiveVar, Rekeyed, SecretRecord, SecretVersion, SecretView, VarSource};
pub use stats::{FunctionSnapshot, Stats};
pub use talk::{DeployEar, DeployNews, DeployTalk};
pub use together::{DeployedTogether, Stayed};
pub use topics::{OutgoingMessage, SubscriberState, TopicView};
pub use triggers::{
    Fired, HookAnswer, HookReply, HookRequest, NewSecret, PublishedEvent, SealedSecret, TriggerEntry, TriggerOrigin,
    TriggerRecord, TriggerState, Triggers, WebhookDoor,
};
