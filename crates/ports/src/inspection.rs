//! Debuggers that attach to instances.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_types::{Debuggee, FunctionName};
use tokio::sync::watch;

use crate::PortResult;

/// Lets debuggers into the instances of a server. Only one that a developer's own command hosts has it: no configuration
/// and no request leads to it.
#[derive(Clone)]
pub struct Inspection {
    /// Whether an instance waits for a debugger before it loads the user's code.
    pub waits: bool,
    /// The directory of a debugger's package on this machine, for runtimes that bring no debugger.
    pub package: Option<PathBuf>,
    /// What is inspected. What else runs is let alone.
    pub debuggee: watch::Receiver<Option<Debuggee>>,
    /// The door of the newest instance that can be debugged.
    pub newest: Arc<watch::Sender<Option<Arc<dyn DebuggerDoor>>>>,
}

/// The way to the debugger in one instance.
#[async_trait]
pub trait DebuggerDoor: Send + Sync {
    /// What the instance is of.
    fn debuggee(&self) -> &Debuggee;

    /// One more connection to it.
    ///
    /// # Errors
    /// When the instance has ended, or does not listen any more.
    async fn connect(&self) -> PortResult<OwnedFd>;
}

// === impl Inspection ===

impl Inspection {
    /// How long a call and the loading of the code may take while a debugger may hold them.
    pub const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

    /// Whether instances of this function are inspected.
    #[must_use]
    pub fn is_of(&self, function: &FunctionName) -> bool {
        self.debuggee.borrow().as_ref().is_some_and(|debuggee| debuggee.function == *function)
    }
}

impl fmt::Debug for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspection").field("waits", &self.waits).field("package", &self.package).finish_non_exhaustive()
    }
}
