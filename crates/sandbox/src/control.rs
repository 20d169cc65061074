//! The server's hold on one open sandbox.

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use faas_ports::{PortError, PortResult, ProcessCount, SandboxControl, SandboxExit, SandboxUsage};
use faas_types::IsolationLevel;

use crate::cgroup::Meter;
use crate::passing::Passing;
use crate::port_forward::PortForward;
use crate::spawner_client::Opened;

/// Kills the sandbox when dropped, by what it holds.
pub(crate) struct LinuxControl {
    opened: Opened,
    level: IsolationLevel,
    port_forward: Option<PortForward>,
    /// Who does not count as part of the function.
    pub(crate) passing: Arc<Passing>,
    /// Opened by the first question; it comes after every run.
    meter: OnceLock<Meter>,
}

// === impl LinuxControl ===

impl LinuxControl {
    pub(crate) fn new(opened: Opened, level: IsolationLevel) -> Self {
        Self { opened, level, port_forward: None, passing: Arc::default(), meter: OnceLock::new() }
    }

    /// The same with a way to what listens inside.
    pub(crate) fn with(self, port_forward: Option<PortForward>) -> Self {
        Self { port_forward, ..self }
    }

    fn meter(&self) -> &Meter {
        self.meter.get_or_init(|| self.opened.cgroup.as_ref().map(Meter::open).unwrap_or_default())
    }
}

#[async_trait]
impl SandboxControl for LinuxControl {
    fn level(&self) -> IsolationLevel {
        self.level
    }

    fn usage(&self) -> SandboxUsage {
        if let Some(exit) = *self.opened.exit.borrow() {
            return exit.usage;
        }
        self.meter().read()
    }

    fn tasks(&self) -> Option<u32> {
        self.meter().tasks()
    }

    fn processes(&self) -> Option<u32> {
        let inside = self.opened.cgroup.as_ref()?.processes()?;
        u32::try_from(inside.len() - self.passing.among(&inside)).ok()
    }

    fn process_count(&self) -> Option<ProcessCount> {
        let cgroup = self.opened.cgroup.as_ref()?;
        let inside = cgroup.processes()?;
        let passing = self.passing.among(&inside);
        // Afterwards, so that one that leaves in between makes the figure too low, which only costs a closer look.
        let threads = cgroup.threads()?;
        let count = |all: usize| u32::try_from(all.saturating_sub(passing)).ok();
        Some(ProcessCount { processes: count(inside.len())?, threads: count(threads)? })
    }

    async fn connect(&self, port: u16) -> PortResult<OwnedFd> {
        match &self.port_forward {
            Some(port_forward) => port_forward.connect(port).await,
            None => Err(PortError::Closed("the way into the sandbox")),
        }
    }

    fn kill(&self) {
        self.opened.kill();
    }

    async fn wait(&self) -> SandboxExit {
        let mut exit = self.opened.exit.clone();
        match exit.wait_for(Option::is_some).await.map(|found| *found) {
            Ok(Some(exit)) => exit,
            // The sender is dropped unsent only while the runtime shuts down, after which nothing waits.
            _ => SandboxExit { code: None, signal: None, out_of_memory: false, usage: SandboxUsage::default() },
        }
    }
}
