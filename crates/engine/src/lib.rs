//! Decides: deploy, admit, place, scale, record.
//!
//! The engine knows the ports' traits, never SQLite, NATS or Linux. Decisions are pure (`places`,
//! `faas_types::RunPhase`); the rest of this crate is the thin shell that carries them out.

mod call;
mod catalog;
mod core;
mod deploy;
mod engine;
mod exchange;
mod functions;
mod history;
mod keys;
mod meter;
mod place;
mod places;
mod placing;
mod pool;
mod publish;
mod readiness;
mod recorder;
mod reply;
mod rollback;
mod slot;
mod stats;
mod ticket;
mod usher;
mod vars;
mod version_cache;
pub mod webhook;

pub use call::{CallRequest, Route, Selector};
pub use catalog::{Catalog, FunctionEntry};
pub use deploy::{Deployed, NewDeployment, Plan};
pub use engine::{Engine, EngineSettings, Ports};
pub use history::LogFollower;
pub use keys::{Caller, KeyRecord, Keys, MintedKey};
pub use places::{Census, FunctionCensus, Tally, Urgency};
pub use reply::{Call, CallBody, CallFailure};
pub use stats::{FunctionSnapshot, Stats};
