//! The traits between the engine and what stores, confines and runs for it.
//!
//! Each port has one conformance suite in `faas-testkit`, which every adapter and the in-memory fake pass.
//! The shapes fit both an embedded store and a NATS JetStream cluster.

mod blobs;
mod builder;
mod byte_bounds;
mod callbacks;
mod claims;
mod clock;
mod dead_letters;
mod egress;
mod error;
mod events;
mod helper;
mod history;
mod inspection;
mod instances;
mod key;
mod keyed_lock;
mod layers;
mod network;
mod network_counters;
mod outbound;
mod queue;
mod registry;
mod sandbox;
mod topics;
mod unfinished;
mod vault;

pub use blobs::{Blobs, StoredBlob};
pub use builder::{BuildJob, BuildListener, Builder, Built};
pub use byte_bounds::ByteBounds;
pub use callbacks::{CallbackDepth, Callbacks, NewCallback, TakeCallbacks, TakenCallback};
pub use claims::{AnswerBounds, Claim, ClaimQuota, ClaimRequest, Claimed, Claims, Holder, NameBounds, OF_PROJECT};
pub use clock::{Clock, IdSource, SystemClock};
pub use dead_letters::{DeadLetter, DeadLetterQuery, DeadLetters, Removed};
pub use egress::{Egress, EgressError, Wire};
pub use error::{PortError, PortResult};
pub use events::{Event, EventStream, Events, SubjectPattern};
pub use helper::{HELPER, HelperRules};
pub use history::{
    Expired, Expiry, LINES_EXAMINED_MAX, LogCursor, LogPage, LogQuery, RUNS_EXAMINED_MAX, RunCursor, RunHistory,
    RunPage, RunQuery,
};
pub use inspection::{DebuggerDoor, Inspection};
pub use instances::{
    BodyStream, ExchangeEnd, ExchangeItem, Instance, InstanceExit, InstanceLogs, InstanceSpec, InstanceUsage,
    InstanceVars, Invocation, InvocationBody, LaunchTimings, Launched, Launcher, LayerStack, LogEntry, Publication,
    PublishReply, Publishing, ReplyHead, RuntimeDescription, StartMetrics, StartPath,
};
pub use key::{Collection, Key};
pub use keyed_lock::KeyedLock;
pub use layers::{LayerBuild, Layers};
pub use network::{
    ClosedConnection, NetworkAccess, NetworkDecision, NetworkDenial, NetworkDevice, NetworkEvent, NetworkLease,
    NetworkOwner, NetworkProcess, NetworkProcesses, NetworkTarget, NetworkTrial, Networks, NoNetworks, TrialOutcome,
};
pub use network_counters::{NetworkCounters, NetworkUsage};
pub use outbound::{Outbound, OutboundError, OutboundMessage, UrlRefusal};
pub use queue::{
    Enqueued, FollowUps, Footprint, Lease, LeaseMark, NewItem, QueueDepth, QueueOutlook, RunOutcome, RunQueue, Settled,
    Settlement, Want, Withdrawn,
};
pub use registry::{COMMIT_MAX, Change, Entry, Expect, Registry, VALUE_MAX, Watch, Write};
pub use sandbox::{
    Assigner, Assignment, LayerMount, OpenSandbox, ParkedSandbox, ProcessCount, SandboxControl, SandboxExit,
    SandboxLimits, SandboxSpec, SandboxUsage, Sandboxes, Zygote,
};
pub use topics::{
    Appended, HandOver, NewMessage, Subscription, TopicBounds, TopicDepth, TopicKey, TopicState, Topics, WaitingMessage,
};
pub use unfinished::UnfinishedLines;
pub use vault::{SECRET_MAX, Secret, SecretPlace, Vault};
