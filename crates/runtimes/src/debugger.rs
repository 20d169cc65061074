//! Lets debuggers into instances of local runs.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use faas_ports::{DebuggerDoor, Inspection, Layers, PortError, PortResult, SandboxControl};

use crate::discovery::{Found, Stamp};
use crate::seal::{copy_tree, finish};

/// The way to the debugger inside of one instance. Does not keep the sandbox open.
struct Door {
    control: Weak<dyn SandboxControl>,
    version: u32,
    port: u16,
}

/// The way to the port that a debugger listens at.
pub(crate) fn door(control: &Arc<dyn SandboxControl>, version: u32, port: u16) -> Arc<dyn DebuggerDoor> {
    Arc::new(Door { control: Arc::downgrade(control), version, port })
}

/// Waits until an instance of another version can be debugged: one that still loads, or waits for its debugger, has no more to
/// do then.
pub(crate) async fn superseded(inspection: Option<&Inspection>, version: u32) {
    let Some(inspection) = inspection else { return std::future::pending().await };
    let mut newest = inspection.newest.subscribe();
    let is_newer = |door: &Option<Arc<dyn DebuggerDoor>>| door.as_ref().is_some_and(|door| door.version() > version);
    if newest.wait_for(is_newer).await.is_err() {
        std::future::pending().await
    }
}

/// The layer with a debugger's package; seals it when it is not there yet, which takes seconds.
pub(crate) async fn sealed(found: &Found, package: &Path, target: &str, layers: &dyn Layers) -> PortResult<PathBuf> {
    let identity = format!("{} {} {:?}", found.identity(), package.display(), Stamp::of(package));
    let digest = found.recipe.digest("debugger", [identity.as_bytes()]);
    if let Some(path) = layers.find(&digest) {
        return Ok(path);
    }
    let (found, package, target) = (found.clone(), package.to_owned(), target.to_owned());
    let lay_out = move |draft: &Path| {
        copy_tree(&package, &draft.join(package.file_name().unwrap_or_default()), &["__pycache__".to_owned()])?;
        finish(&found, draft, &target)
    };
    layers.seal(&digest, Box::new(lay_out)).await
}

// === impl Door ===

#[async_trait]
impl DebuggerDoor for Door {
    fn version(&self) -> u32 {
        self.version
    }

    async fn connect(&self) -> PortResult<OwnedFd> {
        match self.control.upgrade() {
            Some(control) => control.connect(self.port).await,
            None => Err(PortError::Closed("the instance")),
        }
    }
}
