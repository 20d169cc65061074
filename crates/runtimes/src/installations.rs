//! The runtimes of this machine, found once, and the profiles made from them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use faas_ports::{Inspection, Layers};
use faas_types::{ByteSize, Code, Fault, RuntimeName};
use parking_lot::Mutex;

use crate::debugger;
use crate::discovery::{self, Found};
use crate::recipe::Recipe;
use crate::runtime_profile::{ProfileKey, RuntimeProfile};
use crate::seal;

/// Kinds that are remembered; there is one for each runtime, or for each memory size of it.
const PROFILES_MAX: usize = 256;

/// Finds runtimes and seals them into layers.
pub(crate) struct Installations {
    layers: Arc<dyn Layers>,
    search: Vec<PathBuf>,
    cache: PathBuf,
    found: OnceLock<Vec<Arc<Found>>>,
    /// Spares a start the digests of the layers.
    profiles: Mutex<HashMap<ProfileKey, Arc<RuntimeProfile>>>,
}

// === impl Installations ===

impl Installations {
    pub(crate) fn new(layers: Arc<dyn Layers>, search: Vec<PathBuf>, cache: PathBuf) -> Self {
        Self { layers, search, cache, found: OnceLock::new(), profiles: Mutex::default() }
    }

    /// Blocks at the first call; see [`discovery::discover`].
    pub(crate) fn found(&self) -> &[Arc<Found>] {
        let discover = || discovery::discover(&Recipe::all(), &self.search, &self.cache);
        self.found.get_or_init(|| discover().into_iter().map(Arc::new).collect())
    }

    pub(crate) fn select(&self, name: &RuntimeName) -> Result<&Arc<Found>, Fault> {
        discovery::select(self.found(), name).ok_or_else(|| self.missing(name))
    }

    /// Whether its layers are sealed. An unknown runtime has nothing to wait for.
    pub(crate) fn is_prepared(&self, name: &RuntimeName) -> bool {
        self.select(name).map_or(true, |found| seal::is_sealed(found, &*self.layers))
    }

    /// The profile of a runtime at this memory size; seals layers that are missing.
    pub(crate) async fn profile(&self, name: &RuntimeName, memory: ByteSize) -> Result<Arc<RuntimeProfile>, Fault> {
        let found = self.select(name)?;
        let key = ProfileKey::new(found, memory);
        if let Some(profile) = self.profiles.lock().get(&key) {
            return Ok(Arc::clone(profile));
        }
        let sealed = seal::sealed(found, &*self.layers).await.map_err(|error| {
            tracing::error!(runtime = %found.description.name, %error, "runtime could not be sealed");
            Fault::from(error)
        })?;
        let profile = Arc::new(RuntimeProfile { key: key.clone(), found: Arc::clone(found), sealed });
        let mut profiles = self.profiles.lock();
        if profiles.len() >= PROFILES_MAX {
            profiles.clear();
        }
        profiles.insert(key, Arc::clone(&profile));
        Ok(profile)
    }

    /// The layer with the debugger's package, where the runtime has no debugger built in.
    pub(crate) async fn debugger(
        &self,
        profile: &RuntimeProfile,
        inspection: &Inspection,
    ) -> Result<Option<PathBuf>, Fault> {
        let recipe = &profile.found.recipe;
        if recipe.debugger.is_none() {
            let runtime = &profile.found.description.name;
            let message = format!("debuggers cannot be let into functions of {runtime}");
            return Err(Fault::new(Code::NotImplemented, message));
        }
        match inspection.package.as_ref().zip(recipe.debugger_target()) {
            Some((package, target)) => {
                Ok(Some(debugger::sealed(&profile.found, package, target, &*self.layers).await?))
            }
            None => Ok(None),
        }
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
}
