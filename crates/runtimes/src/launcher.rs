//! Every runtime of this machine, behind the engine's port.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use faas_ports::{Clock, InstanceSpec, Launched, Launcher, Layers, RuntimeDescription, Sandboxes};
use faas_types::{Code, Fault, RuntimeName};

use crate::discovery::{self, Found};
use crate::launch::Launch;
use crate::recipe::Recipe;
use crate::seal::{self, SealedRuntime};

/// What the launcher is told.
#[derive(Clone, Debug, Default)]
pub struct RuntimesConfig {
    /// Further programs, or directories of programs, to look at. They win over `PATH`.
    pub search: Vec<PathBuf>,
    /// A file that remembers what programs said about themselves, so that a restart asks none of them again.
    pub cache: PathBuf,
}

/// Finds runtimes, seals them into layers and starts instances of them.
pub struct RuntimesLauncher {
    sandboxes: Arc<dyn Sandboxes>,
    layers: Arc<dyn Layers>,
    clock: Arc<dyn Clock>,
    config: RuntimesConfig,
    found: OnceLock<Vec<Found>>,
}

// === impl RuntimesLauncher ===

impl RuntimesLauncher {
    /// Makes a launcher; costs nothing yet. Call [`discover`](Self::discover) soon, off the async threads.
    #[must_use]
    pub fn new(
        sandboxes: Arc<dyn Sandboxes>,
        layers: Arc<dyn Layers>,
        clock: Arc<dyn Clock>,
        config: RuntimesConfig,
    ) -> Self {
        Self { sandboxes, layers, clock, config, found: OnceLock::new() }
    }

    /// Finds the runtimes of this machine. Blocks: some 30 ms for each program that the cache does not know. Whatever
    /// needs the answer before does the same.
    pub fn discover(&self) {
        self.found();
    }

    /// Seals the layers of a runtime, so that its first launch need not. Takes seconds once, then microseconds.
    ///
    /// # Errors
    /// The runtime is not here, or the disk failed.
    pub async fn prepare(&self, name: &RuntimeName) -> Result<(), Fault> {
        self.sealed(self.select(name)?).await.map(drop)
    }

    fn found(&self) -> &[Found] {
        self.found.get_or_init(|| discovery::discover(&Recipe::all(), &self.config.search, &self.config.cache))
    }

    fn select(&self, name: &RuntimeName) -> Result<&Found, Fault> {
        discovery::select(self.found(), name).ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &RuntimeName) -> Fault {
        let here: Vec<&str> = self.found().iter().map(|found| found.description.name.as_str()).collect();
        let hint = if here.is_empty() {
            format!("install {} and restart the server", name.language())
        } else {
            format!("name one of {} as `runtime`, or install {name} and restart the server", here.join(", "))
        };
        Fault::new(Code::RuntimeMissing, format!("runtime {name} is not on this machine")).with_hint(hint)
    }

    async fn sealed(&self, found: &Found) -> Result<SealedRuntime, Fault> {
        seal::sealed(found, &*self.layers).await.map_err(|error| {
            tracing::error!(runtime = %found.description.name, %error, "runtime could not be sealed");
            Fault::from(error)
        })
    }
}

#[async_trait]
impl Launcher for RuntimesLauncher {
    fn runtimes(&self) -> Vec<RuntimeDescription> {
        self.found().iter().map(|found| found.description.clone()).collect()
    }

    fn resolve(&self, name: &RuntimeName) -> Result<RuntimeDescription, Fault> {
        self.select(name).map(|found| found.description.clone())
    }

    async fn launch(&self, spec: InstanceSpec) -> Result<Launched, Fault> {
        let found = self.select(&spec.settings.runtime)?;
        let sealed = self.sealed(found).await?;
        Launch { found, sealed, spec, clock: self.clock.clone() }.run(&*self.sandboxes).await
    }
}
