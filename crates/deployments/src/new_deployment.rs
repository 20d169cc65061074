//! A request to deploy a version.

use faas_preflight::AllowedSecret;
use faas_types::{Author, Bundle, Declaration, FunctionName, FunctionSettings};

use crate::aliases::Target;
use crate::progress::ProgressSender;

/// A version to deploy.
#[derive(Clone, Debug)]
pub struct NewDeployment {
    /// The function; created when it does not exist.
    pub name: FunctionName,
    /// The settings that it runs with.
    pub settings: FunctionSettings,
    /// Its files.
    pub bundle: Bundle,
    /// The note of its author.
    pub note: Option<String>,
    /// The owner of the key that deployed it.
    pub author: Option<Author>,
    /// The alias that moves to it.
    pub target: Target,
    /// Findings in its files that look like secrets but are allowed.
    pub allowed_secrets: Vec<AllowedSecret>,
    /// The rest of its manifest, with the origin of each key.
    pub declaration: Declaration,
    /// Receives the progress events.
    pub progress: ProgressSender,
}

// === impl NewDeployment ===

impl NewDeployment {
    /// A version for `live`, without a note, an author or progress events.
    #[must_use]
    pub fn new(name: FunctionName, settings: FunctionSettings, bundle: Bundle) -> Self {
        Self {
            name,
            settings,
            bundle,
            note: None,
            author: None,
            target: Target::live(),
            allowed_secrets: Vec::new(),
            declaration: Declaration::default(),
            progress: ProgressSender::default(),
        }
    }
}
