//! Decides: deploy, admit, place, scale, record.
//!
//! The engine knows the ports' traits, never SQLite, NATS or Linux. Decisions are pure functions (`admission`,
//! `faas_types::RunPhase`); the rest of this crate is the thin shell that carries them out.

mod admission;
mod call;
mod catalog;
mod core;
mod deploy;
mod engine;
mod exchange;
mod functions;
mod history;
mod keys;
mod place;
mod pool;
mod pools;
mod publish;
mod recorder;
mod reply;
mod retention;
mod rollback;
mod room;
mod slot;
mod stats;
mod ticket;
mod vars;

pub use call::{CallRequest, Route, Selector};
pub use catalog::{Catalog, FunctionEntry};
pub use deploy::{Deployed, NewDeployment, Plan};
pub use engine::{Engine, EngineSettings, Ports};
pub use history::LogFollower;
pub use keys::{Caller, KeyRecord, Keys, MintedKey};
pub use reply::{Call, CallBody, CallFailure};
pub use retention::Forgotten;
pub use stats::{FunctionSnapshot, Stats};
