//! Checks of uploads before any of their code runs. The command line does the same checks beforehand, but not every upload
//! comes from it.

use std::sync::Arc;

use faas_ports::Blobs;
use faas_preflight::{AllowedSecret, Finding, Policies, Preflight, refusal};
use faas_types::{Bundle, BundleFile, Fault, ProjectId};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::upload_rules::UploadRules;

/// Files that are searched at the same time.
const AT_ONCE: usize = 8;

/// The rules that the files of one deployment are checked against.
struct Rules {
    policies: Policies,
    allowed: Vec<AllowedSecret>,
}

// === impl Rules ===

impl Rules {
    fn preflight(&self) -> Preflight<'_> {
        Preflight { policies: &self.policies, allowed: &self.allowed }
    }
}

// === impl UploadRules ===

impl UploadRules {
    /// Checks the names of files, before their bytes are uploaded.
    pub(crate) async fn check_listing(&self, project: ProjectId, bundle: &Bundle) -> Result<(), Fault> {
        let policies = self.policies(project).await?;
        let preflight = Preflight { policies: &policies, allowed: &[] };
        match refusal(&preflight.listing(bundle.files.iter().map(|file| file.path.as_str()))) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// Searches the stored files of an upload, within the bounds of a [`Preflight`].
    pub(crate) async fn check_files(
        &self,
        project: ProjectId,
        bundle: &Bundle,
        allowed: &[AllowedSecret],
    ) -> Result<(), Fault> {
        let rules = Arc::new(Rules { policies: self.policies(project).await?, allowed: allowed.to_vec() });
        let listing: Vec<(&str, u64)> = bundle.files.iter().map(|file| (file.path.as_str(), file.size)).collect();
        let files: Vec<BundleFile> =
            rules.preflight().searched(&listing).into_iter().map(|at| bundle.files[at].clone()).collect();
        let searches = files.into_iter().map(|file| check_file(Arc::clone(&self.blobs), file, Arc::clone(&rules)));
        let found: Vec<Vec<Finding>> = stream::iter(searches).buffered(AT_ONCE).try_collect().await?;
        match refusal(&found.concat()) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }
}

async fn check_file(blobs: Arc<dyn Blobs>, file: BundleFile, rules: Arc<Rules>) -> Result<Vec<Finding>, Fault> {
    let bytes = blobs.get(&file.digest).await?;
    let searched = tokio::task::spawn_blocking(move || rules.preflight().file(&file.path, &bytes));
    searched.await.map_err(|error| Fault::internal(format!("a search broke off: {error}")))
}
