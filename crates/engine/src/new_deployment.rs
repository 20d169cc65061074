//! What is to be deployed.

use faas_preflight::AllowedSecret;
use faas_types::{Author, Bundle, Declaration, FunctionName, FunctionSettings};

use crate::aliases::Target;
use crate::progress::ProgressSender;

/// A version to deploy.
#[derive(Clone, Debug)]
pub struct NewDeployment {
    /// The function; made when it does not exist.
    pub name: FunctionName,
    /// What the version runs with.
    pub settings: FunctionSettings,
    /// Its files.
    pub bundle: Bundle,
    /// What the author says.
    pub note: Option<String>,
    /// Whose key brought it.
    pub author: Option<Author>,
    /// The alias that it goes to.
    pub target: Target,
    /// Findings in its files that look like secrets and are not.
    pub allowed_secrets: Vec<AllowedSecret>,
    /// The rest of its manifest, and where each key came from.
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
