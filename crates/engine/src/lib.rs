//! Decides: deploy, admit, place, scale, record.
//!
//! The engine knows the ports' traits, never SQLite, NATS or Linux. Decisions are pure functions (`admission`,
//! `faas_types::RunPhase`); the rest of this crate is the thin shell that carries them out.

mod accept;
mod admission;
mod call;
mod catalog;
mod core;
mod deploy;
mod dispatch;
mod engine;
mod exchange;
mod functions;
mod history;
mod keys;
mod pause;
mod place;
mod pool;
mod pools;
mod publish;
mod recorder;
mod replay;
mod reply;
mod retry;
mod rollback;
mod room;
mod slot;
mod stats;
mod ticket;
mod triggers;
mod vars;
pub mod webhook;

pub use accept::{Accepted, Later};
pub use call::{CallRequest, Route, Selector};
pub use catalog::{Catalog, FunctionEntry};
pub use deploy::{Deployed, NewDeployment, Plan};
pub use dispatch::input::RunInput;
pub use engine::{Engine, EngineSettings, Ports};
pub use history::LogFollower;
pub use keys::{Caller, KeyRecord, Keys, MintedKey};
pub use replay::{DeadSelection, Redriven, Replay};
pub use reply::{Call, CallBody, CallFailure};
pub use stats::{FunctionSnapshot, Stats};
pub use triggers::{
    Fired, HookAnswer, HookReply, HookRequest, NewSecret, PublishedEvent, SealedSecret, TriggerEntry, TriggerOrigin,
    TriggerRecord, TriggerState, Triggers, WebhookDoor,
};
