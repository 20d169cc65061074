//! REST bodies, shared by server and client so that they cannot drift.

mod actor;
mod alias;
mod background;
mod callback;
mod collect;
mod deploy;
mod function;
mod invocation;
mod key;
mod layer;
mod list_page;
mod log;
mod merge_patch;
mod named_layer;
mod network;
mod preflight;
mod problem;
mod retention;
mod run;
mod secret;
mod server;
mod stream;
mod topic;
mod trigger;
mod var;

pub use actor::ActorView;
pub use alias::{
    AliasList, AliasTarget, AliasView, CanaryPolicyView, EndRollout, FileChangeView, RolloutView, SetAlias,
    SettingChangeView, SplitView, VersionDiff,
};
pub use background::{
    AcceptedRun, DeadLetterFilter, DeadLetterList, DeadLetterView, HeaderView, PurgeReport, RedriveReport,
    RedrivenView, ReplayRequest, ReplayVersion, RunInputView,
};
pub use callback::{CallbackSecretView, NewCallbackSecret, RotateCallbackSecret};
pub use collect::{GcReportView, GcRequest};
pub use deploy::{
    BuildLineView, BuildLogView, BundleFileBody, CheckBlobs, DependenciesView, DeployGroupRequest, DeployLine,
    DeployProgress, DeployRequest, DeployStep, DeploymentEventList, DeploymentGroupList, DeploymentGroupView,
    DeploymentList, DeploymentView, FunctionToDeploy, MissingBlobs, RollbackGroupRequest, RollbackRequest, UnmovedView,
    VersionFiles,
};
pub use function::{
    CreateFunction, DurationSummary, FunctionList, FunctionMetrics, FunctionView, PatchFunction, PurgedCache,
    ReplaceFunction, SettingView, SettingsView, VersionList, VersionView,
};
pub use invocation::{InvocationHeader, InvocationRequest, InvocationView, InvocationWait};
pub use key::{CallerView, CreateKey, CreatedKey, KeyList, KeyView, UpdateKey};
pub use layer::{PackageLayerList, PackageLayerView};
pub use list_page::{ListPage, ListTotal};
pub use log::{LogLineView, LogList};
pub use named_layer::{LayerList, LayerVersionList, LayerVersionView, LayerView, PublishLayer, RemovedLayer};
pub use network::{
    AddressDecisionView, DecisionView, EgressPolicyView, NetworkTestOutcome, NetworkTestView, NetworkUsageView,
    NetworkView, TestNetwork, UpdateNetwork,
};
pub use preflight::{PolicyView, ProjectPolicyView, SetPolicy};
pub use problem::{FunctionFailure, Problem, RetryView};
pub use retention::{RetentionView, SetRetention};
pub use run::{AttemptView, BatchView, RunErrorView, RunList, RunView, StartView};
pub use secret::{EncryptionKeyReport, RestoreSecret, SecretList, SecretVersionView, SecretView, SetSecret};
pub use server::{FeatureView, HealthView, RuntimeView, SystemView};
pub use stream::{StreamEvent, StreamFrame};
pub use topic::{MessageBody, PurgedTopic, SendMessages, SentMessages, SubscriberView, TopicList, TopicView};
pub use trigger::{
    AcceptedDelivery, AddTrigger, EventRun, NextFireView, NextFires, PatchTrigger, PublishedEvents, RotateSecret,
    TestedTrigger, TriggerList, TriggerView, TriggerWithSecret,
};
pub use var::{SetVar, SetVars, VarList, VarView};
