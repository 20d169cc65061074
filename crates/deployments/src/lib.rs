//! Deployments: from uploaded files to versions, and the aliases that point to them.
//!
//! [`Deployments`] seals a version, loads it once in a sandbox, and moves its alias in one commit. Beside it stand the
//! services that it needs or that clean up after it: [`Uploads`], [`UploadRules`], [`PackageInstaller`], [`LayerCatalog`]
//! and [`GarbageCollector`].

mod accept;
mod alias_moves;
mod aliases;
mod canary;
mod cancel;
mod deletion;
mod dependencies;
mod deploy;
mod deployed;
mod deployment_group;
mod deployments;
mod ends;
mod event_log;
mod gc;
mod group_record;
mod job;
mod jobs;
mod layers;
mod load_check;
mod naming;
mod new_deployment;
mod note;
mod pipeline;
mod progress;
mod publish;
mod records;
mod rollback;
mod rollouts;
mod upload_check;
mod upload_rules;
mod uploads;
mod version_gc;
mod versions;

pub use accept::{AcceptedDeployment, AcceptedGroup};
pub use aliases::{AliasWish, Target};
pub use canary::CanaryStatus;
pub use dependencies::{Dependencies, InstallerDeps, PackageInstaller};
pub use deployed::Deployed;
pub use deployment_group::{DeployedGroup, Unmoved};
pub use deployments::{DeploymentDeps, Deployments};
pub use event_log::{DeploymentEvent, EventLog, EventTail, ProgressEvent};
pub use gc::{GarbageCollector, GcDeps, GcPolicy, GcReport, GcStats};
pub use job::AcceptOptions;
pub use layers::{KnownLayer, KnownLayerName, KnownLayerVersion, LayerCatalog, LayerDeps, NewLayer};
pub use new_deployment::NewDeployment;
pub use progress::ProgressSender;
pub use upload_rules::UploadRules;
pub use uploads::{Plan, UploadDeps, Uploads};
pub use versions::VersionWalk;
