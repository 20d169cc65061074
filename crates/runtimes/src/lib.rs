//! Per-language recipes, sealed runtime layers and the instance protocol.
//!
//! A runtime is a folder `shims/<language>/`: a description (`runtime.toml`), a probe that an installation runs to
//! describe itself, a script that prepares its sources, and the shim that serves functions. Nothing here knows a
//! language by name.
//!
//! A server starts each runtime by the launcher of its kind; `launcher_router` leads to it, and each kind is a [`Launcher`] of
//! its own. The rest of this crate is the kind `process`: a program of this machine, or one that the shim or the function
//! brings, runs a shim that speaks the instance protocol.
//!
//! [`Launcher`]: faas_ports::Launcher
//!
//! `discovery` finds installations, `seal` and `shared_libs` turn one into a read-only root layer, `launch` opens a
//! sandbox over it and shakes hands with the shim, `driver` reads what the instance sends, `streams` and `outbox` are
//! what its handle and its driver share. `builder` installs packages in a separate sandbox. `debugger` lets debuggers into instances of local runs.

mod builder;
mod channel;
mod copying;
mod counters;
mod debugger;
mod demand;
mod discovery;
mod driver;
mod exchange;
mod frame_budget;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod idle_log;
mod inbox;
mod installations;
mod instance;
mod launch;
mod launcher_router;
mod link;
mod network;
mod outbox;
mod pipes;
mod process_launcher;
mod publication;
mod recipe;
mod reply_head;
mod runtime_profile;
mod seal;
mod shared_libs;
mod streams;
mod warm_instance;
mod warm_pool;
mod zygotes;

pub use builder::{BuildConfig, BuilderPorts, PackageIndexes, RuntimesBuilder};
pub use launcher_router::LauncherRouter;
pub use process_launcher::{ProcessLauncher, RuntimesConfig, RuntimesPorts};
pub use recipe::KIND as PROCESS;
