//! Hosting a server in this process.

use std::future::Future;

use faas_config::ServerConfig;

use crate::debugger::Debugger;
use crate::local::LocalServer;

/// Hosts a server. Only the whole program can, since this crate knows neither engine nor sandbox.
pub trait ServerHost {
    /// Runs a private server in this process for as long as `work` takes, then takes it down with all it has started.
    /// `None` when a signal ended it first. Nothing but `debugger` lets debuggers in: what a server is configured with and
    /// asked for does not.
    fn host<T, W>(
        &self,
        config: ServerConfig,
        debugger: Option<Debugger>,
        work: W,
    ) -> impl Future<Output = anyhow::Result<Option<T>>>
    where
        W: AsyncFnOnce(LocalServer) -> anyhow::Result<T>;
}
