//! Fakes, a manual clock and the conformance suites of the ports. For tests only.
//!
//! The fakes keep everything in memory and pass the suites that the adapters pass, so a test of the engine may trust
//! them.

pub mod fixture;
mod manual_clock;
mod memory_blobs;
mod memory_events;
mod memory_history;
mod memory_layers;
mod memory_queue;
mod memory_registry;
mod memory_vault;
mod scripted_builder;
mod scripted_outbound;
pub mod suite;
mod unreliable_registry;

pub use manual_clock::ManualClock;
pub use memory_blobs::MemoryBlobs;
pub use memory_events::MemoryEvents;
pub use memory_history::MemoryHistory;
pub use memory_layers::MemoryLayers;
pub use memory_queue::MemoryQueue;
pub use memory_registry::MemoryRegistry;
pub use memory_vault::MemoryVault;
pub use scripted_builder::ScriptedBuilder;
pub use scripted_outbound::ScriptedOutbound;
pub use unreliable_registry::UnreliableRegistry;
