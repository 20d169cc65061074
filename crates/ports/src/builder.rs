//! Packages that functions depend on, installed where nothing else is.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use faas_types::{Bundle, Fault, InstalledPackage, RuntimeName};

/// Packages to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildJob {
    /// The runtime that they are for; exact, as [`Launcher::resolve`](crate::Launcher::resolve) names it.
    pub runtime: RuntimeName,
    /// The file that asks for them, for people.
    pub source: String,
    /// The file that the installer is given; one of `files`.
    pub root: String,
    /// What the installer reads: relative paths and texts.
    pub files: BTreeMap<String, String>,
}

/// Installed packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The tree; keeps the rules of [`Bundle::validate`], and its bytes are stored.
    pub bundle: Bundle,
    /// What is in it, as it says of itself.
    pub packages: Vec<InstalledPackage>,
    /// The last lines that the installer wrote.
    pub log: Vec<String>,
    /// Names of packages whose install scripts did not run.
    pub skipped_install_scripts: Vec<String>,
}

/// Hears what an installer writes, line by line, without secrets. Must not wait: the build does not go on meanwhile.
pub trait BuildListener: Send + Sync {
    /// A line.
    fn line(&self, line: &str);
}

/// Discards all events.
impl BuildListener for () {
    fn line(&self, _: &str) {}
}

/// Installs packages, each time in a fresh sandbox that reaches package indexes only.
#[async_trait]
pub trait Builder: Send + Sync {
    /// All that a build hangs on besides its files: the runtime, the installer, the indexes. Holds no credentials.
    ///
    /// # Errors
    /// `FN_005` when there is no installer for the runtime on this machine, with the way to get one.
    fn identity(&self, runtime: &RuntimeName) -> Result<String, Fault>;

    /// Installs packages and stores the outcome's bytes. Bounded in time, size and resources.
    ///
    /// # Errors
    /// `FN_005` with the end of the installer's output.
    async fn build(&self, job: BuildJob, listener: Arc<dyn BuildListener>) -> Result<Built, Fault>;
}
