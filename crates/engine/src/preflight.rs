//! What a deployment is refused for before anything of it runs. The command line asks the same beforehand, but not every
//! upload comes from there.

use std::sync::Arc;

use faas_config::preflight::{AllowedSecret, Finding, Preflight, refusal};
use faas_types::{Bundle, BundleFile, Fault};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::core::Core;
use crate::engine::Engine;

/// Files that are read at once.
const AT_ONCE: usize = 8;

// === impl Engine ===

impl Engine {
    /// Looks at the names of files alone, so that what is refused need not be uploaded.
    pub(crate) fn inspect_listing(&self, bundle: &Bundle) -> Result<(), Fault> {
        let preflight = Preflight { policy: &self.core.preflight, allowed: &[] };
        match refusal(&preflight.listing(bundle.files.iter().map(|file| file.path.as_str()))) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// Searches the stored files of an upload, within the bounds of a [`Preflight`].
    pub(crate) async fn inspect_files(&self, bundle: &Bundle, allowed: &[AllowedSecret]) -> Result<(), Fault> {
        let listing: Vec<(&str, u64)> = bundle.files.iter().map(|file| (file.path.as_str(), file.size)).collect();
        let preflight = Preflight { policy: &self.core.preflight, allowed };
        let files: Vec<BundleFile> =
            preflight.searched(&listing).into_iter().map(|at| bundle.files[at].clone()).collect();
        let allowed: Arc<[AllowedSecret]> = allowed.into();
        let searches = files.into_iter().map(|file| inspect_file(Arc::clone(&self.core), file, Arc::clone(&allowed)));
        let found: Vec<Vec<Finding>> = stream::iter(searches).buffered(AT_ONCE).try_collect().await?;
        match refusal(&found.concat()) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }
}

async fn inspect_file(core: Arc<Core>, file: BundleFile, allowed: Arc<[AllowedSecret]>) -> Result<Vec<Finding>, Fault> {
    let bytes = core.blobs.get(&file.digest).await?;
    let searched = tokio::task::spawn_blocking(move || {
        Preflight { policy: &core.preflight, allowed: &allowed }.file(&file.path, &bytes)
    });
    searched.await.map_err(|error| Fault::internal(format!("a search broke off: {error}")))
}
