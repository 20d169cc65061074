//! Nouns, ids, limits, the error catalogue and pure state transitions.
//!
//! This crate does no I/O and knows no clock: time and randomness come in as arguments.

mod alias;
mod allowed;
mod author;
mod background;
mod bundle;
mod bytesize;
mod canary;
mod cause;
mod code;
mod completion;
mod cors;
mod cron;
mod cron_clock;
mod cron_fields;
mod cron_ticks;
mod debuggee;
mod deployment;
mod digest;
mod egress_limits;
mod egress_policy;
mod egress_proxy;
mod egress_target;
mod fault;
mod field_error;
mod field_rules;
mod function_ref;
mod function_target;
mod http_method;
pub mod id;
mod index_url;
mod isolation;
mod json_text;
mod layer;
mod layer_ref;
pub mod limits;
mod log_line;
mod name;
mod network_plan;
mod origin;
mod preflight_rules;
mod reason;
mod retention;
mod run;
mod run_record;
mod run_subject;
mod scope;
mod secret_ref;
mod settings;
mod span;
mod stage;
mod text_form;
mod time;
mod timeline;
mod trigger;
mod version;
mod webhook_scheme;

pub use alias::{Affinity, Alias, InvalidAffinity, InvalidShare, Lot, Permille, Split};
pub use allowed::{AllowedTarget, InvalidTarget};
pub use author::{Author, Mover};
pub use background::{Background, InvocationMode, RetryClass, RetryPolicy, RunOption};
pub use bundle::{Bundle, BundleFile};
pub use bytesize::ByteSize;
pub use canary::{Breach, Canary, CanaryCounts, CanaryMove, CanaryPolicy};
pub use cause::{CauseClass, Diagnosis};
pub use code::{Code, GrpcStatus};
pub use completion::{Callback, CallbackState, Completion, Destination};
pub use cors::{CorsOrigin, CorsSettings, InvalidOriginOfPages};
pub use cron::{CronSchedule, InvalidCron};
pub use cron_ticks::{CronPolicy, DueTicks, MissedTicks, Overlap};
pub use debuggee::Debuggee;
pub use deployment::{Deployment, DeploymentGroup, DeploymentKind, DeploymentState, GroupMember, VersionPackages};
pub use digest::Digest;
pub use egress_limits::EgressLimits;
pub use egress_policy::{ConnectionLog, EgressPolicy, PolicyOverride, PolicySource};
pub use egress_proxy::{EgressProxy, InvalidEgressProxy, ProxyCredentials, ProxyKind};
pub use egress_target::{EgressHost, EgressTarget, InvalidEgressTarget, PortRange, Transport};
pub use fault::{Executed, Fault, FunctionError, InnerLimit, cut};
pub use field_error::{FieldError, FieldRule};
pub use field_rules::{RequestField, is_reserved_in_replies};
pub use function_ref::FunctionRef;
pub use function_target::{FunctionTarget, InvalidFunctionTarget};
pub use http_method::HttpMethod;
pub use id::{
    AttemptId, DeploymentGroupId, DeploymentId, EventId, FunctionId, Id, IdKind, InstanceId, InvalidId, KeyId, LayerId,
    MessageId, ProjectId, RunId, SandboxId, TriggerId, VersionId,
};
pub use index_url::{IndexHost, IndexUrl, InvalidIndex};
pub use isolation::{Feature, IsolationLevel, IsolationReport, Probe};
pub use json_text::JsonText;
pub use layer::{DependencyMode, InstalledPackage, LayerRecord, LayerVersionRecord, NamedLayerRecord};
pub use layer_ref::{InvalidLayerRef, LayerRef};
pub use log_line::{LogLevel, LogLine, LogStream};
pub use name::{
    AliasName, Entrypoint, FunctionName, InvalidName, LayerName, NetworkName, RuntimeName, SecretName, TopicName,
    TriggerName,
};
pub use network_plan::NetworkPlan;
pub use origin::{Declaration, InvalidOrigin, Origin, Origins};
pub use preflight_rules::{PreflightRules, ProjectRules};
pub use reason::Reason;
pub use retention::Retention;
pub use run::{IllegalTransition, RunEffect, RunEvent, RunPhase, RunState};
pub use run_record::{AttemptRecord, Batch, RunRecord, TriggerKind};
pub use run_subject::{FunctionVersion, RunSubject};
pub use scope::{InvalidScope, Scope};
pub use secret_ref::{InvalidSecretRef, VarPart, secret_refs, var_parts};
pub use settings::{
    Allowance, AuthMode, CacheSettings, CacheShare, ErrorDetail, FunctionSettings, NetworkMode, Scaling,
    TriggerSettings,
};
pub use span::{InvalidSpan, Span};
pub use stage::{InvalidStage, Stage};
pub use time::Timestamp;
pub use timeline::{StartTimes, Timeline};
pub use trigger::{
    CronTrigger, EventFilter, EventTrigger, InvalidEventFilter, QueueTrigger, Redelivery, WebhookReply, WebhookTrigger,
};
pub use version::{Aliases, BuildLine, BuildLog, FunctionRecord, VersionRecord};
pub use webhook_scheme::WebhookScheme;
