//! The local loop: functions that are served, tested and called in a private server of this process.

mod debugger;
pub mod dev;
pub mod local;
pub mod local_data;
mod local_layers;
mod reload_gate;
mod server_host;
pub mod server_settings;
pub mod test;

pub use debugger::Debugger;
pub use local::LocalServer;
pub use local_layers::LocalLayer;
pub use reload_gate::{ObservedCall, ReloadFailure, ReloadGate};
pub use server_host::ServerHost;
