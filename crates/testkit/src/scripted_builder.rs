//! A builder that installs what a test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use faas_ports::{Blobs, BuildJob, BuildListener, Builder, Built};
use faas_types::{Bundle, BundleFile, Code, Digest, Fault, InstalledPackage, RuntimeName};
use tokio::sync::Semaphore;

/// "Installs" one package for each line of what it is given, with one file each. A line `broken` fails.
pub struct ScriptedBuilder {
    blobs: Arc<dyn Blobs>,
    builds: AtomicUsize,
    /// A permit for each build that may end.
    gate: Option<Arc<Semaphore>>,
}

// === impl ScriptedBuilder ===

impl ScriptedBuilder {
    /// Stores files there.
    #[must_use]
    pub fn new(blobs: Arc<dyn Blobs>) -> Self {
        Self { blobs, builds: AtomicUsize::new(0), gate: None }
    }

    /// Ends a build only for a permit.
    #[must_use]
    pub fn held_by(mut self, gate: Arc<Semaphore>) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Builds that have begun.
    pub fn builds(&self) -> usize {
        self.builds.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Builder for ScriptedBuilder {
    fn identity(&self, runtime: &RuntimeName) -> Result<String, Fault> {
        Ok(format!("{runtime} scripted"))
    }

    async fn build(&self, job: BuildJob, listener: Arc<dyn BuildListener>) -> Result<Built, Fault> {
        self.builds.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate
            && let Ok(permit) = gate.acquire().await
        {
            permit.forget();
        }
        let mut built = Built {
            bundle: Bundle::default(),
            packages: Vec::new(),
            log: Vec::new(),
            skipped_install_scripts: Vec::new(),
        };
        for line in job.files.get(&job.root).map_or("", String::as_str).lines() {
            listener.line(&format!("installing {line}"));
            built.log.push(format!("installing {line}"));
            if line == "broken" {
                return Err(Fault::new(Code::DeploymentFailed, "the packages could not be installed"));
            }
            let content = Bytes::from(line.to_owned());
            let (size, digest) = (content.len() as u64, Digest::from_bytes(*blake3::hash(&content).as_bytes()));
            self.blobs.put(content).await?;
            built.bundle.files.push(BundleFile { path: format!("{line}/it.py"), digest, size, executable: false });
            built.packages.push(InstalledPackage { name: line.to_owned(), version: "1".to_owned(), size });
        }
        Ok(built)
    }
}
