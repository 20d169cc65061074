//! Bodies of inputs among the blobs.

use std::sync::Arc;

use bytes::Bytes;
use faas_ports::PortError;
use faas_types::{Digest, Fault, RunId};

use crate::runs::Runs;

/// A body among the blobs, which goes again unless a stored run refers to it.
pub struct StoredBody {
    runs: Arc<Runs>,
    digest: Option<Digest>,
}

// === impl StoredBody ===

impl StoredBody {
    /// Stores a body for one run. In a task, so that it does not stay behind when its caller goes away meanwhile.
    pub(crate) async fn put(runs: &Arc<Runs>, run: RunId, body: Bytes) -> Result<Self, Fault> {
        let runs = Arc::clone(runs);
        let tasks = runs.lifecycle.tasks().clone();
        let put = tasks.spawn(async move {
            let digest = runs.blobs.put_marked(run.as_u128(), body).await?;
            Ok::<_, PortError>(Self { runs, digest: Some(digest) })
        });
        let stored = put.await.map_err(|error| Fault::internal(format!("a body's transfer broke off: {error}")))?;
        Ok(stored?)
    }

    /// Its name.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The run is stored, or on its way there.
    pub fn keep(mut self) {
        self.digest = None;
    }
}

impl Drop for StoredBody {
    fn drop(&mut self) {
        if let Some(digest) = self.digest {
            self.runs.delete_blobs(vec![digest]);
        }
    }
}

// === impl Runs ===

impl Runs {
    /// Deletes bodies of inputs that are gone. One that stays, after a kill, is collected later.
    pub(crate) fn delete_blobs(&self, digests: Vec<Digest>) {
        if digests.is_empty() {
            return;
        }
        let blobs = Arc::clone(&self.blobs);
        self.lifecycle.spawn(async move {
            for digest in digests {
                if let Err(error) = blobs.delete(&digest).await {
                    tracing::warn!(%digest, %error, "the body of a run that is gone is not deleted yet");
                }
            }
        });
    }
}
