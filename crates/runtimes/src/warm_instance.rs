//! A runtime that waits in its sandbox for a function.

use std::sync::Arc;
use std::time::Duration;

use faas_ports::{Assigner, Assignment, Clock, InstanceLogs, NetworkDevice, ParkedSandbox, PortError, PortResult};
use faas_proto::frame::{FrameKind, PROTOCOL_VERSION};
use faas_proto::frame_heads::HelloHead;

use crate::driver::Driver;
use crate::link::Stopped;
use crate::runtime_profile::RuntimeProfile;

/// From an open sandbox to the shim's first word.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// A runtime whose shim has said hello.
pub(crate) struct WarmInstance {
    driver: Driver,
    logs: InstanceLogs,
    assigner: Box<dyn Assigner>,
}

// === impl WarmInstance ===

impl WarmInstance {
    /// Waits for the shim of a parked sandbox.
    pub(crate) async fn meet(
        profile: &RuntimeProfile,
        parked: ParkedSandbox,
        clock: Arc<dyn Clock>,
    ) -> PortResult<Self> {
        let ParkedSandbox { sandbox, assigner } = parked;
        let (mut driver, logs) = Driver::new(sandbox, clock, profile.found.recipe.start.out_of_memory.clone())?;
        match tokio::time::timeout(HELLO_PATIENCE, hello(&mut driver)).await {
            Ok(Ok(())) => Ok(Self { driver, logs, assigner }),
            Ok(Err(Stopped::Gone)) => Err(PortError::failed("parking a runtime", "it has ended")),
            Ok(Err(Stopped::Breach(reason))) => Err(PortError::failed("parking a runtime", reason)),
            Err(_) => Err(PortError::failed("parking a runtime", "its shim says nothing")),
        }
    }

    /// Makes it a function's. Also gives its network device, where the function has a network.
    pub(crate) async fn assign(
        self,
        assignment: Assignment,
    ) -> PortResult<(Driver, InstanceLogs, Option<NetworkDevice>)> {
        let device = self.assigner.assign(assignment).await?;
        Ok((self.driver, self.logs, device))
    }
}

/// Takes the shim's first frame.
pub(crate) async fn hello(driver: &mut Driver) -> Result<(), Stopped> {
    let frame = driver.next_frame().await?;
    let told = serde_json::from_slice::<HelloHead>(&frame.payload);
    if frame.kind != FrameKind::Hello || !told.is_ok_and(|head| head.protocol == PROTOCOL_VERSION) {
        return Err(Stopped::Breach("the shim did not say hello in this protocol's version".to_owned()));
    }
    Ok(())
}
