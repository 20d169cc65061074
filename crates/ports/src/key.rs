//! Names of entries of the registry.

use faas_types::ProjectId;

/// What kind of thing a key names. One table or bucket each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the vocabulary's nouns")]
pub enum Collection {
    Projects,
    Functions,
    Tombstones,
    Versions,
    Deployments,
    DeploymentIds,
    DeploymentsUnderWay,
    DeploymentEvents,
    DeploymentGroups,
    Bundles,
    Keys,
    KeyUses,
    Settings,
    Triggers,
    TriggerStates,
    Layers,
    NamedLayers,
    Secrets,
    StageVars,
}

/// The name of one entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The owner.
    pub project: ProjectId,
    /// The kind of thing.
    pub collection: Collection,
    /// Unique within project and collection; of `A-Z a-z 0-9 _ - . /`, 1 to 200 bytes.
    pub name: String,
}

// === impl Collection ===

impl Collection {
    /// Every collection.
    pub const ALL: [Self; 19] = [
        Self::Projects,
        Self::Functions,
        Self::Tombstones,
        Self::Versions,
        Self::Deployments,
        Self::DeploymentIds,
        Self::DeploymentsUnderWay,
        Self::DeploymentEvents,
        Self::DeploymentGroups,
        Self::Bundles,
        Self::Keys,
        Self::KeyUses,
        Self::Settings,
        Self::Triggers,
        Self::TriggerStates,
        Self::StageVars,
        Self::Secrets,
        Self::Layers,
        Self::NamedLayers,
    ];

    /// The collection as stores and messages name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Projects => "projects",
            Self::Functions => "functions",
            Self::Tombstones => "tombstones",
            Self::Versions => "versions",
            Self::Deployments => "deployments",
            Self::DeploymentIds => "deployment_ids",
            Self::DeploymentsUnderWay => "deployments_under_way",
            Self::DeploymentEvents => "deployment_events",
            Self::DeploymentGroups => "deployment_groups",
            Self::Bundles => "bundles",
            Self::Keys => "keys",
            Self::KeyUses => "key_uses",
            Self::Settings => "settings",
            Self::Triggers => "triggers",
            Self::TriggerStates => "trigger_states",
            Self::StageVars => "stage_vars",
            Self::Secrets => "secrets",
            Self::Layers => "layers",
            Self::NamedLayers => "named_layers",
        }
    }
}

// === impl Key ===

impl Key {
    /// A key of its parts.
    pub fn new(project: ProjectId, collection: Collection, name: impl Into<String>) -> Self {
        Self { project, collection, name: name.into() }
    }

    /// Whether the name keeps to the alphabet and length that every adapter takes.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        (1..=200).contains(&self.name.len())
            && self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b))
    }
}
