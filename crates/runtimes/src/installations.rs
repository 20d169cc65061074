//! The runtimes of this machine, found once, and the kinds of instance that they make.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use faas_ports::{Inspection, Layers};
use faas_types::{ByteSize, Code, Fault, RuntimeName};
use parking_lot::Mutex;

use crate::debugger;
use crate::discovery::{self, Found};
use crate::kind::{Kind, KindKey};
use crate::recipe::Recipe;
use crate::seal;

/// Kinds that are remembered; there is one for each runtime, or for each memory size of it.
const KINDS_MAX: usize = 256;

/// Finds runtimes and seals them into layers.
pub(crate) struct Installations {
    layers: Arc<dyn Layers>,
    search: Vec<PathBuf>,
    cache: PathBuf,
    found: OnceLock<Vec<Arc<Found>>>,
    /// Spares a start the digests of the layers.
    kinds: Mutex<HashMap<KindKey, Arc<Kind>>>,
}

// === impl Installations ===

impl Installations {
    pub(crate) fn new(layers: Arc<dyn Layers>, search: Vec<PathBuf>, cache: PathBuf) -> Self {
        Self { layers, search, cache, found: OnceLock::new(), kinds: Mutex::default() }
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

    /// The kind of an instance, with its layers; seals those that are not there yet.
    pub(crate) async fn kind(&self, name: &RuntimeName, memory: ByteSize) -> Result<Arc<Kind>, Fault> {
        let found = self.select(name)?;
        let key = KindKey::new(found, memory);
        if let Some(kind) = self.kinds.lock().get(&key) {
            return Ok(Arc::clone(kind));
        }
        let sealed = seal::sealed(found, &*self.layers).await.map_err(|error| {
            tracing::error!(runtime = %found.description.name, %error, "runtime could not be sealed");
            Fault::from(error)
        })?;
        let kind = Arc::new(Kind { key: key.clone(), found: Arc::clone(found), sealed });
        let mut kinds = self.kinds.lock();
        if kinds.len() >= KINDS_MAX {
            kinds.clear();
        }
        kinds.insert(key, Arc::clone(&kind));
        Ok(kind)
    }

    /// The layer with the debugger that a kind's instances are let into by, where its runtime brings none.
    pub(crate) async fn debugger(&self, kind: &Kind, inspection: &Inspection) -> Result<Option<PathBuf>, Fault> {
        let target = kind.found.recipe.debugger.target.as_ref();
        match inspection.package.as_ref().zip(target) {
            Some((package, target)) => Ok(Some(debugger::sealed(&kind.found, package, target, &*self.layers).await?)),
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
