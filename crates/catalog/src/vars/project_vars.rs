//! The vars and secrets of one project.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_types::{SecretName, Stage};

use super::secret_record::SecretRecord;

/// The vars and secrets of one project at one moment.
#[derive(Clone, Debug, Default)]
pub struct ProjectVars {
    pub(super) vars: BTreeMap<Stage, Arc<BTreeMap<String, String>>>,
    pub(super) secrets: BTreeMap<(Stage, SecretName), Arc<SecretRecord>>,
}

// === impl ProjectVars ===

impl ProjectVars {
    /// The vars that a stage itself gives all functions, without those it inherits.
    pub fn vars(&self, stage: Stage) -> Option<&BTreeMap<String, String>> {
        self.vars.get(&stage).map(|vars| &**vars)
    }

    /// The secret that a stage itself has, not one that it inherits.
    pub fn own_secret(&self, stage: Stage, name: &SecretName) -> Option<&Arc<SecretRecord>> {
        // Looked up by reference would need a borrowed pair; names are short and this is no warm path.
        self.secrets.get(&(stage, name.clone()))
    }

    /// The secret that a stage sees, and the stage that has it.
    pub fn secret(&self, stage: Stage, name: &SecretName) -> Option<(Stage, &Arc<SecretRecord>)> {
        stage.chain().find_map(|owner| Some((owner, self.own_secret(owner, name)?)))
    }

    /// Every secret, by stage and name.
    pub fn secrets(&self) -> impl Iterator<Item = (Stage, &SecretName, &Arc<SecretRecord>)> {
        self.secrets.iter().map(|((stage, name), record)| (*stage, name, record))
    }
}
