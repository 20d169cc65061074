//! Lets debuggers into instances of local runs.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use faas_ports::{DebuggerDoor, InstanceSpec, Layers, PortError, PortResult, SandboxControl};
use faas_types::Debuggee;

use crate::copying::copy_tree;
use crate::discovery::{Found, Stamp};
use crate::seal::finish;

/// The way to the debugger inside of one instance. Does not keep the sandbox open.
struct Door {
    control: Weak<dyn SandboxControl>,
    debuggee: Debuggee,
    port: u16,
}

/// The way to the port that a debugger listens at.
pub(crate) fn door(control: &Arc<dyn SandboxControl>, spec: &InstanceSpec, port: u16) -> Arc<dyn DebuggerDoor> {
    let debuggee = Debuggee { function: spec.function.clone(), version: Some(spec.version) };
    Arc::new(Door { control: Arc::downgrade(control), debuggee, port })
}

/// Waits until debuggers are led elsewhere, or nowhere any more: an instance that still loads its code, or waits for its
/// debugger, has nothing more to do then.
pub(crate) async fn led_away(spec: &InstanceSpec) {
    let Some(inspection) = &spec.inspection else { return std::future::pending().await };
    let mut debuggee = inspection.debuggee.clone();
    let is_another = |now: &Option<Debuggee>| {
        now.as_ref().is_some_and(|now| now.function != spec.function || now.version > Some(spec.version))
    };
    // Fails when the command that hosts the server has ended.
    let _ = debuggee.wait_for(is_another).await;
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
        copy_tree(&package, &draft.join(package.file_name().unwrap_or_default()), &found.recipe.seal.skip)?;
        finish(&found, draft, &target)
    };
    layers.seal(&digest, Box::new(lay_out)).await
}

// === impl Door ===

#[async_trait]
impl DebuggerDoor for Door {
    fn debuggee(&self) -> &Debuggee {
        &self.debuggee
    }

    async fn connect(&self) -> PortResult<OwnedFd> {
        match self.control.upgrade() {
            Some(control) => control.connect(self.port).await,
            None => Err(PortError::Closed("the instance")),
        }
    }
}
